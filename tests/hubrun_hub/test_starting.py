"""How students' servers start: the line, what a start that fails says, and sockets that outlive the hub."""

from __future__ import annotations

import array
import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.web import HTTPError

from hubrun_hub.not_started import NotStarted
from hubrun_hub.starting import line as lines
from hubrun_hub.starting import spawner as spawners
from hubrun_hub.starting.line import EACH_MB, SPARE_MB, Line, NoMemory, Turn
from hubrun_hub.starting.spawner import Starting, passing

LIB = Path(__file__).resolve().parents[2] / "lib"


def run(scenario: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(scenario(), 20))


def test_everybody_comes_in_in_the_order_of_arrival_and_so_many_at_once() -> None:
    async def go() -> None:
        line, came, most = Line(3, lambda: None), [], 0

        async def student(number: int) -> None:
            nonlocal most
            turn = Turn()
            await line.wait(turn)
            came.append(number)
            most = max(most, len(line.starting))
            await asyncio.sleep(0.01)
            line.leave(turn)

        await asyncio.gather(*(student(number) for number in range(100)))
        assert came == list(range(100)) and most == 3
        assert not line.waiting and not line.starting and not line.problem

    run(go)


def test_a_place_in_line_goes_down_and_whoever_goes_away_holds_nobody_up() -> None:
    async def go() -> None:
        line = Line(1, lambda: None)
        turns = [Turn() for _ in range(4)]
        tasks = [asyncio.ensure_future(line.wait(turn)) for turn in turns]
        await asyncio.sleep(0)
        assert [line.place(turn) for turn in turns] == [0, 1, 2, 3]
        tasks[1].cancel()
        await asyncio.sleep(0.01)
        assert [line.place(turns[number]) for number in (2, 3)] == [1, 2]
        line.leave(turns[0])
        await tasks[2]
        assert line.place(turns[3]) == 1
        tasks[3].cancel()

    run(go)


def test_when_memory_is_short_they_wait_and_the_operator_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lines, "_LOOK_S", 0.02)

    async def go() -> None:
        left = SPARE_MB + 2 * EACH_MB + 50
        line = Line(9, lambda: left)
        turns = [Turn() for _ in range(4)]
        tasks = [asyncio.ensure_future(line.wait(turn)) for turn in turns]
        await asyncio.sleep(0.1)
        assert [task.done() for task in tasks] == [True, True, False, False], "two fit"
        assert f"memory is short: {left} MB are left, and 2 people wait" in line.problem
        assert sum("memory is short" in record.getMessage() for record in caplog.records) == 1, (
            "told, and not each second"
        )
        left += EACH_MB
        await asyncio.sleep(0.1)
        assert tasks[2].done() and not tasks[3].done()
        left += 1000
        await tasks[3]
        assert not line.problem

    run(go)


def test_nobody_waits_for_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE_S", 0.05)

    async def go() -> None:
        line = Line(9, lambda: 10)
        with pytest.raises(NoMemory):
            await line.wait(Turn())
        assert not line.waiting and not line.starting

    run(go)


def test_how_many_start_at_once_follows_from_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def on(cores: int) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
        return lines.at_once()

    assert [on(cores) for cores in (1, 2, 8, 64)] == [2, 4, 16, 32]
    left = lines.available_mb()
    assert left is None or 0 < left < 2**24


class Docker:
    """Stands in for dockerspawner.DockerSpawner. `answers`: what its calls raise, one after the other."""

    user = SimpleNamespace(name="ada", settings={"users": {}})
    log = logging.getLogger("hub")
    _log_name, container_id, mem_limit = "ada", "c" * 64, 1024 * 2**20
    _check_pending, remove = False, True
    listener: asyncio.Server | None = None
    state: dict[str, Any] = {"Running": True}

    def __init__(self, *answers: Exception) -> None:
        self.answers, self.hooked, self.removed, self.stopped = list(answers), 0, 0, 0

    def run_post_stop_hook(self) -> None:
        pass

    async def stop_object(self) -> None:
        self.stopped += 1
        self.state = {"Running": False}

    async def remove_object(self) -> None:
        self.removed += 1

    def run_pre_spawn_hook(self) -> None:
        self.hooked += 1

    async def start(self) -> tuple[str, int]:
        if self.answers:
            raise self.answers.pop(0)
        self.listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        return "127.0.0.1", self.listener.sockets[0].getsockname()[1]

    async def get_ip_and_port(self) -> tuple[str, int]:
        return "127.0.0.1", self.listener.sockets[0].getsockname()[1] if self.listener else 1

    async def get_object(self) -> dict[str, Any]:
        if self.answers:
            raise self.answers.pop(0)
        return {"State": self.state}

    async def poll(self) -> str | None:
        state = (await self.get_object())["State"]
        return None if state["Running"] else "ExitCode=137"

    async def docker(self, call: str, *_: str, **__: int) -> bytes:
        return b"".join(b"line %d\n" % number for number in range(30)) if call == "logs" else b""


class Server(Starting, Docker):  # type: ignore[misc]
    pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawners, "_PAUSE_S", 0.02)
    monkeypatch.setattr(spawners, "LINE", Line(2, lambda: None))


async def begin(server: Server) -> Any:
    await server.run_pre_spawn_hook()
    return await server.start()


def test_an_image_without_its_command_is_not_taken_for_a_docker_that_is_away() -> None:
    """runc's words: https://github.com/opencontainers/runc/blob/main/libcontainer/init_linux.go"""
    said = 'runc create failed: unable to start container process: exec: "/srv/start.sh": stat /srv/start.sh: no such file or directory'
    assert passing(RuntimeError(said)) == ""


# What Docker and the filter before it were seen to say.
AWAY = {
    "Docker does not answer: [Errno 2] No such file or directory": "Docker",
    "('Connection aborted.', ConnectionRefusedError(111, 'Connection refused'))": "Docker",
    "too many requests at once": "Docker",
    "no whole request came in time": "Docker",
    "Not Found (\"failed to set up container networking: network jupyterhub not found\")": "network",
    "No such image: hubrun-singleuser:latest": "image",
    'Conflict. The container name "/jupyter-0" is already in use by container "ab"': "removed",
    "removal of container jupyter-0 is already in progress": "removed",
}  # fmt: skip


@pytest.mark.parametrize("said", AWAY)
def test_what_is_away_for_a_moment_is_waited_for(said: str, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        server = Server(*[RuntimeError(said)] * 3)
        assert (await begin(server))[0] == "127.0.0.1"
        assert server.hooked == 1

    run(go)
    assert AWAY[said] in passing(RuntimeError(said))
    assert sum("ada waits: " in record.getMessage() for record in caplog.records) == 1, "one line in the log"


class StartedUnheard(Docker):
    """Its container starts, and the answer is lost; then it is as dockerspawner and Docker treat one that runs."""

    state: dict[str, Any] = {}

    async def remove_object(self) -> None:
        if not self.state.get("Running"):  # 409 is passed over: "Already removing"
            await super().remove_object()

    async def start(self) -> tuple[str, int]:
        if not self.state:
            self.state = {"Running": True}
            raise RuntimeError("('Connection aborted.', RemoteDisconnected('closed'))")
        await self.get_object()
        await self.remove_object()
        if not self.removed:
            raise RuntimeError('The container name "/jupyter-0" is already in use by container "ab"')
        self.state = {"Running": True}
        return await super().start()


def test_a_container_whose_start_was_not_heard_of_is_made_once_more() -> None:
    class Unheard(Starting, StartedUnheard):  # type: ignore[misc]
        pass

    server = Unheard()
    run(lambda: asyncio.wait_for(begin(server), 5))
    assert server.removed == 1


def test_a_server_that_is_stopped_is_stopped_once() -> None:
    async def go() -> None:
        server = Server()
        assert await server.poll() is None
        await server.stop_object()  # dockerspawner's stop is these two
        await server.remove_object()
        assert (server.stopped, server.removed) == (1, 1)

    run(go)


def test_what_stays_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawners, "RETRY_S", 0.1)
    monkeypatch.setattr(spawners, "AGAIN_S", 0.01)
    with pytest.raises(NotStarted) as failed:
        run(lambda: begin(Server(*[RuntimeError("No such image: x")] * 99)))
    assert failed.value.jupyterhub_message.startswith("The image of the students' servers is missing.")


def test_a_class_that_waits_reads_what_is_missing_and_is_told_the_truth_as_soon_as_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (spawners, lines):
        monkeypatch.setattr(module, "RETRY_S", 0.3)
    monkeypatch.setattr(spawners, "AGAIN_S", 0.01)

    async def go() -> None:
        spawners.LINE.most = 1
        servers = [Server(*[RuntimeError("No such image: x")] * 99) for _ in range(20)]
        began = time.monotonic()
        starts = [asyncio.ensure_future(begin(server)) for server in servers]
        await asyncio.sleep(0.1)
        assert (
            servers[5]._event()["message"]
            == "You are number 5 of 19 in line. The image of the students' servers is missing."
        )
        ended = await asyncio.gather(*starts, return_exceptions=True)
        assert all(isinstance(each, NotStarted) for each in ended)
        assert time.monotonic() - began < 1.5, "not 20 times as long"
        # It is there again: nobody reads of it any more, and what comes next is waited for in full.
        await begin(Server())
        assert not spawners.LINE.trouble and spawners.LINE.meet("No such image") == 0

    run(go)


def test_what_the_filter_refuses_is_told_at_once_and_the_log_says_which_setting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = RuntimeError("403 Client Error")
    error.explanation = "refused by hubrun-docker-filter: HostConfig.Memory must be from 1 to 5"  # type: ignore[attr-defined]
    with pytest.raises(NotStarted) as failed:
        run(lambda: begin(Server(error)))
    assert failed.value.jupyterhub_message.startswith("A setting of this hub asks for what is not allowed")
    assert "HostConfig.Memory must be from 1 to 5" in caplog.text


def test_any_other_failure_is_one_at_once_and_leaves_the_line(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(RuntimeError("executable file not found in $PATH"), RuntimeError("second"))
    with pytest.raises(NotStarted, match="Your server does not start. Your files are safe"):
        run(lambda: begin(server))
    assert "ada does not start: executable file not found in $PATH" in [each.getMessage() for each in caplog.records]
    with pytest.raises(HTTPError, match="400"):
        run(lambda: begin(Server(HTTPError(400, "Image x not in allowed list"))))
    assert not spawners.LINE.starting and not spawners.LINE.waiting


def test_whoever_had_the_address_of_a_new_server_is_not_sent_to_it() -> None:
    """Docker gives the address of a container that ended to the next one."""
    ended: list[str] = []

    async def scenario() -> None:
        server = Server()
        await Docker.start(server)

        class Proxy:
            async def delete_user(self, user: Any, name: str) -> None:
                ended.append(f"route of {user.name}")
                if user.name == "eve":
                    raise RuntimeError("the proxy is away")

        def person(name: str, port: int, ready: bool = True) -> Any:
            spawner = SimpleNamespace(
                name="", _log_name=name, ready=ready, server=SimpleNamespace(ip="127.0.0.1", port=port)
            )

            async def stop(_: str) -> None:
                ended.append(f"server of {name}")

            return SimpleNamespace(name=name, spawners={"": spawner}, stop=stop)

        port = (await server.get_ip_and_port())[1]
        people = [person("bob", port + 1), person("eve", port), person("fay", port), person("gus", port, ready=False)]
        server.user = SimpleNamespace(settings={"users": dict(enumerate(people)), "proxy": Proxy()})
        await server._end_who_was_here(("127.0.0.1", port))

    run(scenario)
    assert ended == ["route of eve", "route of fay", "server of fay"]


def test_a_server_that_ended_at_its_start_is_known_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        server = Server()
        server.state = {"Running": False, "OOMKilled": True}
        await begin(server)

    began = time.monotonic()
    with pytest.raises(NotStarted, match="needs more memory than its limit .1024 MB."):
        run(go)
    assert time.monotonic() - began < 2
    logged = [record.getMessage() for record in caplog.records]
    assert "ada ended at its start (ExitCode=137). Its last lines:" in logged
    assert "  ada: line 10" in logged and "  ada: line 9" not in logged
    assert not spawners.LINE.starting


def test_memory_that_ran_out_in_a_server_is_in_the_hubs_log_once(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        server = Server()
        server.state = {"Running": True, "OOMKilled": True}
        for _ in range(3):
            assert await server.poll() is None

    run(go)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["ada reached its memory limit (1024 MB): a process in it was ended"]


def test_a_server_is_not_given_up_because_docker_restarts() -> None:
    gone = RuntimeError("Docker does not answer: [Errno 111] Connection refused")

    async def go() -> None:
        assert await Server(gone).poll() is None, "nothing is known of it: it runs on"
        at_start = Server(gone, gone, gone)
        at_start._check_pending = True
        at_start.state = {"Running": False}
        assert await at_start.poll() == "ExitCode=137", "the hub that starts waits for Docker's word"
        with pytest.raises(RuntimeError, match="other"):
            await Server(RuntimeError("other")).poll()

    run(go)


def test_a_container_that_was_made_half_as_the_hub_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawners, "ANSWER_S", 0.2)

    async def go() -> None:
        server = Server()
        server._check_pending = True
        server.server = SimpleNamespace(ip="127.0.0.1", port=1)  # what the hub's database says
        assert await server.poll() == "it was being started as the hub ended", "it does not answer"
        server._check_pending = False
        _, server.server.port = await server.start()
        server._check_pending = True
        assert await server.poll() is None
        server.server.ip = ""
        assert await server.poll() == "it was being started as the hub ended", "nobody was told where it is"

    run(go)


def test_a_container_that_ended_by_itself_is_removed_once_its_last_words_were_read() -> None:
    server = Server()
    run(server.run_post_stop_hook)
    assert server.removed == 1
    server.answers = [RuntimeError("Docker does not answer")]
    run(server.run_post_stop_hook)
    assert server.removed == 1, "and a Docker that is away stops nobody"
    server.remove = False
    run(server.run_post_stop_hook)
    assert server.removed == 1, "c.DockerSpawner.remove = False in 90-local.py: the operator keeps them"


def test_a_start_that_is_given_up_when_its_turn_has_come_holds_nobody_up() -> None:
    async def go() -> None:
        server = Server()
        await server.run_pre_spawn_hook()  # and what comes before `start` fails, or is ended by a click
        await server.run_post_stop_hook()
        assert not spawners.LINE.starting

    run(go)


def test_a_server_that_never_listens_holds_its_place_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs at the start of a server stands in its home, where a student writes."""
    monkeypatch.setattr(spawners, "SLOW_S", 0.2)

    async def go() -> None:
        server = Server()
        server._start_patiently = never_listens  # type: ignore[method-assign]
        begun = asyncio.ensure_future(begin(server))
        await asyncio.sleep(0.1)
        assert len(spawners.LINE.starting) == 1
        await asyncio.sleep(0.5)
        assert not spawners.LINE.starting and not begun.done()
        begun.cancel()

    async def never_listens() -> tuple[str, int]:
        return "127.0.0.1", 1

    run(go)


def test_the_page_says_each_place_once() -> None:
    async def go() -> None:
        spawners.LINE.most = 1
        first, second = Server(), Server(*[RuntimeError("network jupyterhub not found")] * 60)
        await first.run_pre_spawn_hook()
        waits = asyncio.ensure_future(begin(second))
        await asyncio.sleep(0)
        events: AsyncIterator[dict[str, Any]] = second.progress()
        assert (await anext(events))["message"] == "You are number 1 of 1 in line."
        spawners.LINE.short = True
        assert "somebody else's server has to stop" in (await anext(events))["message"]
        await first.start()
        assert "The network of the students' servers is missing" in (await anext(events))["message"]
        assert "your server starts" in (await anext(events))["message"]
        await waits

    run(go)


_HUB = """
import asyncio, os, sys
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from hubrun_hub.starting.sockets import KeptServer
class Say(RequestHandler):
    def get(self): self.finish(str(os.getpid()))
async def main():
    HTTPServer.configure(KeptServer, max_body_size=1024)
    KeptServer.also = sys.argv[2:]
    HTTPServer(Application([("/", Say)])).listen(int(sys.argv[1]), address="127.0.0.1")
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_whoever_asks_while_the_hub_restarts_waits_and_gets_an_answer(tmp_path: Path) -> None:
    """systemd, as far as it keeps sockets: it takes what is sent to NOTIFY_SOCKET, and passes it on from number 3 on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    systemd.settimeout(10)

    def start(*also: str, kept: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        environment = {"PYTHONPATH": str(LIB), "NOTIFY_SOCKET": str(tmp_path / "notify"), "LISTEN_FDS": str(len(kept))}
        moved = "; ".join(f"{each}<&{each}" for each in kept) and " ".join(
            f"{3 + number}<&{each}" for number, each in enumerate(kept)
        )
        script = f'export LISTEN_PID=$$; exec "$@" {moved}'
        command = ["/bin/bash", "-c", script, "sh", sys.executable, "-c", _HUB, str(port), *also]
        return subprocess.Popen(command, env=environment, pass_fds=kept)

    def told() -> tuple[str, list[int]]:
        text, ancillary, *_ = systemd.recvmsg(4096, socket.CMSG_SPACE(64))
        numbers = array.array("i")
        for _, _, data in ancillary:
            numbers.frombytes(data)
        return text.decode(), list(numbers)

    first = start("127.0.0.9")
    (name, [one]), (other, [two]) = told(), told()
    assert name == f"FDSTORE=1\nFDNAME=127.0.0.1-{port}" and other == f"FDSTORE=1\nFDNAME=127.0.0.9-{port}"
    assert ask(port) == str(first.pid)
    first.kill()
    first.wait()
    with socket.create_connection(("127.0.0.1", port), 10) as waits:  # nobody is there, and nobody is turned away
        waits.sendall(b"GET / HTTP/1.0\r\n\r\n")
        second = start("127.0.0.8", kept=(one, two))
        assert waits.makefile("rb").read().decode().endswith(str(second.pid))
    # An address that is another now: the old socket goes.
    (other, none), (name, [three]) = told(), told()
    assert name == f"FDSTORE=1\nFDNAME=127.0.0.8-{port}" and other == f"FDSTOREREMOVE=1\nFDNAME=127.0.0.9-{port}"
    second.kill()
    second.wait()
    for number in (one, two, three, *none):
        os.close(number)
    systemd.close()


def ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.makefile("rb").read().decode().rpartition("\n")[2]


def test_an_address_that_is_not_there_yet_keeps_no_hub_from_starting() -> None:
    from hubrun_hub.starting import sockets

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with sockets.listening("192.0.2.77", port) as made:  # RFC 5737: nobody has it
        assert made.getsockname() == ("192.0.2.77", port)


def test_an_operators_address_that_takes_in_ours_is_listened_on_alone() -> None:
    from hubrun_hub.starting.sockets import places

    assert places(8081, "127.0.0.1", "172.29.0.1") == [("127.0.0.1", 8081), ("172.29.0.1", 8081)]
    for address in ("0.0.0.0", "", None, "::", "localhost"):
        assert places(8081, address, "172.29.0.1") == []
