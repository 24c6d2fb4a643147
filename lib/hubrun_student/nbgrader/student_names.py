"""People's names in formgrader, as the LMS calls them. The hub tells them to who teaches the course.

They are put into the gradebook, where nbgrader's lists and exports look for them, and only where nothing is written: a
name that a teacher put there stays.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from . import courses

# A class is launched over days: its names need not be asked for with every page.
_PAUSE_S = 60.0
_TIMEOUT_S = 5.0


def first_and_last(name: str) -> tuple[str, str]:
    """A person's name as nbgrader has it. The hub puts a tab between given and family name where it knows both."""
    first, tab, last = name.partition("\t")
    if not tab:
        first, _, last = name.rpartition(" ")
    return first, last


def fetch(course: str) -> dict[str, str]:
    """The names of the people of a course: hub's user → name. Raises OSError, ValueError."""
    # This server's own way to the hub, .../hub/api; the names are beside it.
    base = os.environ["JUPYTERHUB_API_URL"].rstrip("/").removesuffix("/api")
    request = Request(
        f"{base}/lti/names/{quote(courses.ids().get(course, course))}",
        headers={"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"},
    )
    with urlopen(request, timeout=_TIMEOUT_S) as answer:  # nosec B310 - an address that the hub gave
        found = json.load(answer)
    return {str(user): str(name) for user, name in found.items()}


def write(gradebook: Any, names: dict[str, str], submitted: set[str]) -> int:
    """Put the names into the gradebook, of those who are in it or `submitted` something; how many were put there."""
    known = {student.id: student for student in gradebook.students}
    written = 0
    for user in sorted(names.keys() & (known.keys() | submitted)):
        student = known.get(user)
        if student is None or not (student.first_name or student.last_name):
            first, last = first_and_last(names[user])
            gradebook.update_or_create_student(user, first_name=first, last_name=last)
            written += 1
    return written


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

            names = await IOLoop.current().run_in_executor(None, fetch, self.course)
            write(self.gradebook, names, set(self.api.get_submitted_students("*")))
        except (OSError, ValueError, KeyError) as error:
            self.log.warning("The hub does not tell the names of %s: %s", self.course, error)
        except Exception:  # nbgrader's own: the page is worth more than names
            self.log.warning("The names of %s could not be written", self.course, exc_info=True)


async def _awaited(given: Any) -> None:
    if given is not None:
        await given
