"""What would be sent, and what would not, and why: an assignment's points beside what the LMS has. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from .assignments import Assignment

# LMSs keep two decimals: of ten points, half of the last one.
_SAME = 6e-4


class State(Enum):
    """What becomes of a person's points; the text is what a teacher reads."""

    NEW = "will be sent"
    CHANGED = "will be sent again: it was graded anew"
    SAME = "is there already"
    BY_HAND = "somebody changed it in the LMS: it is sent only if you tick it"
    MANUAL = "not sent: some answers are not graded yet"
    LEFT = "not sent: is not in the course any more"
    UNKNOWN = "not sent: did not open this course's link as a student yet"
    MISSING = "nothing was handed in, or it was not graded yet"


SENDING = (State.NEW, State.CHANGED)


@dataclass(frozen=True)
class Row:
    """A person. `points` of the assignment's maximum, None for none; `there` what the LMS has, as a part of the whole."""

    user: str
    points: float | None
    there: float | None
    state: State


def compare(
    assignment: Assignment, students: Iterable[str], *, known: Iterable[str], left: Iterable[str],
    there: Mapping[str, float], sent: Mapping[str, float], capped: bool = False,
) -> list[Row]:  # fmt: skip
    """Return a row for each of the `students`, and for whoever handed in. All by hub user.

    known: those whom the LMS can be told of; left: those who are not in the course any more; there: what the LMS has, and
    sent: what was sent last, as parts of the whole; capped: the LMS takes no more than the whole.
    """
    known, left = frozenset(known), frozenset(left)
    rows = []
    for user in sorted({*students, *assignment.submissions}):
        submission, now = assignment.submissions.get(user), there.get(user)
        if submission is None:
            rows.append(Row(user, None, now, State.MISSING))
            continue
        part = submission.points / assignment.maximum if assignment.maximum else 0.0
        part = min(part, 1.0) if capped else part
        state = State.NEW
        if user in left:
            state = State.LEFT
        elif user not in known:
            state = State.UNKNOWN
        elif submission.manual:
            state = State.MANUAL
        elif now is not None and _same(now, part):
            state = State.SAME
        elif now is not None and not (user in sent and _same(now, sent[user])):
            state = State.BY_HAND
        elif now is None and user in sent:
            # It was there, and somebody took it away.
            state = State.BY_HAND
        elif user in sent:
            state = State.CHANGED
        rows.append(Row(user, submission.points, now, state))
    return rows


def digest(rows: Iterable[Row]) -> str:
    """Stands for what was shown: nothing else is sent."""
    shown = [(row.user, row.points, row.there, row.state.name) for row in rows]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME
