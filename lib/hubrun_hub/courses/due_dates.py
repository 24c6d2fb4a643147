"""Which assignment of whom is due when. Pure.

The site's file says so of a course (`course_settings`, "due"): assignment → {"due": a moment, "people": {user: their own
moment}}, with moments in ISO 8601 with an offset. So does the LMS, of a person or of all (`lti.services.lms_dates`). What
the file says of a person counts before all else, then what the LMS says of them; then what the file says of all, and what
the LMS does. An exam's assignment is due when the exam ends for this person, whatever the LMS says.

What may be sent after it was due is in the file as well ("late": {"percent_per_day", "days"}); of an exam's, nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .course_settings import settings_of
from .exam_schedule import Group, exam_of
from .mounts import is_name, memberships, words_of

# nbgrader/apps/nbgraderapp.py and its formgrader take no + in a name, and folders no / and no leading dot.
_ASSIGNMENT = re.compile(r"[\w-][\w .-]{0,99}(?<! )")
# Course → assignment → user, "" for all others → a moment in ISO 8601 with an offset, "" for none.
Said = Mapping[str, Mapping[str, Mapping[str, str]]]


class Late(NamedTuple):
    """For how many days of 24 hours one may still submit, and how many per cent of the points each day begun costs."""

    percent_per_day: int
    days: int


class Due(NamedTuple):
    """Somebody's assignment. course: its id; folder: what it is called in their home; at: with an offset.

    late: None where nothing counts that comes later.
    """

    at: datetime
    course: str
    assignment: str
    user: str
    folder: str
    late: Late | None = None

    def terms(self) -> str:
        """What the name of the folder says with what was taken, for the teacher's side (hubrun_student/nbgrader/late.py): no
        student can change it. "" where nothing counts that comes later."""
        if self.late is None:
            return ""
        return f".late.{math.ceil(self.at.timestamp())}.{self.late.percent_per_day}.{self.late.days}"


def is_assignment(name: str) -> bool:
    """Whether this may be the name of an assignment."""
    return _ASSIGNMENT.fullmatch(name) is not None


def all_due(site: Mapping[str, Any], people: Mapping[str, list[Group]], said: Said) -> list[Due]:
    """What is due of each student, by time; past ones too. Staff of a course have nothing due there. said: by the LMS.

    Raises ValueError, TypeError, KeyError where the file says what it must not.
    """
    found = []
    for user, groups in people.items():
        says = words_of(groups)
        mine = [each.course for each in memberships(name for name, _ in groups) if not each.teaches and is_name(user)]
        for course in mine:
            folder, entry = str(says[course].get("folder") or course), settings_of(site, says[course])
            by_lms, exams = dict(said.get(course, {})), ""
            late = Late(**entry["late"]) if "late" in entry else None
            if (exam := exam_of(site, says[course], course)) and exam.assignment:
                found.append(Due(exam.of(user).ends, course, exam.assignment, user, folder))
                by_lms.pop(exam.assignment, None)
                exams = exam.assignment
            written = entry.get("due", {})
            for assignment in [*written, *(by_lms.keys() - written.keys())]:
                here, there = written.get(assignment, {}), by_lms.get(assignment, {})
                words = here.get("people", {}).get(user) or there.get(user) or here.get("due") or there.get("")
                if not words:
                    continue
                at = datetime.fromisoformat(words)
                if at.tzinfo is None:
                    raise ValueError(f"{course}, {assignment}: {at} has no offset")
                found.append(Due(at, course, assignment, user, folder, late if assignment != exams else None))
    return sorted(found, key=lambda due: due[:4])
