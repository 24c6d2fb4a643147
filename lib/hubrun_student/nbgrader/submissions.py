"""Which of a student's submissions is graded. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Submission:
    """One submission as it lies in the exchange; `arrived`: when anything in it was last changed (naive UTC).

    taken: when the server took it, because it was due, or an exam ended; None for one that was sent. empty: there was
    nothing to take.
    """

    student: str
    path: Path
    arrived: datetime
    taken: datetime | None = None
    empty: bool = False


def graded(submissions: Iterable[Submission], due: datetime | None = None) -> Submission | None:
    """The latest of a student's submissions; the latest before `due`, where there is one. None for none.

    Where the server took some, it is one of these; where there was nothing to take, one that was sent until then. What
    somebody sends after an exam, or after it was due, changes nothing.
    """
    found = list(submissions)
    if moments := [one.taken for one in found if one.taken]:
        taken = [one for one in found if one.taken and not one.empty]
        found = taken or [one for one in found if not one.taken and one.arrived <= max(moments)]
    in_time = [one for one in found if due is None or one.arrived <= due]
    return max(in_time or found, key=lambda one: one.arrived, default=None)
