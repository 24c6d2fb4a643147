"""The line of those whose server is to start: first come, first served, and so many at once as the machine can do.

JupyterHub's own limit (concurrent_spawn_limit) turns people away with 429, and whoever comes back by chance at the right
moment gets in first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ..nodes.nodes_file import MANAGER

# What JupyterLab with one kernel takes (`./hubrun bench`, "memory of one student's container"), and what stays free for
# those who work already, in MB.
EACH_MB = 200
SPARE_MB = 250
# Whoever waits for memory is told after so long that it is of no use now.
PATIENCE_S = 900.0
# What is repaired by itself, or by somebody, is waited for this long; JupyterHub's own limit (start_timeout) is longer.
RETRY_S = 120.0
_LOOK_S = 2.0
_TELL_S = 60.0
Late = asyncio.TimeoutError  # a class of its own in Python 3.10


class NoMemory(Exception):
    """Nobody's memory became free within PATIENCE_S."""


class Turn(asyncio.Event):
    """One place in the line: set, once its turn has come. On a site with nodes it says where the server starts then.

    gpus: how many it needs. only: the one node where it can start, "" for any. prefers: the node where its person has a server already. why:
    what it waits for, "memory", or "away" where no server that has what it needs answers; "" for its turn alone.
    """

    def __init__(self, gpus: int = 0, only: str = "", prefers: str = "") -> None:
        super().__init__()
        self.gpus, self.only, self.prefers = gpus, only, prefers
        self.node, self.why = MANAGER, ""


class Engines(Protocol):
    """Where servers may start (engines.py)."""

    def next(self, waiting: Sequence[Turn], starting: Iterable[Turn]) -> Turn | None:
        """Whose turn it is, with its node; None when it is nobody's."""

    @property
    def problem(self) -> str:
        """What each has left, for whoever runs the hub."""


def at_once(cores: int = 0) -> int:
    """How many servers start at once, on this machine or on one with so many cores: a start computes half of its time, and
    waits for Docker and the disk the other half."""
    return max(2, min(32, 2 * (cores or len(os.sched_getaffinity(0)))))


def available_mb() -> int | None:
    """What the machine has left, by the kernel's own estimate (proc(5), MemAvailable); None where it cannot be read."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


class Line:
    """`most`: how many start at once. `memory`: MB that are left now; None: not known, and no reason to wait.

    `engines`: on a site with nodes, where each starts; then these two are the manager's alone.
    """

    engines: Engines | None = None

    def __init__(self, most: int, memory: Callable[[], int | None], log: logging.Logger | None = None) -> None:
        self.most, self.memory = most, memory
        self.log = log or logging.getLogger(__name__)
        self.waiting: list[Turn] = []
        self.starting: set[Turn] = set()
        self.short = False
        self._trouble, self._since, self._met = "", 0.0, 0.0
        self._told = 0.0
        self._later: asyncio.TimerHandle | None = None

    async def wait(self, turn: Turn) -> None:
        """Wait until it is this turn's; `leave` ends it. Raises NoMemory."""
        self.waiting.append(turn)
        self.look()
        try:
            while not turn.is_set():
                try:
                    await asyncio.wait_for(turn.wait(), PATIENCE_S)
                except Late:
                    if self.short:
                        raise NoMemory from None
        except BaseException:
            self.leave(turn)
            raise

    def leave(self, turn: Turn) -> None:
        """The start is over, however it ended, or nobody waits for it any more."""
        self.starting.discard(turn)
        if turn in self.waiting:
            self.waiting.remove(turn)
        self.look()

    def place(self, turn: Turn) -> int:
        """1 for whoever is next; 0 once their server starts."""
        return self.waiting.index(turn) + 1 if turn in self.waiting else 0

    def meet(self, trouble: str) -> float:
        """Note what keeps a start from succeeding; for how many seconds it has done so, to whomever."""
        now = time.monotonic()
        if trouble != self.trouble:
            self._trouble, self._since = trouble, now
        self._met = now
        return now - self._since

    @property
    def trouble(self) -> str:
        """What was met last, for those who wait behind; empty once a start succeeded, or nobody met it for a while."""
        return self._trouble if time.monotonic() < self._met + RETRY_S else ""

    def well(self) -> None:
        """A start succeeded."""
        self._trouble = ""

    @property
    def problem(self) -> str:
        """For whoever runs the hub: that people wait for memory; empty when nobody does."""
        if not (self.short and self.waiting):
            return ""
        if self.engines:
            return (
                f"{len(self.waiting)} people wait for their server: {self.engines.problem}. "
                f"Each takes {EACH_MB} MB, and {SPARE_MB} MB stay free"
            )
        return (
            f"memory is short: {self.memory()} MB are left, and {len(self.waiting)} people wait for their server. "
            f"Each takes {EACH_MB} MB, and {SPARE_MB} MB stay free"
        )

    def look(self) -> None:
        """Let in those whose turn it is by now."""
        self.short = False
        while turn := self._next():
            self.waiting.remove(turn)
            self.starting.add(turn)
            turn.set()
        if self.problem and time.monotonic() >= self._told:
            self._told = time.monotonic() + _TELL_S
            self.log.warning("%s", self.problem)
        if self.short and self._later is None:
            self._later = asyncio.get_running_loop().call_later(_LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._later = None
        self.look()

    def _next(self) -> Turn | None:
        if self.engines:
            found = self.engines.next(self.waiting, self.starting)
            self.short = any(turn.why for turn in self.waiting)
            return found
        return self.waiting[0] if self.waiting and len(self.starting) < self.most and self._has_room() else None

    def _has_room(self) -> bool:
        left = self.memory()
        # What those that start now will take is not taken yet.
        self.short = left is not None and left - EACH_MB * len(self.starting) < EACH_MB + SPARE_MB
        return not self.short
