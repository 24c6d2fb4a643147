"""/hub/exams: the exams of courses that somebody teaches; its staff begin one now, end it now, or give more time, to all or to one.

What was changed is kept beside what the parameters say (`courses.exam_changes`), for this exam and course alone: one that the
parameters move to another beginning is another one.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from jupyterhub.handlers import BaseHandler
from tornado.web import HTTPError, authenticated

from ..courses import exam_changes
from ..courses import exam_schedule as schedule
from ..courses.exam_schedule import Exam, Group
from ..courses.mounts import memberships, words_of
from ..courses.students import students
from ..docker_filter import settings


class Longer(NamedTuple):
    """Somebody who has more time. absent: whether the course has no such student, as far as the hub knows."""

    name: str
    minutes: int
    until: str
    absent: bool


class Row(NamedTuple):
    """One exam on the page. title: what the course's folder is called; state: in words; can: what staff can do; people: the
    course's students, user and name."""

    course: str
    title: str
    exam: Exam
    state: str
    can: list[str]
    longer: list[Longer]
    people: list[tuple[str, str]]


def taught(site: dict[str, Any], groups: Iterable[Group]) -> dict[str, Exam]:
    """Course's id → its exam, of those of which somebody in `groups` is staff, by their beginning."""
    known = list(groups)
    says = words_of(known)
    mine = [each.course for each in memberships(name for name, _ in known) if each.teaches]
    found = {course: exam for course in mine if (exam := schedule.exam_of(site, says[course], course))}
    return dict(sorted(found.items(), key=lambda each: each[1].begins))


class Exams(BaseHandler):
    """The page, and its buttons."""

    site_file, changes_file = settings.SITE, exam_changes.FILE

    @authenticated
    async def get(self) -> None:
        await self._show()

    @authenticated
    async def post(self) -> None:
        course, what = self.get_body_argument("course"), self.get_body_argument("what")
        exam = self._exams().get(course)
        if exam is None or exam.key != self.get_body_argument("exam"):
            raise HTTPError(403)
        changes = exam_changes.read(self.changes_file)
        before = changes.get(exam.key, {}).get(course, {})
        try:
            if what == "extra":
                user = self.get_body_argument("user")
                if user not in students(self.db, course):
                    raise HTTPError(403)
                moved: dict[str, Any] = exam_changes.extra(exam, user, self.get_body_argument("minutes"), _now())
                after = {**before, "extra_minutes": {**before.get("extra_minutes", {}), **moved}}
            else:
                moved = exam_changes.change(exam, what, _now())
                after = {**before, **moved}
        except ValueError:
            await self._show("That cannot be done now: see below how it is.")
            return
        exam_changes.write({**changes, exam.key: {**changes.get(exam.key, {}), course: after}}, self.changes_file)
        self.log.warning("exam of %s: %s is done by %s: %s", exam.course, what, self.current_user.name, moved)
        self.redirect(self.request.path)

    def _exams(self) -> dict[str, Exam]:
        site = schedule.with_changes(settings.read(Path(self.site_file)), exam_changes.read(self.changes_file))
        return taught(site, [(group.name, group.properties or {}) for group in self.current_user.groups])

    def _titles(self) -> dict[str, str]:
        """Course's id → what its folder is called, of those that this person is in."""
        says = words_of((group.name, group.properties or {}) for group in self.current_user.groups)
        return {course: str(words.get("folder") or course) for course, words in says.items()}

    def _row(self, course: str, exam: Exam, now: datetime) -> Row:
        people = students(self.db, course)
        names = self.authenticator.full_names.of(people)
        shown = {user: f"{names[user]} ({user})".replace("\t", " ") if user in names else user for user in people}
        longer = [
            Longer(shown.get(user, user), minutes, exam.of(user).until, user not in people)
            for user, minutes in exam.extra_minutes.items()
            if minutes
        ]
        state = "It is to come" if now < exam.begins else "It runs now" if exam.is_on(now) else "It is over"
        if exam.ends <= now < exam.over:
            state = "It is over, but for those who have more time"
        by_name = sorted(shown.items(), key=lambda each: each[1].casefold())
        return Row(
            course, self._titles()[course], exam, state, exam_changes.possible(exam, now), sorted(longer), by_name
        )

    async def _show(self, message: str = "") -> None:
        now = _now()
        rows = [self._row(course, exam, now) for course, exam in self._exams().items()]
        self.set_header("Cache-Control", "no-store")
        self.finish(
            await self.render_template(
                "hubrun-exams.html", rows=rows, message=message, most=schedule.MOST_EXTRA_MINUTES,
                xsrf=self.xsrf_token.decode(),
            )
        )  # fmt: skip


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10


ROUTES = [("/exams", Exams)]
