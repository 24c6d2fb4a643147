"""What waits to be autograded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from ..courses.due_dates import Due
from ..courses.due_records import Taken
from .records import FEEDBACK, Try

# Whose work cannot be taken at its moment holds up the others for so long.
HOLD = timedelta(minutes=10)
# What was due longer ago is not the server's any more: somebody may have switched this on in the middle of a term.
LATE = timedelta(days=7)


class Work(NamedTuple):
    """An assignment of a course. keys: user → what of theirs is meant, in their records. feedback: is sent back, too."""

    course: str
    assignment: str
    keys: Mapping[str, tuple[str, ...]]
    feedback: bool


# Course and user → what was taken of them, or what came of grading it, by key.
AllTaken = Mapping[tuple[str, str], Iterable[Taken]]
AllTries = Mapping[tuple[str, str], Mapping[str, Try]]


def waiting(
    asked: Mapping[str, object], found: Iterable[Due], taken: AllTaken, tries: AllTries, now: datetime
) -> list[Work]:
    """What is to be autograded now, what was due first first. asked: course → True, or "feedback"; found: all that is due.

    An assignment waits until it is taken of everybody who was due by now. Feedback waits until nobody has more time, or can
    submit late, as it shows what was tested.
    """
    groups: dict[tuple[str, str], list[Due]] = {}
    for due in found:
        if asked.get(due.course):
            groups.setdefault((due.course, due.assignment), []).append(due)
    works = []
    for (course, assignment), dues in groups.items():
        latest = {
            due.user: max(own, key=lambda each: each.at)
            for due in dues
            if (own := [each for each in taken.get((course, due.user), ()) if each.assignment == assignment])
        }
        over = [due for due in dues if due.at <= now]
        missing = [due for due in over if due.user not in latest or latest[due.user].at < due.at]
        if not latest or any(now - due.at < HOLD for due in missing):
            continue
        last = max(each.at for each in latest.values())
        closes = max(map(_closes, dues))
        if now - max(last, min(closes, now)) > LATE:
            continue
        feedback = asked[course] == "feedback" and closes <= now
        keys = {}
        for user, each in sorted(latest.items()):
            mine = tries.get((course, user), {})
            wanted = (each.key, *([each.key + FEEDBACK] if feedback else []))
            if left := tuple(key for key in wanted if mine.get(key, Try()).is_wanted(now)):
                keys[user] = left
        if keys:
            works.append((last, Work(course, assignment, keys, feedback)))
    return [work for _, work in sorted(works, key=lambda each: each[0])]


def _closes(due: Due) -> datetime:
    """From when on nothing counts any more that its student submits."""
    return due.at + timedelta(days=due.late.days if due.late else 0)
