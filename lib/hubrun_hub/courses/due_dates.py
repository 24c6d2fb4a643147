"""Which assignment of whom is due when. Pure.

The site's file says so of a course (`course_settings`, "due"): assignment → {"due": a moment, "people": {user: their own
moment}}, with moments in ISO 8601 with an offset. An exam's assignment is due when the exam ends for this person.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .course_settings import settings_of
from .exam_schedule import Group, exam_of
from .mounts import is_name, memberships, words_of


class Due(NamedTuple):
    """Somebody's assignment. course: its id; folder: what it is called in their home; at: with an offset."""

    at: datetime
    course: str
    assignment: str
    user: str
    folder: str


def all_due(site: Mapping[str, Any], people: Mapping[str, list[Group]]) -> list[Due]:
    """What is due of each student, by time; past ones too. Staff of a course have nothing due there.

    Raises ValueError, TypeError, KeyError where the file says what it must not.
    """
    found = []
    for user, groups in people.items():
        says = words_of(groups)
        mine = [each.course for each in memberships(name for name, _ in groups) if not each.teaches and is_name(user)]
        for course in mine:
            folder, entry = str(says[course].get("folder") or course), settings_of(site, says[course])
            if (exam := exam_of(site, says[course], course)) and exam.assignment:
                found.append(Due(exam.of(user).ends, course, exam.assignment, user, folder))
            for assignment, date in entry.get("due", {}).items():
                at = datetime.fromisoformat(date.get("people", {}).get(user, date["due"]))
                if at.tzinfo is None:
                    raise ValueError(f"{course}, {assignment}: {at} has no offset")
                found.append(Due(at, course, assignment, user, folder))
    return sorted(found)
