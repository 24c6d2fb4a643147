"""Which of a student's submissions is graded. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Submission:
    """One submission as it lies in the exchange; `arrived`: when anything in it was last changed (naive UTC).

    taken: the server took it when it was due, or at the end of an exam.
    """

    student: str
    path: Path
    arrived: datetime
    taken: bool = False


def graded(submissions: Iterable[Submission], due: datetime | None = None) -> Submission | None:
    """The latest of a student's submissions; the latest before `due`, where there is one. None for none.

    Where the server took some, it is one of these: what somebody sends after an exam, or after it was due, changes nothing.
    """
    found = list(submissions)
    counting = [one for one in found if one.taken] or found
    in_time = [one for one in counting if due is None or one.arrived <= due]
    return max(in_time or counting, key=lambda one: one.arrived, default=None)
