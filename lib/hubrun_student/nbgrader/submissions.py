"""Which of a student's submissions is graded. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from .late import Terms


@dataclass(frozen=True)
class Submission:
    """One submission as it lies in the exchange; `arrived`: when anything in it was last changed (naive UTC).

    taken: when the server took it, because it was due, or an exam ended; None for one that was sent. empty: there was
    nothing to take. terms: of one that was taken, and of one that is `graded`, what may be sent later. sent: when it says
    that it was sent.
    """

    student: str
    path: Path
    arrived: datetime
    taken: datetime | None = None
    empty: bool = False
    terms: Terms | None = None
    sent: datetime | None = None

    @property
    def percent_off(self) -> int:
        """How many per cent of its points it costs that it was sent late."""
        return self.terms.percent_off(self.arrived) if self.terms and not self.taken else 0


def terms_in(submissions: Iterable[Submission]) -> Terms | None:
    """What may be sent later: what was said when it was due last."""
    return max((one.terms for one in submissions if one.terms), key=lambda terms: terms.due, default=None)


def graded(submissions: Iterable[Submission], due: datetime | None = None) -> Submission | None:
    """The latest of a student's submissions; the latest before `due`, where there is one. None for none.

    Where the server took some, it is one of these; where there was nothing to take, one that was sent until then. What
    somebody sends after an exam, or after it was due, changes nothing, unless there are terms for it. Then it must have been
    sent late knowingly, as its own name says: by a change to one that was sent before, what was taken is not lost.
    """
    found = list(submissions)
    terms = terms_in(found)
    if moments := [one.taken for one in found if one.taken]:
        taken = [one for one in found if one.taken and not one.empty]
        sent = [one for one in found if not one.taken]
        late = [one for one in sent if terms and one.sent and one.sent > terms.due and terms.covers(one.arrived)]
        found = late or taken or [one for one in sent if one.arrived <= max(moments)]
    in_time = [one for one in found if due is None or one.arrived <= due]
    one = max(in_time or found, key=lambda one: one.arrived, default=None)
    return one and replace(one, terms=terms)
