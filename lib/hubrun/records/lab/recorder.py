"""What goes on in the kernels of a session, written into the copies: from the messages between browser and kernels.

Which cell a browser wants to run is said by its request (`cellId` in its metadata, as JupyterLab and nbclient say it);
what became of it, by what the kernel says to everybody (IOPub) while a browser may be gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubrun.environment import MESSAGE
from hubrun.records.lab.notebook_copy import NotebookCopy
from hubrun.records.ledger.manifest import Cause
from hubrun.records.run.signals import REASONS
from hubrun.redaction.redact import HERE


@dataclass
class _Request:
    """A cell that a kernel was asked to run. error: the name and the value of the error with which it ended.

    replied: the kernel has answered, and will say nothing more but that it is idle.
    """

    kernel: str
    copy: NotebookCopy
    cell: str
    source: str
    begun: bool = False
    replied: bool = False
    ended: bool = False
    error: tuple[str, str] | None = None


class Recorder:
    """Of one session. copies: all of its runbooks. stopping: why it ends; then no cell is begun any more."""

    def __init__(self, copies: Sequence[NotebookCopy]) -> None:
        self.copies = list(copies)
        self.stopping: Cause = ""
        self._requests: dict[str, _Request] = {}  # by the id of their message

    def copy(self, name: str) -> NotebookCopy | None:
        """The copy whose file has this name."""
        return next((copy for copy in self.copies if copy.file.name == name), None)

    # -- what the browser asks

    def asked(self, kernel: str, opened: str, message: str, cell: str, source: str) -> None:
        """A browser asks a kernel to run a cell. message: the request's id. opened: the runbook for which the kernel was
        started; a cell that is in none is taken to be new there. On disk before the kernel gets it."""
        copy = next((copy for copy in self.copies if copy.has(cell)), None) or self.copy(opened)
        assert copy
        before = [request for request in self._requests.values() if request.kernel == kernel]
        behind = next((request.cell for request in reversed(before) if request.copy is copy), "")
        cell = cell or uuid.uuid4().hex  # of a console, say
        copy.ask(cell, source, behind)
        if all(request.ended for request in before):
            copy.save()  # else the kernel has something else to do before
        # What comes of the last time may come late, from a thread; of the times before nothing is wanted.
        self._requests = {
            name: each for name, each in self._requests.items() if each.cell != cell or not each.ended
        } | {message: _Request(kernel, copy, cell, source)}

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
            for copy in {
                id(each.copy): each.copy for each in self._requests.values() if each.kernel == kernel
            }.values():
                copy.update(content, size)
            return
        request = self._requests.get(parent)
        if request is None:
            return
        if kind == "execute_input":
            if not request.begun:
                self._begin(request, content.get("execution_count"))
        elif kind == "status" and content.get("execution_state") == "idle":
            self._end(request)
        elif request.begun:
            if kind == "error":
                request.error = str(content["ename"]), str(content["evalue"])
            request.copy.take(request.cell, kind, content, size)

    def replied(self, message: str, content: dict[str, Any]) -> None:
        """A kernel answers a request. It says what IOPub says, which may come later, or be missed under load."""
        request = self._requests.get(message)
        if request is None or request.ended or content.get("status") == "aborted":
            return
        request.replied = True
        if not request.begun:
            self._begin(request, content.get("execution_count"))
        if content.get("status") == "error":
            request.error = str(content.get("ename")), str(content.get("evalue"))

    def lost(self, kernel: str, cause: Cause, reason: str) -> None:
        """A kernel is gone, or told to end: what it was doing is interrupted, and what waited for it is not run."""
        for request in self._requests.values():
            if request.kernel != kernel or request.ended:
                continue
            if request.begun and not request.replied:
                request.ended = True
                request.copy.end(request.cell, cause, reason, interrupted=True)
            else:
                self._end(request)
            request.copy.save()

    def _begin(self, request: _Request, count: int | None) -> None:
        for other in self._requests.values():
            if other.kernel == request.kernel and other.begun:  # a kernel runs one cell after another
                self._end(other)
        request.begun = True
        request.copy.begin(request.cell, request.source, count)
        request.copy.save()

    def _end(self, request: _Request) -> None:
        if request.ended:
            return
        request.ended = True
        if not request.begun:
            request.copy.withdraw(request.cell)
            return
        if not request.error:
            request.copy.end(request.cell)
            return
        name, value = request.error
        cause: Cause = "error"
        if name == "KeyboardInterrupt":
            cause = self.stopping or "stopped"
        elif name == "ConnectionLost":
            cause = "connection lost"
        reason = REASONS[cause] if name == "KeyboardInterrupt" else f"{name}: {value}"
        request.copy.end(request.cell, cause, reason, interrupted=cause != "error")

    # -- as time goes by

    def busy(self) -> set[str]:
        """The kernels that run a cell now."""
        return {request.kernel for request in self._requests.values() if request.begun and not request.ended}

    def kernels(self) -> set[str]:
        """The kernels that were asked to run something."""
        return {request.kernel for request in self._requests.values()}

    def save_if_behind(self) -> None:
        """Save the copies that are behind what was seen. Called again and again."""
        for copy in self.copies:
            copy.save_if_behind()
