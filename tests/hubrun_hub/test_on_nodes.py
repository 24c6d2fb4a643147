"""Where students' servers start on a site with nodes, and what becomes of them when a node is lost, drained, or back.

The Dockers of manager and nodes are played, and so is what JupyterHub does with a server that ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubrun_hub.nodes import links
from hubrun_hub.nodes.links import Links
from hubrun_hub.nodes.nodes_file import MANAGER, BadNodes, Node, Nodes
from hubrun_hub.not_started import NotStarted
from hubrun_hub.starting import line as lines
from hubrun_hub.starting import on_nodes, sweep
from hubrun_hub.starting import spawner as spawners
from hubrun_hub.starting.engines import Engines, Room, place
from hubrun_hub.starting.line import EACH_MB, SPARE_MB, Line, NoMemory, Turn
from hubrun_hub.starting.on_nodes import GONE, OnNodes
from hubrun_hub.starting.spawner import Starting
from hubrun_hub.starting.sweep import Sweep

ROOM = EACH_MB + SPARE_MB


def room(node: str, memory: int | None = 5000, gpus: int | None = 0, most: int = 4, ready: bool = True) -> Room:
    return Room(node, memory, gpus, most, ready)


# rooms, what the turn needs, how many start where → the node, and why there is none
PLACES: dict[str, tuple[list[Room], Turn, dict[str, int], tuple[str, str]]] = {
    "the most memory": ([room(MANAGER), room("a", 6000), room("b", 7000)], Turn(), {}, ("b", "")),
    "less what starts there": ([room(MANAGER, 100), room("a", 6900), room("b", 7000)], Turn(), {"b": 1}, ("a", "")),
    "the manager last": ([room(MANAGER), room("a")], Turn(), {}, ("a", "")),
    "the manager, where it has most": ([room(MANAGER, 5001), room("a")], Turn(), {}, (MANAGER, "")),
    "just enough": ([room("a", ROOM)], Turn(), {}, ("a", "")),
    "not enough anywhere": ([room(MANAGER, ROOM - 1), room("a", ROOM - 1)], Turn(), {}, ("", "memory")),
    "not enough with those that start": ([room("a", ROOM + EACH_MB)], Turn(), {"a": 2}, ("", "memory")),
    "memory that is not known": ([room(MANAGER, None)], Turn(), {MANAGER: 3}, (MANAGER, "")),
    "so many start on the best": ([room("a", 9000, most=2), room("b")], Turn(), {"a": 2}, ("b", "")),
    "so many start everywhere": ([room("a", 9000, most=2)], Turn(), {"a": 2}, ("", "")),
    "the best is not ready": ([room("a", 9000, ready=False), room("b")], Turn(), {}, ("b", "")),
    "none is ready": ([room("a", ready=False)], Turn(), {}, ("", "away")),
    "a GPU": ([room(MANAGER, 9000), room("a", gpus=1), room("b", gpus=2)], Turn(gpus=2), {}, ("b", "")),
    "a GPU that is away": ([room(MANAGER, 9000), room("a", gpus=1, ready=False)], Turn(gpus=1), {}, ("", "away")),
    "a GPU, and memory is short": ([room(MANAGER, 9000), room("a", 10, gpus=1)], Turn(gpus=1), {}, ("", "memory")),
    "any number of GPUs": ([room(MANAGER, gpus=None)], Turn(gpus=8), {}, (MANAGER, "")),
    "an exam": ([room(MANAGER, 1000), room("a", 9000)], Turn(only=MANAGER), {}, (MANAGER, "")),
    "an exam waits for the manager": ([room(MANAGER, 10), room("a", 9000)], Turn(only=MANAGER), {}, ("", "memory")),
    "where its person is at work": ([room(MANAGER, 1000), room("a", 9000)], Turn(prefers=MANAGER), {}, (MANAGER, "")),
    "elsewhere, where there is no room": ([room(MANAGER, 10), room("a")], Turn(prefers=MANAGER), {}, ("a", "")),
}  # fmt: skip


@pytest.mark.parametrize("case", PLACES.values(), ids=PLACES.keys())
def test_where_the_next_server_starts(case: tuple[list[Room], Turn, dict[str, int], tuple[str, str]]) -> None:
    rooms, turn, starting, expected = case
    assert (place(turn, rooms, Counter(starting)), turn.why) == expected


# -- a site with two nodes


def node(name: str, number: int, gpus: int = 0) -> Node:
    """Its students' servers are played by one at 127.0.0.1."""
    return Node(name, number, name, 22, f"172.28.0.{number + 1}", "127.0.0.0/8", "127.0.0.254", gpus)


class ApiError(Exception):
    """As docker.errors.APIError."""

    def __init__(self, status: int, explanation: str = "") -> None:
        super().__init__(f"{status} {explanation}")
        self.status_code, self.explanation = status, explanation


class Client:
    """docker-py's, of one engine. containers: name → whether it runs. fails: what the next calls of a method raise."""

    def __init__(self, name: str) -> None:
        self.name, self.containers, self.away = name, dict[str, bool](), False
        self.calls: list[str] = []
        self.fails: dict[str, list[Exception]] = {}
        self.meanwhile: Callable[[str], None] = lambda method: None

    def _called(self, method: str, name: str = "") -> None:
        self.calls.append(f"{method} {name}".strip())
        self.meanwhile(method)
        if self.fails.get(method):
            raise self.fails[method].pop(0)
        if self.away:
            raise ApiError(503, f"node {self.name} is away")
        if name and name not in self.containers:
            raise ApiError(404, "no such container")

    def inspect_container(self, name: str) -> dict[str, Any]:
        self._called("inspect", name)
        return {"Id": name, "State": {"Running": self.containers[name]}}

    def create_container(self, name: str) -> None:
        self._called("create")
        assert name not in self.containers
        self.containers[name] = False

    def start(self, name: str) -> None:
        self._called("start", name)
        self.containers[name] = True

    def stop(self, name: str) -> None:
        self._called("stop", name)
        self.containers[name] = False

    def remove_container(self, name: str, v: bool) -> None:
        self._called("remove", name)
        assert v and not self.containers.pop(name), "it runs"

    def logs(self, name: str, tail: int) -> bytes:
        self._called("logs", name)
        return b"the last words"

    def listed(self, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert all and filters == {"label": "hubrun.student"}
        self._called("list")
        return [
            {"Names": [f"/{name}"], "State": "running" if runs else "exited"} for name, runs in self.containers.items()
        ]


class Site:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.now, self.said_at = folder, 0.0, 1e9
        self.nodes = (node("a", 1), node("b", 2, gpus=1))
        self.drained: set[str] = set()
        self.bad, self.address = "", "127.0.0.1"
        self.manager_mb: int | None = 10
        self.clients = {name: Client(name) for name in (MANAGER, "a", "b")}
        self.users: dict[str, Any] = {}
        self.monkeypatch = monkeypatch
        self.listener: asyncio.Server | None = None
        self.new_hub()
        monkeypatch.setattr(OnNodes, "_client_of", lambda spawner, name: _Methods(self.clients[name]))
        monkeypatch.setattr(OnNodes, "_look_after_nodes", lambda spawner: None)

    def read(self) -> Nodes:
        if self.bad:
            raise BadNodes(self.bad)
        return Nodes("172.28.0.1", 0, self.nodes)

    def new_hub(self) -> None:
        """As the hub starts: what it knew of nodes and of the line is gone."""
        self.engines = Engines(
            Links(self.folder, lambda: self.now), self.read, lambda: self.drained, lambda: self.manager_mb
        )
        self.monkeypatch.setattr(on_nodes, "ENGINES", self.engines)
        self.monkeypatch.setattr(spawners, "LINE", Line(4, lambda: None))
        self.users.clear()

    def say(self, name: str, memory: int = 5000, **changes: Any) -> None:
        """A line of the node, as it is noted; each is another than the one before."""
        self.said_at += 2
        says = {"memory_mb": memory, "total_mb": 8000, "load": 0, "cpus": 2, "disk_free_mb": 9000, "homes": True}
        (self.folder / name).mkdir(exist_ok=True)
        links.write(name, links.parsed(json.dumps(says | changes), self.said_at), self.folder)

    def say_all(self) -> None:
        self.say("a")
        self.say("b", 4000)

    async def look(self) -> None:
        ask = Server(self, "nobody", known=False).ask
        await Sweep(self.engines, spawners.LINE, self.spawners, ask, logging.getLogger("hub")).look()

    def spawners(self) -> list[Any]:
        return [each for user in self.users.values() for each in user.spawners.values()]

    def passed(self, seconds: float, *who: str) -> None:
        """Time goes by in steps of two seconds; these nodes say something."""
        for _ in range(int(seconds // 2)):
            self.now += 2
            for name in who:
                self.say(name)
            self.engines.look()


class _Methods:
    """docker-py's `containers` is a method."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, "listed" if name == "containers" else name)


class DockerSpawner:
    """Stands in for dockerspawner.DockerSpawner 14, and for what JupyterHub does when a server has ended."""

    _check_pending, remove, mem_limit = False, True, 1024
    executor = ThreadPoolExecutor(4)
    log = logging.getLogger("hub")
    hub_connect_url = "http://172.29.0.1:8081"
    object_id, container_id = "", ""
    _limits, only_node = None, ""

    def __init__(self, site: Site, name: str, state: dict[str, Any] | None = None, known: bool = True) -> None:
        self.site, self._log_name, self.object_name = site, name, f"jupyter-{name}"
        self.active = self.ready = bool(state)
        self.server = SimpleNamespace(ip="127.0.0.1", port=1)
        self.user = site.users.get(name) or SimpleNamespace(name=name, spawners={}, settings={"users": site.users})
        if known:
            site.users[name] = self.user
            self.user.spawners[str(len(self.user.spawners) or "")] = self
        self.load_state(state or {})

    def load_state(self, state: dict[str, Any]) -> None:
        self.object_id = state.get("object_id", "")

    def get_state(self) -> dict[str, Any]:
        return {"object_id": self.object_id}

    def clear_state(self) -> None:
        self.object_id = ""

    def run_pre_spawn_hook(self) -> None:
        pass

    def run_post_stop_hook(self) -> None:
        pass

    def get_env(self) -> dict[str, str]:
        return {"JUPYTERHUB_API_URL": self.hub_connect_url}

    docker: Any

    async def get_object(self) -> Any:
        try:
            found = await self.docker("inspect_container", self.object_name)
        except ApiError as error:
            if error.status_code != 404:
                raise
            return None
        self.object_id = found["Id"]
        return found

    async def poll(self) -> Any:
        found = await self.get_object()
        return 0 if not found else None if found["State"]["Running"] else "ExitCode=1"

    async def start(self) -> tuple[str, int]:
        if await self.get_object() and self.remove:
            await self.remove_object()
        await self.docker("create_container", name=self.object_name)
        self.object_id = self.object_name
        self.env = self.get_env()
        await self.docker("start", self.object_id)
        return await self.get_ip_and_port()

    async def get_ip_and_port(self) -> tuple[str, int]:
        assert self.site.listener
        return self.site.address, self.site.listener.sockets[0].getsockname()[1]

    async def stop_object(self) -> None:
        await self.docker("stop", self.object_id)

    async def remove_object(self) -> None:
        await self.docker("remove_container", self.object_id, v=True)

    # JupyterHub's

    async def spawn(self) -> None:
        """As User.spawn does."""
        self.clear_state()
        self.active = True
        try:
            await self.run_pre_spawn_hook()  # type: ignore[func-returns-value]
            await self.start()
        except BaseException:
            await self.end()
            raise
        self.ready = True

    async def end(self) -> None:
        """As User.stop does."""
        try:
            if await self.poll() is None:
                await self.stop_object()
                await self.remove_object()
                self.clear_state()
        finally:
            await self.run_post_stop_hook()  # type: ignore[func-returns-value]
            self.clear_state()
            self.active = self.ready = False

    async def poll_and_notify(self) -> Any:
        status = await self.poll()
        if status is not None:
            self.ended = status
            await self.end()
        return status


class Server(OnNodes, Starting, DockerSpawner):  # type: ignore[misc]
    pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(spawners, "_PAUSE_S", 0.02)
    monkeypatch.setattr(lines, "_LOOK_S", 0.02)
    yield Site(tmp_path, monkeypatch)


def run(site: Site, scenario: Callable[[], Any]) -> None:
    async def listening() -> None:
        site.listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        site.say_all()
        site.engines.look()
        site.passed(2, "a", "b")
        site.say("b", 4000)
        await site.look()
        await scenario()
        site.listener.close()

    asyncio.run(asyncio.wait_for(listening(), 30))


def test_a_server_starts_where_most_memory_is_and_the_hub_remembers_where(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        await ada.spawn()
        assert ada.node == "a" and site.clients["a"].containers == {"jupyter-ada": True}
        assert ada.get_state() == {"object_id": "jupyter-ada", "node": "a"}
        assert ada.env["JUPYTERHUB_API_URL"] == "http://172.28.0.1:8081"
        assert ada.hub_connect_url == "http://172.29.0.1:8081"
        assert await ada.poll() is None
        site.manager_mb = 9000
        bob = Server(site, "bob")
        await bob.spawn()
        assert bob.node == MANAGER and bob.env["JUPYTERHUB_API_URL"] == "http://172.29.0.1:8081"
        assert "node" not in bob.get_state()
        await ada.end()
        assert site.clients["a"].containers == {} and ada.node == MANAGER

    run(site, go)


def test_a_class_is_spread_and_waits_when_all_are_full(site: Site) -> None:
    async def go() -> None:
        site.say("a", ROOM + EACH_MB)
        site.say("b", ROOM)
        turns = [Turn() for _ in range(4)]
        line = spawners.LINE
        line.engines = site.engines
        waiting = [asyncio.ensure_future(line.wait(turn)) for turn in turns]
        await asyncio.sleep(0)
        assert [turn.node for turn in turns if turn.is_set()] == ["a", "a", "b"]
        assert line.short and "1 people wait for their server: manager has 10 MB left, a has" in line.problem
        site.say("b", 9000)
        await asyncio.sleep(0.1)
        assert turns[3].node == "b" and not line.problem
        await asyncio.gather(*waiting)

    run(site, go)


def test_who_waits_for_a_gpu_holds_up_nobody_who_needs_none(site: Site) -> None:
    async def go() -> None:
        line = spawners.LINE
        line.engines = site.engines
        site.say("b", 10)
        first, second = Turn(gpus=1), Turn()
        waits = asyncio.ensure_future(line.wait(first))
        await asyncio.sleep(0)
        await line.wait(second)
        assert second.node == "a" and not waits.done() and first.why == "memory" and line.place(first) == 1
        site.drained.add("b")
        line.look()
        assert first.why == "away" and "b is drained" in line.problem
        site.drained.clear()
        site.say("b")
        line.look()
        await waits
        assert first.node == "b"

    run(site, go)


def test_nobody_waits_without_end_for_a_machine_that_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE_S", 0.05)
    monkeypatch.setattr(Server, "_limits", SimpleNamespace(gpus=4), raising=False)

    async def go() -> None:
        with pytest.raises(NotStarted, match="No machine that your server can start on answers"):
            await Server(site, "ada").spawn()
        with pytest.raises(NoMemory):
            await spawners.LINE.wait(Turn(gpus=4))

    run(site, go)


NOT_READY: dict[str, Callable[[Site], None]] = {
    "drained": lambda site: site.drained.add("a"),
    "without the disk of homes": lambda site: site.say("a", homes=False),
    "with a full disk": lambda site: site.say("a", disk_free_mb=50),
    "not in the list": lambda site: setattr(site, "nodes", site.nodes[1:]),
    "not looked at": lambda site: site.engines.doubt("a"),
    "silent": lambda site: site.passed(12, "b"),
}


@pytest.mark.parametrize("case", NOT_READY)
def test_a_node_that_is_not_ready_gets_no_new_servers_and_nobody_is_refused(site: Site, case: str) -> None:
    async def go() -> None:
        NOT_READY[case](site)
        ada = Server(site, "ada")
        await ada.spawn()
        assert ada.node == "b"

    run(site, go)


@pytest.mark.parametrize("address", ["172.29.0.5", "169.254.169.254", "", "::1", "localhost", None])
def test_a_node_that_says_the_address_of_another_server_gets_nobody(site: Site, address: Any) -> None:
    async def go() -> None:
        bob = Server(site, "bob", {"node": "b"})
        bob.server = SimpleNamespace(ip=address, port=site.listener.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        site.address = address
        with pytest.raises(NotStarted, match="Your server does not start"):
            await Server(site, "ada").spawn()
        assert bob.ready
        # Of its own containers the manager is believed.
        site.manager_mb = 9000
        site.address = "127.0.0.1"
        ada = Server(site, "ada2")
        await ada.spawn()
        assert ada.node == MANAGER

    run(site, go)


def test_a_list_that_cannot_be_read_changes_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        await ada.spawn()
        site.bad = "nodes.json is not what it should be"
        site.passed(4, "a", "b")
        assert await ada.poll() is None and sum(site.bad in each.getMessage() for each in caplog.records) == 1
        state = ada.get_state()
        site.new_hub()
        site.engines.look()
        restarted = Server(site, "ada", state)
        site.now += 100
        assert await restarted.poll() is None, "nobody says that the node is lost"

    run(site, go)


# -- a node that is lost, and comes back


def test_servers_on_a_node_that_is_lost_are_over_and_start_elsewhere(site: Site) -> None:
    async def go() -> None:
        ada, bob = Server(site, "ada"), Server(site, "bob")
        await ada.spawn()
        site.say("b", 9000)
        await bob.spawn()
        assert (ada.node, bob.node) == ("a", "b")
        site.clients["a"].away = True
        site.passed(28, "b")
        asked = len(site.clients["a"].calls)
        assert await ada.poll() is None, "it may come back"
        await site.look()
        assert ada.ready and len(site.clients["a"].calls) == asked, "nobody waits for a Docker that is away"
        site.passed(6, "b")
        assert await Server(site, "x", {"node": "a"}, known=False).poll() == GONE
        await site.look()
        assert not ada.ready and ada.ended == GONE and bob.ready
        await ada.spawn()
        assert ada.node == "b" and site.clients["b"].containers["jupyter-ada"]

    run(site, go)


def test_what_is_left_on_a_node_that_is_back_is_ended_before_it_gets_new_servers(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        ada, eve = Server(site, "ada"), Server(site, "eve")
        await ada.spawn()
        await eve.spawn()
        site.passed(32, "b")
        await site.look()
        await ada.spawn()
        assert (ada.node, eve.ready) == ("b", False)
        site.clients["a"].containers["jupyter-exited"] = False
        site.passed(2, "a", "b")
        site.say("b", 10)
        turn = Turn()
        spawners.LINE.engines = site.engines
        waits = asyncio.ensure_future(spawners.LINE.wait(turn))
        await asyncio.sleep(0)
        assert not waits.done() and "a is being looked at" in spawners.LINE.problem
        await site.look()
        await waits
        assert turn.node == "a"
        assert site.clients["a"].containers == {} and site.clients["b"].containers == {"jupyter-ada": True}

    run(site, go)
    assert "jupyter-ada on node a is ended: it is nobody's server" in caplog.text


def test_a_server_whose_node_was_silent_for_a_moment_goes_on(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        await ada.spawn()
        site.passed(14, "b")
        assert await ada.poll() is None
        site.passed(2, "a", "b")
        await site.look()
        assert await ada.poll() is None and ada.ready
        assert site.clients["a"].containers == {"jupyter-ada": True}

    run(site, go)


def test_while_the_list_of_what_is_left_cannot_be_had_the_node_gets_no_servers(site: Site) -> None:
    async def go() -> None:
        site.engines.doubt("a")
        site.clients["a"].containers["jupyter-left"] = True
        site.clients["a"].fails["list"] = [ApiError(502, "Docker does not answer")]
        await site.look()
        assert "a" in site.engines.unswept
        site.clients["a"].fails["stop"] = [ApiError(500, "cannot stop")]
        await site.look()
        assert "a" in site.engines.unswept
        await site.look()
        assert site.engines.unswept == set() and site.clients["a"].containers == {}

    run(site, go)


def test_what_goes_wrong_while_a_node_is_looked_at_is_looked_at_again(site: Site) -> None:
    async def go() -> None:
        def wrong(method: str) -> None:
            if method == "stop":
                site.clients["a"].containers["jupyter-late"] = True
                site.engines.doubt("a")

        site.engines.doubt("a")
        site.clients["a"].containers["jupyter-left"] = True
        site.clients["a"].meanwhile = wrong
        await site.look()
        assert "a" in site.engines.unswept
        site.clients["a"].meanwhile = lambda method: None
        await site.look()
        assert site.engines.unswept == set() and site.clients["a"].containers == {}

    run(site, go)


def test_a_node_whose_docker_hangs_holds_up_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how it is, every two seconds."""
    monkeypatch.setattr(on_nodes, "_ASK_S", 1)
    monkeypatch.setattr(on_nodes, "_DOUBTED_S", 0.1)
    monkeypatch.setattr(sweep, "_WAIT_S", 0.1)
    answers = threading.Event()

    async def go() -> None:
        site.clients["a"].meanwhile = lambda method: None if answers.wait(20) else None
        took = []
        for name in ("ada", "bob"):
            began = time.monotonic()
            await Server(site, name).spawn()
            took.append(time.monotonic() - began)
        assert took[0] > 1 > took[1], "whether a server of before is there is not asked for long once more"
        bob = site.users["bob"].spawners[""]
        assert bob.node == "b"
        site.passed(32, "a")
        began = time.monotonic()
        await site.look()
        assert bob.ended == GONE and time.monotonic() - began < 1
        assert "a" in site.engines.unswept

    try:
        run(site, go)
    finally:
        answers.set()


def test_a_container_that_could_not_be_removed_is_when_its_docker_answers_again(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        await ada.spawn()
        site.clients["a"].away = True
        with pytest.raises(ApiError):
            await ada.end()
        assert site.clients["a"].containers == {"jupyter-ada": True} and "a" in site.engines.unswept
        site.clients["a"].away = False
        await site.look()
        assert site.clients["a"].containers == {}

    run(site, go)


def test_a_node_that_dies_under_a_start_is_left_for_another(site: Site) -> None:
    async def go() -> None:
        def dies(method: str) -> None:
            if method == "create":
                site.clients["a"].away = True
                site.passed(12, "b")

        site.clients["a"].meanwhile = dies
        ada = Server(site, "ada")
        await ada.spawn()
        assert ada.node == "b" and site.clients["b"].containers == {"jupyter-ada": True}
        assert not spawners.LINE.starting

    run(site, go)


def test_a_node_that_is_lost_while_the_server_begins_to_listen_is_said(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")

        def dies(method: str) -> None:
            if method == "start":
                site.passed(34, "b")

        site.clients["a"].meanwhile = dies
        with pytest.raises(NotStarted) as failed:
            await ada.spawn()
        assert failed.value.jupyterhub_message.startswith("The machine on which your server started does not answer")
        site.clients["a"].meanwhile = lambda _: None
        await ada.spawn()
        assert ada.node == "b"

    run(site, go)


# -- the hub restarts


def test_a_hub_that_restarts_finds_servers_on_nodes_and_gives_a_silent_node_its_time(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        await ada.spawn()
        state = json.loads(json.dumps(ada.get_state()))
        address = await ada.get_ip_and_port()

        def restarted() -> Server:
            site.new_hub()
            site.engines.look()
            found = Server(site, "ada", state)
            found._check_pending = True
            found.server = SimpleNamespace(ip=address[0], port=address[1])
            return found

        again = restarted()
        assert site.engines.state("a") == "silent", "what it said before is too old"
        polled = asyncio.ensure_future(again.poll())
        await asyncio.sleep(0.1)
        assert not polled.done()
        site.passed(2, "a", "b")
        assert await polled is None and again.node == "a"

        again = restarted()
        polled = asyncio.ensure_future(again.poll())
        site.passed(28, "b")
        await asyncio.sleep(0.1)
        assert not polled.done()
        site.passed(4, "b")
        assert await polled == GONE

    run(site, go)


def test_what_a_hub_that_was_killed_had_made_is_ended_at_its_start(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        await ada.spawn()
        state, address = ada.get_state(), await ada.get_ip_and_port()
        site.clients["b"].containers["jupyter-half"] = True
        site.new_hub()
        Server(site, "ada", state).server = SimpleNamespace(ip=address[0], port=address[1])
        site.engines.look()
        site.passed(2, "a", "b")
        await site.look()
        assert site.clients["a"].containers == {"jupyter-ada": True} and site.clients["b"].containers == {}

    run(site, go)


# -- drain


def test_a_node_that_is_drained_between_the_turn_and_the_start_is_left_for_another(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        ada.active = True
        await ada.run_pre_spawn_hook()
        assert ada._turn and ada._turn.node == "a"
        site.drained.add("a")
        await ada.start()
        assert ada.node == "b"

    run(site, go)


def test_a_start_that_is_under_way_on_a_node_that_is_drained_comes_to_its_end_and_runs_on(site: Site) -> None:
    async def go() -> None:
        site.clients["a"].meanwhile = lambda method: site.drained.add("a") if method == "create" else None
        ada, bob = Server(site, "ada"), Server(site, "bob")
        await ada.spawn()
        assert ada.node == "a" and await ada.poll() is None
        await bob.spawn()
        assert bob.node == "b"
        await site.look()
        assert ada.ready
        await ada.end()
        await ada.spawn()
        assert ada.node == "b", "the next time elsewhere"

    run(site, go)


# -- one container of a server, and which machines it can have


def test_a_container_of_before_keeps_its_node_and_others_are_ended(site: Site) -> None:
    async def go() -> None:
        site.clients["b"].containers["jupyter-ada"] = False
        ada = Server(site, "ada")
        await ada.spawn()
        assert ada.node == "b"
        await ada.end()
        site.clients["b"].containers["jupyter-ada"] = True
        site.clients[MANAGER].containers["jupyter-ada"] = True
        site.drained.add("b")
        site.manager_mb = 10
        await ada.spawn()
        assert ada.node == MANAGER and site.clients["b"].containers == {}
        assert sum("jupyter-ada" in each.containers for each in site.clients.values()) == 1

    run(site, go)


def test_a_container_of_before_that_goes_by_itself_keeps_nobody_from_starting(site: Site) -> None:
    async def go() -> None:
        site.clients["b"].containers["jupyter-ada"] = True
        site.drained.add("b")
        site.clients["b"].fails["stop"] = [ApiError(404, "no such container")]
        site.clients["b"].fails["remove"] = [ApiError(409, "removal of container is already in progress")]
        ada = Server(site, "ada")
        await ada.spawn()
        assert ada.node == "a"

    run(site, go)


def test_containers_that_an_operator_keeps_are_stopped_and_stay(site: Site) -> None:
    async def go() -> None:
        site.clients["a"].containers |= {"jupyter-old": False, "jupyter-left": True}
        sweep = Sweep(
            site.engines,
            spawners.LINE,
            site.spawners,
            Server(site, "x", known=False).ask,
            logging.getLogger("hub"),
            remove=False,
        )
        site.engines.doubt("a")
        await sweep.look()
        assert site.clients["a"].containers == {"jupyter-old": False, "jupyter-left": False}
        assert "stop jupyter-old" not in site.clients["a"].calls

    run(site, go)


def test_a_start_that_is_given_up_in_the_middle_leaves_nothing(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(method: str) -> None:
            if method == "create":
                loop.call_soon_threadsafe(asked.set)
                time.sleep(0.3)

        site.clients["a"].meanwhile = slow
        begun = asyncio.ensure_future(ada.spawn())
        await asked.wait()
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
        assert "a" in site.engines.unswept
        await asyncio.sleep(0.5)
        await site.look()
        assert site.clients["a"].containers == {}

    run(site, go)


def test_a_second_server_of_a_person_starts_beside_the_first(site: Site) -> None:
    async def go() -> None:
        site.say("b", 6000)
        ada = Server(site, "ada")
        await ada.spawn()
        assert ada.node == "b"
        site.say("a", 9000)
        second = Server(site, "ada")
        second.object_name = "jupyter-ada-ml"
        await second.spawn()
        assert second.node == "b"

    run(site, go)


def test_what_cannot_run_on_a_node_starts_on_the_manager(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        site.clients["a"].fails["create"] = [
            ApiError(409, "on the manager alone: the files of ada are not on the disk")
        ]
        site.manager_mb = 600
        ada = Server(site, "ada")
        await ada.spawn()
        assert ada.node == MANAGER and ada._turn is None

    run(site, go)
    assert "ada starts on the manager" in caplog.text


def test_a_server_in_an_exam_starts_on_the_manager_and_its_person_reads_why_they_wait(site: Site) -> None:
    class InExam(Server):
        only_node = MANAGER

    async def go() -> None:
        ada = InExam(site, "ada")
        begun = asyncio.ensure_future(ada.spawn())
        await asyncio.sleep(0.1)
        said = ada._event()["message"]
        assert said.startswith(
            "You are number 1 of 1 in line. A server in an exam starts on one machine of this hub alone"
        )
        site.manager_mb = 5000
        await begun
        assert ada.node == MANAGER

    run(site, go)


def test_an_exam_that_begins_after_the_turn_came_moves_the_start_to_the_manager(site: Site) -> None:
    async def go() -> None:
        ada = Server(site, "ada")
        ada.active = True
        await ada.run_pre_spawn_hook()
        site.manager_mb = 5000
        ada.only_node = MANAGER
        await ada.start()
        assert ada.node == MANAGER

    run(site, go)


def test_an_image_that_a_node_has_not_yet_is_waited_for(site: Site) -> None:
    async def go() -> None:
        site.clients["a"].fails["create"] = [ApiError(404, "No such image: hubrun-singleuser:latest")] * 2
        ada = Server(site, "ada")
        begun = asyncio.ensure_future(ada.spawn())
        await begun
        assert ada.node == "a"

    run(site, go)


def test_the_page_names_no_node(site: Site) -> None:
    async def go() -> None:
        site.say("a", 10)
        site.say("b", 10)
        ada = Server(site, "ada")
        begun = asyncio.ensure_future(ada.spawn())
        await asyncio.sleep(0.1)
        said = ada._event()["message"]
        assert said == (
            "You are number 1 of 1 in line. The memory of all machines is in use, so somebody else's server has to stop before "
            "yours starts."
        )
        site.clients["a"].fails["create"] = [ApiError(503, "node a is away: connection refused")] * 50
        site.say("a", 9000)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if "answer" in (said := ada._event()["message"]):
                break
        assert said == "One of this hub's machines does not answer just now. It is tried again and again."
        site.clients["a"].fails.clear()
        await site.look()
        await begun

    run(site, go)


def test_nodes_that_answer_or_do_not_are_in_the_hubs_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        site.passed(12, "b")
        site.passed(2, "a", "b")

    run(site, go)
    said = [each.getMessage() for each in caplog.records if each.getMessage().startswith("node a")]
    assert "node a does not answer" in said and said[-1] == "node a answers"
