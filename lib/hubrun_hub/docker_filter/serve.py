"""The service: reads one request from each connection, and passes on what is allowed."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..courses.exam_address import HOSTS, NoAddress, free
from ..nodes.nodes_file import LINKS, MANAGER, MANAGER_ALONE, docker_socket, of_filter_socket
from .calls import DockerCall, check_container, parse_call
from .create import CreateRequest, create, in_exam
from .engine import LIST_BYTES, Engine, FilterError
from .folders import UnsafeFolder, make, remove
from .homes import HOMES, HomesAway, home, limited, on_node, remove_home
from .settings import Refused, Settings, load

DOCKER = "/run/docker.sock"
# The first that systemd passes on: sd_listen_fds(3).
_LISTEN_FD = 3

_HEAD_BYTES = 16 * 1024
_BODY_BYTES = 256 * 1024
# Of each engine.
_CONNECTIONS = 64
# A request has to be there within so long.
_REQUEST_S = 10.0
_DRAIN_S = 20.0
# Between the making of a container and its start, after which Docker tells of its address.
_GIVEN_S = 120.0
# How often the students' network is looked for; it is made again when it was not there twice, so not in the moment in which
# runbook 04 makes it again.
_LOOK_S = 2.0
_Late = asyncio.TimeoutError  # a class of its own in Python 3.10


class Request(NamedTuple):
    """What the hub asks. target: path and query, as they came (RFC 9112, 3.2)."""

    method: str
    target: str
    body: bytes


class Filter:
    """docker: the manager's socket of Docker. settings: what is asked for at each request, so that a change counts at once.
    homes: the socket of `hubrun_hub.homes`. hosts: what `programs/exam.py` found. links: where the sockets of nodes are."""

    def __init__(
        self, docker: str = DOCKER, settings: Any = load, homes: str = HOMES, hosts: Path = HOSTS, links: Path = LINKS
    ) -> None:
        self.manager, self.settings, self.homes, self.hosts = Engine(MANAGER, docker), settings, homes, hosts
        self.links = links
        # Addresses that containers in exams got a moment ago, and until when Docker may not know of them.
        self.given: dict[str, float] = {}
        # What is under way, and whose Docker it is for: one node that hangs does not hold up the others.
        self.tasks: dict[asyncio.Task[None], str] = {}

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        node = of_filter_socket(writer.get_extra_info("sockname") or "")
        engine = self.manager if node == MANAGER else Engine(node, docker_socket(node, self.links))
        task = asyncio.get_running_loop().create_task(self.serve(engine, reader, writer))
        self.tasks[task] = node
        task.add_done_callback(self.tasks.pop)

    async def serve(self, engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = None
        try:
            if list(self.tasks.values()).count(engine.node) > _CONNECTIONS:
                raise FilterError(503, "too many requests at once")
            request = await asyncio.wait_for(_read(reader), _REQUEST_S)
            answer = await self.answer(engine, request)
        except Refused as error:
            _log(f"refused: {_shown(request)}: {error}", level=4)
            answer = _message(403, f"refused by hubrun-docker-filter: {error}")
        except UnsafeFolder as error:
            _log(f"courses: {error}", level=3)
            answer = _message(409, f"courses: {error}")
        except HomesAway as error:
            _log(f"homes: {error}", level=3)
            answer = _message(503, f"homes: {error}")
        except FilterError as error:
            _log(f"{_shown(request)}: {error}", level=4)
            answer = _message(error.status, str(error))
        except (_Late, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            answer = _message(400, "no whole request came in time")
        except OSError as error:
            _log(f"{_shown(request)}: Docker does not answer: {error}", level=3)
            answer = _message(502, f"Docker does not answer: {error}")
        with suppress(OSError, _Late):  # the client is gone
            writer.write(answer)
            await asyncio.wait_for(writer.drain(), _REQUEST_S)
        writer.close()

    async def answer(self, engine: Engine, request: Request) -> bytes:
        """The whole answer to a request, for the client. Raises Refused, UnsafeFolder, HomesAway, FilterError, OSError."""
        settings = self.settings()
        call = parse_call(request.method, request.target, settings)
        if call.kind == "create":
            try:
                asked = json.loads(request.body)
            except (ValueError, RecursionError) as error:
                raise Refused("the body is not JSON") from error
            return await self._create(engine, call, create(asked, call.name, settings), settings)
        if request.body:
            raise Refused("this call has no body")
        if call.kind == "container":
            return await self._container(engine, call, settings)
        if engine.on_node and call.kind == "volume":
            raise Refused("a home is removed on the manager")
        answer = await engine.ask(call.method, call.path, most=LIST_BYTES if call.kind == "containers" else 0)
        # Docker keeps a volume while a container uses it: after this nobody is at work in the folders either.
        if call.kind == "volume" and _status(answer) in (b"204", b"404"):
            if settings.courses:
                await asyncio.to_thread(_remove_folders, call.name, settings)
            if settings.homes:
                await remove_home(self.homes, call.name)
        return answer

    async def _create(self, engine: Engine, call: DockerCall, made: CreateRequest, settings: Settings) -> bytes:
        if engine.on_node:
            if not settings.homes:
                raise Refused("nodes need homes on a disk of their own (homes_device or homes_gb)")
            if made.exam:
                raise FilterError(409, f"{MANAGER_ALONE}: a server in an exam runs there")
        async with AsyncExitStack() as held:
            if settings.homes and made.user:
                names = [each.course for each in made.courses]
                # Homes and courses are made on the manager's disk, wherever the container runs.
                home_there = home(self.homes, made.user, settings.homes, self.manager.ask, names)
                found = await held.enter_async_context(home_there)
                host = made.body["HostConfig"]
                if engine.on_node and not found.on_disk:
                    raise FilterError(409, f"{MANAGER_ALONE}: the files of {made.user} are not on the disk of homes")
                if not engine.on_node:
                    limited(host, settings.courses, made.user, found.courses, settings.homes)
                host["Binds"] += found.binds
            if made.courses:
                await asyncio.to_thread(_make_folders, made, settings)
            if made.exam:
                in_exam(made.body, await self._address(settings), self._hosts(made.exam), settings)
            if engine.on_node:
                on_node(made.body["HostConfig"], made.user, settings.homes)
            return await engine.ask(call.method, call.path, json.dumps(made.body).encode())

    async def _address(self, settings: Settings) -> str:
        """An address for a container in an exam. Raises FilterError."""
        answer = await self.manager.ask("GET", f"/v1.41/networks/{settings.network}")
        if _status(answer) != b"200":
            raise FilterError(404, f"network {settings.network} not found")
        now = time.monotonic()
        self.given = {address: until for address, until in self.given.items() if until > now}
        containers = json.loads(answer.partition(b"\r\n\r\n")[2]).get("Containers") or {}
        used = {each["IPv4Address"].partition("/")[0] for each in containers.values()} | self.given.keys()
        try:
            address = free(settings.subnet, used)
        except NoAddress as error:
            raise FilterError(503, f"exam: {error}") from error
        self.given[address] = now + _GIVEN_S
        return address

    def _hosts(self, exam: str) -> dict[str, list[str]]:
        """Host → its addresses. Raises FilterError while they are not known: a container keeps what it gets at its start."""
        try:
            return dict(json.loads(self.hosts.read_text())[exam])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FilterError(503, "exam: the addresses of its hosts are not known yet") from error

    async def _container(self, engine: Engine, call: DockerCall, settings: Settings) -> bytes:
        """Docker is asked whose it is, and from then on by its number: the name may be another's by then."""
        version = call.path.partition("/containers/")[0]
        seen = await engine.ask("GET", f"{version}/containers/{call.name}/json")
        if _status(seen) != b"200":
            return seen
        try:
            number = check_container(json.loads(seen.partition(b"\r\n\r\n")[2]), call, settings)
        except (ValueError, TypeError, RecursionError) as error:
            raise FilterError(502, f"Docker's answer is not understood: {error!r}"[:200]) from error
        if call.path.endswith("/json"):
            return seen
        answer = await engine.ask(call.method, call.path.format(name=number))
        if call.starts and engine.on_node and _status(answer) == b"404" and b"network" in answer:
            raise FilterError(
                404, f"network {settings.network} not found on node {engine.node}: run 04, which makes it there"
            )
        return answer

    async def keep_network(self) -> None:
        """Make the manager's students' network again when it is gone: `docker network prune` removes it while nobody works.

        Without it the hub has no address, and no server starts.
        """
        missing, said = 0, ""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                settings = self.settings()
                there = _status(await self.manager.ask("GET", f"/networks/{settings.network}")) != b"404"
                missing = 0 if there or not settings.subnet else missing + 1
                if missing < 2:
                    continue
                answer = await self.manager.ask("POST", "/networks/create", json.dumps(_network(settings)).encode())
                made = _status(answer) == b"201"
                why = answer.partition(b"\r\n\r\n")[2].decode(errors="replace")
                text = f"the network {settings.network} was gone: " + ("it is made again" if made else why)
            except (OSError, Refused, FilterError):
                missing = 0  # Docker does not run, or the settings are said to be wrong elsewhere
                continue
            if made or text != said:
                _log(text, level=4 if made else 3)
            said = text


def _network(settings: Settings) -> dict[str, Any]:
    """The body that makes it (https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Network), as runbook 04 does."""
    return {
        "Name": settings.network,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": settings.subnet, "Gateway": settings.gateway}]},
        "Options": {"com.docker.network.bridge.enable_icc": "false"},
    }


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii", "strict")
    first, *lines = head.split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refused("not a request of HTTP/1.1")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    lengths = [value for name, value in headers if name == "content-length"] or ["0"]
    if any(name in ("transfer-encoding", "upgrade") for name, _ in headers) or len(lengths) > 1:
        raise Refused("a request with one length alone is understood")
    if not lengths[0].isdecimal() or int(lengths[0]) > _BODY_BYTES:
        raise Refused(f"the body may have {_BODY_BYTES} bytes")
    return Request(words[0], words[1], await reader.readexactly(int(lengths[0])))


def _make_folders(made: CreateRequest, settings: Settings) -> None:
    try:
        former = pwd.getpwnam(settings.hub_user).pw_uid if settings.hub_user else None
    except KeyError:
        former = None
    try:
        make(Path(settings.courses), made.user, made.courses, former)
    except (OSError, ValueError) as error:
        raise UnsafeFolder(str(error)) from error


def _remove_folders(user: str, settings: Settings) -> None:
    try:
        remove(Path(settings.courses), user)
    except (OSError, RecursionError) as error:
        _log(f"courses: a folder of {user} stays: {error}", level=4)


def _status(answer: bytes) -> bytes:
    """The code of an answer of HTTP."""
    return b"".join(answer.partition(b"\r\n")[0].split(b" ")[1:2])


def _message(status: int, text: str) -> bytes:
    """An answer as Docker gives it for an error."""
    body = json.dumps({"message": text}).encode()
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _shown(request: Request | None) -> str:
    return f"{request.method} {request.target}"[:200] if request else "a request"


def _plain(text: str) -> str:
    """Without what a terminal would act upon."""
    return "".join(each if " " <= each <= "~" else each.encode("unicode_escape").decode() for each in text)


def _log(line: str, level: int) -> None:
    """Into the journal, in one line. The number is its priority: sd-daemon(3)."""
    print(f"<{level}>{_plain(line)[:1000]}", file=sys.stderr, flush=True)


async def run(listening: Iterable[socket.socket], service: Filter) -> None:
    """Serve on these sockets until SIGTERM; what is under way is brought to its end."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    servers = [await asyncio.start_unix_server(service.connected, sock=each, limit=_HEAD_BYTES) for each in listening]
    keeper = asyncio.get_running_loop().create_task(service.keep_network())
    await stopped.wait()
    keeper.cancel()
    for server in servers:
        server.close()
    if service.tasks:
        await asyncio.wait(set(service.tasks), timeout=_DRAIN_S)


def main() -> int:
    """Serve on the sockets that systemd passes on (sd_listen_fds(3)) until SIGTERM; the exit code."""
    given = int(os.environ.get("LISTEN_FDS", "0"))
    if not given:
        print("<3>systemd must pass on the sockets: start hubrun-docker-filter.socket", file=sys.stderr)
        return 1
    began = time.monotonic()
    try:
        load()
    except Refused as error:
        _log(f"every call is refused until this is right: {error}", level=3)
    with ExitStack() as opened:
        numbers = range(_LISTEN_FD, _LISTEN_FD + given)
        listening = [opened.enter_context(socket.socket(fileno=number)) for number in numbers]
        asyncio.run(run(listening, Filter()))
    _log(f"stopped after {time.monotonic() - began:.0f} s", level=6)
    return 0
