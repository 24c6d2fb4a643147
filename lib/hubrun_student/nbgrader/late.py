"""What may be submitted after it was due, and what that costs. Pure.

The hub's server says it in the name of the folder with what it took (hubrun_hub/courses/due_dates.py). Of such folders alone
is the name believed: they are root's, and lie in a sticky folder, so that no student makes or renames one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_DAY = timedelta(days=1)
_NAME = re.compile(r"(?:[^+]*\+){3}[0-9a-f]{16}\.late\.([0-9]{1,11})\.([0-9]{1,3})\.([0-9]{1,3})")


@dataclass(frozen=True)
class Terms:
    """What holds for one student's assignment. due: naive UTC; days: of 24 hours, in which one may still submit."""

    due: datetime
    percent_per_day: int
    days: int

    def covers(self, arrived: datetime) -> bool:
        """Whether what arrived at that moment (naive UTC) is late, and not too late."""
        return self.due < arrived <= self.due + self.days * _DAY

    def percent_off(self, arrived: datetime, more: timedelta = timedelta()) -> int:
        """How many per cent of the points it costs: `percent_per_day` for each day begun. more: time for this student besides."""
        begun = -((self.due + more - arrived) // _DAY)
        return min(100, max(0, begun * self.percent_per_day))


def terms_of(name: str) -> Terms | None:
    """What the name of a folder of root's says; None where nothing counts that comes later."""
    if not (found := _NAME.fullmatch(name)):
        return None
    due, percent, days = map(int, found.groups())
    return Terms(datetime.fromtimestamp(due, UTC).replace(tzinfo=None), percent, days)
