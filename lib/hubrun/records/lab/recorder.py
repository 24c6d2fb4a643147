"""What goes on in the kernels of a session, written into the copies: from the messages between browser and kernels.

Which cell a browser wants to run is said by its request (`cellId` in its metadata, as JupyterLab says it); what became of
it, by what the kernel says to everybody (IOPub), while a browser may be gone. A kernel gets one cell at a time, and only
when the copy on disk says that it runs: so the record is right whenever the session is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hubrun.environment import MESSAGE
from hubrun.records.lab.notebook_copy import NotebookCopy
from hubrun.records.ledger.manifest import Cause
from hubrun.records.run.signals import REASONS
from hubrun.redaction.redact import HERE

# Seconds from a kernel's answer until it counts as idle, when it was not heard to say so.
_LATE = 2.0


@dataclass
class Request:
    """A cell that a browser wants a kernel to run.

    message: the id of its message. cell: its id, "" for none, as of a console. opened: the runbook for which the kernel
    was started; a cell that is in no copy is taken to be new there. send: gives it to the kernel; refuse: says to the
    browser that it is not run. stops: an error of it ends what waits behind it.
    """

    kernel: str
    message: str
    cell: str
    opened: str
    source: str
    send: Callable[[], None]
    refuse: Callable[[], None]
    stops: bool = True


@dataclass
class _Running:
    """A request that a kernel has. heard: it says that it runs it. replied: when it answered; 0 while it did not.
    error: the name and the value of the error with which it ended."""

    request: Request
    copy: NotebookCopy
    heard: bool = False
    replied: float = 0.0
    ended: bool = False
    error: tuple[str, str] | None = None


class Recorder:
    """Of one session. copies: all of its runbooks. stopping: why it ends; then no cell is begun any more."""

    def __init__(self, copies: Sequence[NotebookCopy]) -> None:
        self.copies = list(copies)
        self.stopping: Cause = ""
        self._waiting: list[Request] = []
        self._running: dict[str, _Running] = {}  # by the id of their message; the last time of each cell

    def copy(self, name: str) -> NotebookCopy | None:
        """The copy whose file has this name."""
        return next((copy for copy in self.copies if copy.file.name == name), None)

    # -- what the browser asks

    def asked(self, request: Request) -> None:
        """A browser wants a kernel to run a cell: now, or when it has done what was asked before."""
        self._waiting.append(request)
        self._next(request.kernel)

    def _next(self, kernel: str) -> None:
        request = next((each for each in self._waiting if each.kernel == kernel), None)
        if request is None or self.stopping or kernel in self.busy():
            return
        self._waiting.remove(request)
        cell = request.cell or request.message
        copy = next((copy for copy in self.copies if copy.has(cell)), None) or self.copy(request.opened)
        assert copy
        before = [each for each in self._running.values() if each.request.kernel == kernel and each.copy is copy]
        request.cell = cell
        # Of the times before nothing is wanted any more that comes late, such as from a thread.
        self._running = {name: each for name, each in self._running.items() if each.request.cell != cell}
        self._running[request.message] = _Running(request, copy)
        copy.begin(cell, request.source, before[-1].request.cell if before else "")
        copy.save()
        request.send()

    # -- what the kernel says

    def heard(self, kernel: str, kind: str, parent: str, content: dict[str, Any], size: int) -> None:
        """A kernel says something to everybody. parent: the id of the request that it is about. size: in bytes."""
        if kind == MESSAGE:
            learn = HERE.learn if content["kind"] == "value" else HERE.learn_digest
            learn(*content["what"])
            for copy in self.copies:
                copy.dirty = True
            return
        if kind == "update_display_data":
            mine = [each.copy for each in self._running.values() if each.request.kernel == kernel]
            for copy in self.copies:
                if copy in mine:
                    copy.update(content, size)
            return
        running = self._running.get(parent)
        if running is None:
            return
        if kind == "execute_input":
            running.heard = True
            running.copy.count(running.request.cell, content.get("execution_count"))
        elif kind == "status" and content.get("execution_state") == "idle":
            self._end(running)
        else:
            running.heard = True
            if kind == "error":
                running.error = str(content["ename"]), str(content["evalue"])
            running.copy.take(running.request.cell, kind, content, size)

    def replied(self, message: str, content: dict[str, Any]) -> None:
        """A kernel answers a browser's request. It says what IOPub says, of which messages may be missed under load."""
        running = self._running.get(message)
        if running is None or running.ended or content.get("status") == "aborted":
            return
        running.replied = time.monotonic()
        if content.get("status") == "error":
            running.error = str(content.get("ename")), str(content.get("evalue"))

    def lost(self, kernel: str, cause: Cause, reason: str) -> None:
        """A kernel is gone, or told to end: what it was doing is interrupted, and what waited for it is not run."""
        self._refuse(kernel)
        for running in self._running.values():
            if running.request.kernel == kernel and not running.ended:
                running.ended = True
                running.copy.end(running.request.cell, cause, reason, interrupted=True)
                running.copy.save()

    def close(self) -> None:
        """The session is over, and so are its kernels; no browser is told any more."""
        self._waiting.clear()
        cause: Cause = self.stopping or "stopped"
        for kernel in self.busy():
            self.lost(kernel, cause, REASONS[cause])

    def _refuse(self, kernel: str) -> None:
        for request in [each for each in self._waiting if each.kernel == kernel]:
            self._waiting.remove(request)
            request.refuse()

    def _end(self, running: _Running) -> None:
        if running.ended:
            return
        running.ended = True
        kernel, cell = running.request.kernel, running.request.cell
        if not (running.heard or running.replied):  # just after an error, a kernel refuses what comes
            running.copy.withdraw(cell)
        elif not running.error:
            running.copy.end(cell)
        else:
            name, value = running.error
            cause: Cause = "error"
            if name == "KeyboardInterrupt":
                cause = self.stopping or "stopped"
            elif name == "ConnectionLost":
                cause = "connection lost"
            reason = REASONS[cause] if name == "KeyboardInterrupt" else f"{name}: {value}"
            running.copy.end(cell, cause, reason, interrupted=cause != "error")
            if running.request.stops:
                self._refuse(kernel)
        self._next(kernel)

    # -- as time goes by

    def busy(self) -> set[str]:
        """The kernels that run a cell now."""
        return {each.request.kernel for each in self._running.values() if not each.ended}

    def look(self) -> None:
        """Save the copies that are behind what was seen, and end what has ended unheard. Called again and again."""
        for running in list(self._running.values()):
            if running.replied and not running.ended and time.monotonic() - running.replied > _LATE:
                self._end(running)
        for copy in self.copies:
            copy.save_if_behind()
