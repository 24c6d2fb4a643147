"""The part of a spawner that waits in line, says what it waits for, and ends at once when the container has ended."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from tornado.web import HTTPError

from ..awaited import awaited
from ..not_started import NotStarted
from .line import RETRY_S, Late, Line, NoMemory, Turn, at_once, available_mb

# Everybody's, in the one process of the hub.
LINE = Line(at_once(), available_mb)

# A server that computes for so long, or for ever, makes place for the next: its owner can write what it runs at its start.
SLOW_S = 60.0
AGAIN_S = 5.0
_PAUSE_S = 2.0
ANSWER_S = 20.0
_LINES = 20

_OWN = "Your server of before is still being removed"
# What Docker, or what stands between it and the hub, says → what the page says.
_PASSING = (
    (r"node \S+ is away", "One of this hub's machines does not answer just now"),
    (r"Docker does not answer|too many requests at once|no whole request came in time|Connection aborted|Connection refused|"
     r"Read timed out|Cannot connect", "Docker, which runs everybody's server, does not answer just now"),
    (r"network \S+ not found|no such network", "The network of the students' servers is missing"),
    (r"No such image", "The image of the students' servers is missing"),
    (r"bind source path does not exist|failed to mount local volume", "The disk with everybody's files is not there"),
    (r"homes: .* (is|are) being moved", "Your files are being moved to another disk"),
    (r"exam: ", "The network of the exam is not ready yet"),
    (r"homes: ", "The disk with everybody's files is not there"),
    (r"is already in use by container|removal of container|marked for removal", _OWN),
)  # fmt: skip
_REFUSED = (
    "A setting of this hub asks for what is not allowed here. Please tell whoever runs this hub: its log says which."
)
_FULL = (
    "The server's memory is full, and nobody's became free. Your files are safe. Try again later, and tell your teacher: "
    "whoever runs this hub can give it more memory."
)
_AWAY = (
    "No machine that your server can start on answers. Your files are safe. Try again later, and tell your teacher, or whoever "
    "runs this hub."
)
_TOO_LONG = "Your files are safe. Try again in some minutes; if it happens again, tell whoever runs this hub."
_OF_NO_USE = "Your files are safe, and trying again does not help: tell your teacher, or whoever runs this hub. The hub's log says why."


def passing(error: BaseException) -> str:
    """What is the matter, for the page, where it may pass by itself; "" for any other error."""
    if isinstance(error, HTTPError):
        return ""
    said = f"{error} {getattr(error, 'explanation', '')}"
    return next((words for pattern, words in _PASSING if re.search(pattern, said, re.IGNORECASE)), "")


class Starting:
    """Comes before a DockerSpawner among the base classes."""

    _turn: Turn | None = None
    _trouble = ""
    _state: dict[str, Any] = {}
    _told_memory = False

    # Docker is asked for all who start at once; dockerspawner has one thread, and one call that hangs holds up all.
    _executor = ThreadPoolExecutor(LINE.most)

    async def run_pre_spawn_hook(self: Any) -> None:
        """Wait for this person's turn: no time limit of JupyterHub's counts here, and `start` comes next."""
        await awaited(super().run_pre_spawn_hook())
        LINE.log = self.log
        self._turn = turn = self._new_turn()
        try:
            await LINE.wait(turn)
        except NoMemory:
            self._turn = None
            raise NotStarted(_AWAY if turn.why == "away" else _FULL) from None

    def _new_turn(self) -> Turn:
        return Turn()

    async def start(self: Any) -> Any:
        self._told_memory = False
        try:
            address = await self._start_patiently()
            LINE.well()
            await self._end_who_was_here(address)
            await self._wait_until_it_listens(*address)
            return address
        finally:
            self._trouble = ""
            self._leave()

    def _leave(self) -> None:
        if self._turn:
            LINE.leave(self._turn)
            self._turn = None

    async def _start_patiently(self: Any) -> Any:
        """Start the container; again while Docker, the network or the image is away for the moment."""
        began = time.monotonic()
        while True:
            try:
                return await self._start_once()
            except Exception as error:
                trouble = passing(error)
                why = str(getattr(error, "explanation", "") or error)
                if why.startswith("refused by"):  # hubrun_hub/docker_filter/serve.py
                    self.log.error("%s is not started: %s", self._log_name, why)
                    raise NotStarted(_REFUSED) from error
                if not trouble:
                    if isinstance(error, HTTPError):
                        raise
                    self.log.error("%s does not start: %s", self._log_name, error, exc_info=error)
                    raise NotStarted(f"Your server does not start. {_OF_NO_USE}") from error
                if trouble != self._trouble:
                    self.log.error("%s waits: %s (%s)", self._log_name, trouble, error)
                self._trouble = trouble
                # What others have waited for already is not waited for as long once more: behind them waits a class.
                new = trouble == _OWN or LINE.meet(trouble) < RETRY_S
                if time.monotonic() - began >= (RETRY_S if new else AGAIN_S):
                    raise NotStarted(f"{trouble}. {_TOO_LONG}") from error
                await asyncio.sleep(_PAUSE_S)

    async def _start_once(self: Any) -> Any:
        return await super().start()

    async def _end_who_was_here(self: Any, address: tuple[str, int]) -> None:
        """A container that ended leaves its address to the next one: what is sent to its person would come to this one's."""
        for user in list(self.user.settings["users"].values()):
            for other in list(user.spawners.values()):
                if other is self or not other.ready or (other.server.ip, other.server.port) != tuple(address):
                    continue
                self.log.warning("%s is gone: %s has its address now", other._log_name, self._log_name)
                try:
                    await self.user.settings["proxy"].delete_user(user, other.name)
                    await user.stop(other.name)
                except Exception:  # of that person's server, not of this one's
                    self.log.exception("%s is not stopped", other._log_name)

    async def _wait_until_it_listens(self: Any, ip: str, port: int) -> None:
        """Notice at once that the server is up, and that it has ended: the hub itself asks ever more seldom, or not at all."""
        tries, slow = 0, time.monotonic() + SLOW_S
        while True:
            if time.monotonic() > slow:
                self._leave()
            if tries % 10 == 0 and (status := await self.poll()) is not None:
                await self._tell_why(status)
            tries += 1
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(ip, port), 1)
                writer.close()
                return
            except (OSError, Late):
                await asyncio.sleep(0.1)

    async def _tell_why(self: Any, status: Any) -> None:
        """Write the container's last lines into the hub's log; raise what the student reads."""
        try:
            said = (await self.docker("logs", self.container_id, tail=_LINES)).decode(errors="replace")
        except Exception as error:
            said = f"its log cannot be read: {error}"
        self.log.error("%s ended at its start (%s). Its last lines:", self._log_name, status)
        for line in said.splitlines()[-_LINES:] or ["(it said nothing)"]:
            self.log.error("  %s: %s", self._log_name, "".join(c if c.isprintable() else "?" for c in line)[:300])
        if self._state.get("OOMKilled"):
            raise NotStarted(
                f"Your server ended at once: it needs more memory than its limit ({self._limit}). {_TOO_LONG}"
            )
        raise NotStarted(f"Your server ended at once. {_OF_NO_USE}")

    async def stop_object(self: Any) -> None:
        await super().stop_object()
        self._state = {}  # it does not run: `remove_object` need not stop it once more

    async def remove_object(self: Any) -> None:
        """Remove the container, also one that runs: the answer to its start was lost with Docker or what stands before it.
        Docker refuses that, dockerspawner takes the refusal for one that is being removed, and no try would end well.
        """
        if self._state.get("Running"):
            await self.stop_object()
        await super().remove_object()

    async def get_object(self: Any) -> Any:
        """Look at the container; whether memory ran out in it is written into the hub's log once."""
        found = await super().get_object()
        self._state = (found or {}).get("State") or {}
        if self._state.get("OOMKilled") and not self._told_memory:
            self._told_memory = True
            self.log.warning("%s reached its memory limit (%s): a process in it was ended", self._log_name, self._limit)
        return found

    @property
    def _limit(self: Any) -> str:
        return f"{self.mem_limit // 2**20} MB" if isinstance(self.mem_limit, int) else str(self.mem_limit)

    async def poll(self: Any) -> Any:
        """A server whose container Docker cannot tell of runs on (live-restore); at the hub's start Docker is waited for."""
        while True:
            try:
                status = await super().poll()
                if status is None and self._check_pending and not await self._is_whole():
                    return "it was being started as the hub ended"
                return status
            except Exception as error:
                if not passing(error):
                    raise
                if not self._check_pending:
                    return None
                self.log.warning("%s is looked for until Docker answers (%s)", self._log_name, error)
                await asyncio.sleep(_PAUSE_S)

    async def _is_whole(self: Any) -> bool:
        """Whether a container that is there when the hub starts is where the hub says, and answers: one may have been made
        half, as the hub ended. JupyterHub would wait for it for as long as for a new one (http_timeout), and its person too.
        """
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            try:
                address = await self.get_ip_and_port()
                # Until a start has ended the hub's database has an address of its own making.
                if address[0] and tuple(address) != (self.server.ip, self.server.port):
                    return False
                _, writer = await asyncio.wait_for(asyncio.open_connection(*address), 1)
                writer.close()
                return True
            except (OSError, Late):
                await asyncio.sleep(0.5)
        return False

    async def run_post_stop_hook(self: Any) -> None:
        """Remove the container of a server that ended by itself: JupyterHub stops, and so removes, only those that run."""
        await awaited(super().run_post_stop_hook())
        self._leave()  # of a start that was given up between its turn and `start`
        with suppress(Exception):  # Docker is away: the next start of this person removes it
            if self.remove and await self.get_object():
                await self.remove_object()

    async def progress(self: Any) -> AsyncIterator[dict[str, Any]]:
        """What the page says while it waits; each sentence once."""
        last: dict[str, Any] = {}
        while True:
            if (now := self._event()) != last:
                yield now
            last = now
            await asyncio.sleep(1)

    def _event(self: Any) -> dict[str, Any]:
        place = LINE.place(self._turn) if self._turn else 0
        if place:
            ahead = f"You are number {place} of {len(LINE.waiting)} in line.{self._why_it_waits()}"
            return {"progress": 10, "message": ahead}
        if self._trouble:
            return {"progress": 20, "message": f"{self._trouble}. It is tried again and again."}
        return {"progress": 50, "message": "It is your turn: your server starts."}

    def _why_it_waits(self) -> str:
        if LINE.short:
            return " The server's memory is in use, so somebody else's server has to stop before yours starts."
        return f" {LINE.trouble}." if LINE.trouble else ""
