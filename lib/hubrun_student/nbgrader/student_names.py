"""The students of a course and their names in formgrader, as the LMS has them. The hub tells them to who teaches the course.

They are put into the gradebook, where nbgrader's lists and exports look for them. A name is written only where there is none:
one that a teacher put there stays. Who left the course stays too, and is marked.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import json
import os
import time
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import Request, urlopen

from . import courses

# A class is launched over days: its names need not be asked for with every page.
_PAUSE_S = 60.0
_TIMEOUT_S = 5.0
# Behind the family name of somebody who is not in the course any more.
LEFT = "(left the course)"


def first_and_last(name: str) -> tuple[str, str]:
    """A person's name as nbgrader has it. The hub puts a tab between given and family name where it knows both."""
    first, tab, last = name.partition("\t")
    if not tab:
        first, _, last = name.rpartition(" ")
    return first, last


class Roster(NamedTuple):
    """names: hub's user → name, of all people of a course. students: who is in the course, also who never came; left: who was."""

    names: dict[str, str]
    students: set[str]
    left: set[str]


def fetch(course: str) -> Roster:
    """What the hub says of the people of a course. Raises OSError, ValueError, KeyError."""
    # This server's own way to the hub, .../hub/api; it is beside that.
    base = os.environ["JUPYTERHUB_API_URL"].rstrip("/").removesuffix("/api")
    request = Request(
        f"{base}/lti/roster/{quote(courses.ids().get(course, course))}",
        headers={"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"},
    )
    with urlopen(request, timeout=_TIMEOUT_S) as answer:  # nosec B310 - an address that the hub gave
        found = json.load(answer)
    names = {str(user): str(name) for user, name in found["names"].items()}
    return Roster(names, set(map(str, found["students"])), set(map(str, found["left"])))


def write(gradebook: Any, roster: Roster, submitted: set[str]) -> int:
    """Put the course's students into the gradebook, and the names of those who are in it or `submitted` something.

    How many rows that changed. All at once: a commit for each of a class would hold up the page.
    """
    known = {student.id: student for student in gradebook.students}
    changed = 0
    for user in sorted(known.keys() | roster.students | (submitted & roster.names.keys())):
        student = known.get(user)
        before = (student.first_name or "", student.last_name or "") if student else None
        first, last = before or ("", "")
        last = last.removesuffix(LEFT).rstrip()
        if not (first or last):
            first, last = first_and_last(roster.names.get(user, ""))
        if user in roster.left:
            last = f"{last} {LEFT}".lstrip()
        if (first, last) == before:
            continue
        if student is None:
            gradebook.db.add(_student(user, first, last))
        else:
            student.first_name, student.last_name = first, last
        changed += 1
    if changed:
        try:
            gradebook.db.commit()
        except Exception:
            gradebook.db.rollback()
            raise
    return changed


def _student(user: str, first: str, last: str) -> Any:
    from nbgrader.api import Student

    return Student(id=user, first_name=first, last_name=last)


class StudentNames:
    """Comes before a handler of formgrader: the names are there before it answers, as far as the hub says them."""

    course = ""
    settings: Any
    log: Any
    gradebook: Any

    async def prepare(self: Any) -> None:
        await _awaited(super().prepare())
        now = time.monotonic()
        nobody = self._finished or self.current_user is None or self.request.method != "GET"
        if nobody or now < self.settings.get("hubrun_names_again", 0.0):
            return
        self.settings["hubrun_names_again"] = now + _PAUSE_S
        try:
            from tornado.ioloop import IOLoop

            roster = await IOLoop.current().run_in_executor(None, fetch, self.course)
            write(self.gradebook, roster, set(self.api.get_submitted_students("*")))
        except (OSError, ValueError, KeyError) as error:
            self.log.warning("The hub does not tell the names of %s: %s", self.course, error)
        except Exception:  # nbgrader's own: the page is worth more than names
            self.log.warning("The names of %s could not be written", self.course, exc_info=True)


async def _awaited(given: Any) -> None:
    if given is not None:
        await given
