"""The time of a run. It goes on evenly when somebody sets this machine's clock meanwhile, and the record says so."""

from __future__ import annotations

import datetime
import time

# Seconds: less than this is a clock that is being adjusted (adjtimex(2)), and not one that is set.
_STEP = 1.0


def _steady() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps: time(7), clock_gettime(3) of macOS."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """Times of a run: of this machine's clock when it began, and from there on by seconds that went by.

    steps: when the machine's clock was set meanwhile, and by how much.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A run begins."""
        self._began, self._steady = time.time(), _steady()
        self._apart = 0.0
        self.steps: list[str] = []

    def now(self) -> datetime.datetime:
        """The time in UTC."""
        at = self._began + _steady() - self._steady
        step = time.time() - at - self._apart
        when = datetime.datetime.fromtimestamp(at, datetime.UTC)
        self._apart += step
        if abs(step) > _STEP:
            way = "back" if step < 0 else "forward"
            self.steps.append(f"{iso(when)}: this machine's clock was set {way} by {abs(step):.1f} s")
        return when


def iso(when: datetime.datetime) -> str:
    """A time as the manifest has it: ISO 8601 with milliseconds."""
    return when.isoformat(timespec="milliseconds")


# Of the runs of this process, one after another.
CLOCK = Clock()
