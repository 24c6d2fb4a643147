"""A real JupyterHub, a real proxy and, where wanted, a real PostgreSQL on loopback; only servers are played.

The hub's own environment, authenticator, line and proxy settings, as on a server. Each student's server is an address of
127.0.0.0/8 (one program answers at all of them at once), so what is measured is the hub, its database and the proxy.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.postgresql import driver
from benchmarks.processes import cpu_s, family, pss_mb

from hubrun.environment import PROJECT
from hubrun.errors import CommandFailed
from hubrun.resources.node_packages import NodePackages
from hubrun.sections.hub import config

sys.path.insert(0, str(PROJECT / "tests"))  # the hub that the tests start

from lti_hub import KEY, SECRET, Hub, free_port, hub_python

_SETTINGS = """
import time
from pathlib import Path

sys.path.append({driver!r})

from hubrun_hub.starting.proxy import WatchedProxy
from hubrun_hub.starting.spawner import LINE, Starting
from jupyterhub.spawner import Spawner
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

LINE.memory = lambda: None
_commit, _waited = Session.commit, 0.0


def commit(self):
    "The hub does nothing else while the database writes."
    global _waited
    began = time.perf_counter()
    try:
        _commit(self)
    finally:
        _waited += time.perf_counter() - began
        Path("waited").write_text(str(_waited))


Session.commit = commit


class Instant(Spawner):
    "Runs nothing: it is told where somebody answers."
    container_id, remove, runs = "", False, False

    async def start(self):
        self.runs = True
        Path("tokens", self.user.name).write_text(self.api_token)
        return await self.get_ip_and_port()

    async def stop(self, now=False):
        self.runs = False

    async def poll(self):
        return None if self.runs else 0

    async def get_ip_and_port(self):
        number = self.user.orm_user.id
        return f"127.{{1 + number // 62500}}.{{number // 250 % 250}}.{{1 + number % 250}}", {students}

    async def get_object(self):
        return None

    def get_state(self):
        return super().get_state() | {{"runs": self.runs}}

    def load_state(self, state):
        super().load_state(state)
        self.runs = state.get("runs", False)

    def clear_state(self):
        super().clear_state()
        self.runs = False


class Student(Starting, Instant):
    pass


c.JupyterHub.db_url = {database!r}
if c.JupyterHub.db_url.startswith("sqlite"):
    @event.listens_for(Engine, "connect")
    def keep_journal(connection, _):
        connection.execute("PRAGMA journal_mode = PERSIST")

c.JupyterHub.spawner_class = Student
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.oauth_require_pkce = True
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy}"
c.JupyterHub.proxy_class = WatchedProxy
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.auth_token = {token!r}
"""
_ANSWER = b"HTTP/1.1 200 OK\r\nX-JupyterHub-Version: 6.1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
# With a thousand servers, on a machine that does other work too.
_SECONDS = 600


class Site:
    """One hub with its proxy and its database. proxy: the port at which browsers come."""

    def __init__(self, folder: Path, students: int, database: str = "", postmaster: int = 0) -> None:
        self.proxy, self._api, self._token, self._postmaster = (
            free_port(),
            free_port(),
            secrets.token_hex(16),
            postmaster,
        )
        settings = _SETTINGS.format(
            students=students, proxy=self.proxy, api=self._api, token=self._token,
            database=database or "sqlite:///jupyterhub.sqlite", driver=str(driver()) if database else "",
        )  # fmt: skip
        self.hub = Hub(folder, settings=settings)
        (folder / "tokens").mkdir()
        self.hub.consumer("default", KEY, SECRET)
        self._front: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start proxy and hub. Raises CommandFailed."""
        with (self.hub.folder / "proxy.log").open("wb") as log:
            self._front = subprocess.Popen(
                [*_proxy_command(), "--ip=127.0.0.1", f"--port={self.proxy}", "--api-ip=127.0.0.1", f"--api-port={self._api}",
                 f"--default-target=http://127.0.0.1:{self.hub.port}"],
                env={"CONFIGPROXY_AUTH_TOKEN": self._token, "PATH": os.defpath}, stdout=log, stderr=log,
            )  # fmt: skip
        self.start_hub()

    def start_hub(self) -> None:
        """Start the hub, and wait until it answers. Raises CommandFailed."""
        try:
            self.hub.start(_SECONDS)
        except AssertionError as error:
            raise CommandFailed("the hub does not start", str(self.hub.folder), detail=str(error)) from None

    def stop(self) -> None:
        self.hub.stop()
        if self._front:
            self._front.terminate()
            self._front.wait(20)

    @property
    def hub_pid(self) -> int:
        assert self.hub._process
        return self.hub._process.pid

    @property
    def proxy_pid(self) -> int:
        assert self._front
        return self._front.pid

    def used(self) -> dict[str, float]:
        """Seconds of a processor that each part has used: hub, proxy, and database where that is a program of its own; and
        `commits`: for how long the hub waited until the database had written.
        """
        waited = float((self.hub.folder / "waited").read_text() or 0)
        found = {"hub": cpu_s(self.hub_pid), "proxy": cpu_s(self.proxy_pid), "commits": waited}
        if self._postmaster:
            found["database"] = sum(map(cpu_s, family(self._postmaster)))
        return found

    def memory_mb(self) -> dict[str, float]:
        """Proportional set size of each part, in MB."""
        found = {"hub": pss_mb(self.hub_pid), "proxy": pss_mb(self.proxy_pid)}
        if self._postmaster:
            found["database"] = sum(map(pss_mb, family(self._postmaster)))
        return found


def _proxy_command() -> list[str]:
    """The proxy that a server has, by its pins; installed once, beside the hub's environment."""
    venv = hub_python().parent.parent
    lock = config.pinned("proxy/package-lock.json")
    packages = NodePackages(f"{venv}/proxy", venv=str(venv), package=config.pinned("proxy/package.json"), lock=lock)
    found = subprocess.run(["bash", "-c", packages.probe()], capture_output=True, text=True, check=False).stdout
    for action in packages.plan(found):
        done = subprocess.run(["bash", "-ec", action.script], input=action.data, capture_output=True, check=False)
        if done.returncode:
            raise CommandFailed("the proxy cannot be installed", str(venv), detail=done.stderr.decode(errors="replace"))
    return [f"{venv}/bin/node", f"{venv}/proxy/node_modules/.bin/configurable-http-proxy"]


@contextmanager
def students() -> Iterator[int]:
    """One program that answers for every student's server; the port. Only this machine reaches it."""
    listener = socket.socket()
    # All of 127.0.0.0/8 at once, and nothing that comes from elsewhere: socket(7).
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    listener.bind(("0.0.0.0", 0))  # nosec B104
    listener.listen(1024)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_ANSWER)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # who only looked whether somebody listens
        finally:
            writer.close()

    async def serve() -> None:
        await asyncio.start_server(answer, sock=listener)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        listener.close()
