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
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..courses.exam_address import HOSTS, NoAddress, free
from .calls import DockerCall, check_container, parse_call
from .create import CreateRequest, create, in_exam
from .folders import UnsafeFolder, make, remove
from .homes import HOMES, HomesAway, home, limited, remove_home
from .settings import Refused, Settings, load

DOCKER = "/run/docker.sock"
# The first that systemd passes on: sd_listen_fds(3).
_LISTEN_FD = 3

_HEAD_BYTES = 16 * 1024
_BODY_BYTES = 256 * 1024
_ANSWER_BYTES = 8 * 1024 * 1024
_CONNECTIONS = 64
# A request has to be there within the first; what Docker does may take as long as the second (a stop waits for 10 s).
_REQUEST_S = 10.0
_DOCKER_S = 300.0
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


class FilterError(Exception):
    """A request that is not answered by Docker: the status, and a line for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Filter:
    """docker: Docker's socket. settings: what is asked for at each request, so that a change counts at once. homes: the
    socket of `hubrun_hub.homes`. hosts: what `programs/exam.py` found."""

    def __init__(self, docker: str = DOCKER, settings: Any = load, homes: str = HOMES, hosts: Path = HOSTS) -> None:
        self.docker, self.settings, self.homes, self.hosts = docker, settings, homes, hosts
        # Addresses that containers in exams got a moment ago, and until when Docker may not know of them.
        self.given: dict[str, float] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self.serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = None
        try:
            if len(self.tasks) > _CONNECTIONS:
                raise FilterError(503, "too many requests at once")
            request = await asyncio.wait_for(_read(reader), _REQUEST_S)
            answer = await self.answer(request)
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

    async def answer(self, request: Request) -> bytes:
        """The whole answer to a request, for the client. Raises Refused, UnsafeFolder, HomesAway, FilterError, OSError."""
        settings = self.settings()
        call = parse_call(request.method, request.target, settings)
        if call.kind == "create":
            try:
                asked = json.loads(request.body)
            except (ValueError, RecursionError) as error:
                raise Refused("the body is not JSON") from error
            made = create(asked, call.name, settings)
            if not (settings.homes and made.user):
                return await self._create(call, made, settings)
            names = [each.course for each in made.courses]
            async with home(self.homes, made.user, settings.homes, self.ask, names) as found:
                host = made.body["HostConfig"]
                limited(host, settings.courses, made.user, found.courses, settings.homes)
                host["Binds"] += found.binds
                return await self._create(call, made, settings)
        if request.body:
            raise Refused("this call has no body")
        if call.kind == "container":
            return await self._container(call, settings)
        answer = await self.ask(call.method, call.path)
        # Docker keeps a volume while a container uses it: after this nobody is at work in the folders either.
        if call.kind == "volume" and _status(answer) in (b"204", b"404"):
            if settings.courses:
                await asyncio.to_thread(_remove_folders, call.name, settings)
            if settings.homes:
                await remove_home(self.homes, call.name)
        return answer

    async def _create(self, call: DockerCall, made: CreateRequest, settings: Settings) -> bytes:
        if made.courses:
            await asyncio.to_thread(_make_folders, made, settings)
        if made.exam:
            in_exam(made.body, await self._address(settings), self._hosts(made.exam), settings)
        return await self.ask(call.method, call.path, json.dumps(made.body).encode())

    async def _address(self, settings: Settings) -> str:
        """An address for a container in an exam. Raises FilterError."""
        answer = await self.ask("GET", f"/v1.41/networks/{settings.network}")
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

    async def _container(self, call: DockerCall, settings: Settings) -> bytes:
        """Docker is asked whose it is, and from then on by its number: the name may be another's by then."""
        version = call.path.partition("/containers/")[0]
        seen = await self.ask("GET", f"{version}/containers/{call.name}/json")
        if _status(seen) != b"200":
            return seen
        number = check_container(json.loads(seen.partition(b"\r\n\r\n")[2]), call, settings)
        if call.path.endswith("/json"):
            return seen
        return await self.ask(call.method, call.path.format(name=number))

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Docker's whole answer. HTTP/1.0: it comes in one piece, and the connection ends with it."""

        async def exchange() -> bytes:
            reader, writer = await asyncio.open_unix_connection(self.docker)
            try:
                head = f"{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                found = bytearray()
                while piece := await reader.read(65536):
                    found += piece
                    if len(found) > _ANSWER_BYTES:
                        raise FilterError(502, "Docker's answer is too long")
                return bytes(found)
            finally:
                writer.close()

        try:
            return await asyncio.wait_for(exchange(), _DOCKER_S)
        except _Late as error:
            raise FilterError(504, f"Docker does not answer within {_DOCKER_S:g} s") from error

    async def keep_network(self) -> None:
        """Make the students' network again when it is gone: `docker network prune` removes it while nobody works.

        Without it the hub has no address, and no server starts.
        """
        missing, said = 0, ""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                settings = self.settings()
                there = _status(await self.ask("GET", f"/networks/{settings.network}")) != b"404"
                missing = 0 if there or not settings.subnet else missing + 1
                if missing < 2:
                    continue
                answer = await self.ask("POST", "/networks/create", json.dumps(_network(settings)).encode())
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


async def run(listening: socket.socket, service: Filter) -> None:
    """Serve until SIGTERM; what is under way is brought to its end."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncio.start_unix_server(service.connected, sock=listening, limit=_HEAD_BYTES)
    keeper = asyncio.get_running_loop().create_task(service.keep_network())
    await stopped.wait()
    keeper.cancel()
    server.close()
    if service.tasks:
        await asyncio.wait(set(service.tasks), timeout=_DRAIN_S)


def main() -> int:
    """Serve on the socket that systemd passes on (sd_listen_fds(3)) until SIGTERM; the exit code."""
    if os.environ.get("LISTEN_FDS") != "1":
        print("<3>systemd must pass on the socket: start hubrun-docker-filter.socket", file=sys.stderr)
        return 1
    began = time.monotonic()
    try:
        load()
    except Refused as error:
        _log(f"every call is refused until this is right: {error}", level=3)
    with socket.socket(fileno=_LISTEN_FD) as listening:
        asyncio.run(run(listening, Filter()))
    _log(f"stopped after {time.monotonic() - began:.0f} s", level=6)
    return 0
