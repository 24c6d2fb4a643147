"""Watches how often Linux ended a process of this container for its memory, and tells the pages that run something."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.connection import channels

Connection: Any = channels.ZMQChannelsWebsocketConnection
# A container sees its own group there. Linux, "Control Group v2", Memory Interface Files; and "Memory Resource Controller"
# for version 1.
GROUP = Path("/sys/fs/cgroup")
_EVENTS = ("memory.events", "memory/memory.oom_control")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_LOOK_S = 0.5


def killed(group: Path = GROUP) -> int:
    """How many processes were ended because the limit was reached; 0 where that cannot be read."""
    try:
        lines = _read(group, _EVENTS).splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (StopIteration, ValueError):
        return 0


def limit(group: Path = GROUP) -> str:
    """The limit for people, such as "1024 MB"."""
    try:
        return f"{int(_read(group, _LIMITS)) // 2**20} MB"
    except ValueError:
        return "what it may use"


def _read(group: Path, names: tuple[str, ...]) -> str:
    for name in names:
        with suppress(OSError):
            return (group / name).read_text()
    return ""


class Watch:
    """How often it happened until now, in the container whose group this is."""

    def __init__(self, log: Any, group: Path) -> None:
        self.log, self.group, self.before = log, group, killed(group)

    async def go_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if (now := killed(self.group)) > self.before:
                self.log.error("The memory limit of %s was reached: a process was ended", limit(self.group))
                for connection in list(Connection._open_sockets):
                    try:
                        alive = connection.kernel_manager.is_alive()
                        self.tell(connection, await alive if inspect.isawaitable(alive) else alive)
                    except Exception as error:  # a page that is just closed
                        self.log.warning("A page was not told of it: %s", error)
            self.before = now

    def tell(self, connection: Any, alive: bool) -> None:
        """Say it below the cell that runs on this connection, if one does: alive or not is its kernel."""
        running = getattr(connection, "hubrun_runs", None)
        if running is None:
            return
        what = (
            "a process that it started was ended" if alive else "it was ended, and starts again without its variables"
        )
        connection.write_stderr(
            f"The memory limit of your server, {limit(self.group)}, was reached by this notebook or another of yours: {what}. "
            "Load less data at a time, or shut down kernels that you do not need.",
            running,
        )
        if not alive:
            connection.hubrun_runs = None

    def before_restarts(self) -> None:
        """Jupyter may see before us that a kernel ended, and a page takes nothing for a cell after its kernel's restart."""
        restarted = Connection.on_kernel_restarted

        def told_first(connection: Any) -> None:
            if killed(self.group) > self.before:
                self.tell(connection, alive=False)
            connection.hubrun_runs = None
            restarted(connection)

        Connection.on_kernel_restarted = told_first


def watch(log: Any, group: Path = GROUP) -> asyncio.Task[None]:
    """Begin to watch; ends with the server."""
    _note_cells()
    watching = Watch(log, group)
    watching.before_restarts()
    return asyncio.ensure_future(watching.go_on())


def _note_cells() -> None:
    """Let each page's connection know which cell runs: what is said of it must name the request that it answers."""
    seen = Connection._limit_rate

    def note(self: Any, channel: str, message: dict[str, Any], parts: list[Any]) -> Any:
        if channel == "iopub":
            header = message["header"] = self.get_part("header", message["header"], parts)
            if header["msg_type"] in ("execute_input", "status"):
                parent = message["parent_header"] = self.get_part("parent_header", message["parent_header"], parts)
                if header["msg_type"] == "execute_input":
                    self.hubrun_runs = parent
                elif getattr(self, "hubrun_runs", None) and parent.get("msg_id") == self.hubrun_runs.get("msg_id"):
                    content = message["content"] = self.get_part("content", message["content"], parts)
                    if content.get("execution_state") == "idle":
                        self.hubrun_runs = None
        return seen(self, channel, message, parts)

    Connection._limit_rate = note
