"""/hub/lti/grades: for who teaches a course, its grades on their way to the LMS. The hub asks the LMS itself; neither the
tool's key nor an address of the LMS gets to anybody's server."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlencode

from jupyterhub.handlers import BaseHandler
from tornado.web import HTTPError, authenticated

from ..courses.mounts import memberships, words_of
from ..courses.students import students
from .consumers import Consumer
from .services import canvas_csv
from .services.assignments import NoGradebook
from .services.calls import ServiceError
from .services.course_grades import CourseGrades, rows_for_page
from .services.course_roster import CourseRoster

_LINES = 200


class Grades(BaseHandler):
    """Without a course: those that this person teaches. A course: its assignments, and of one what would be sent.

    Who is in the course's instructors may see and send it, and nobody else, administrators of the hub neither.
    """

    @authenticated
    async def get(self, course: str = "") -> None:
        if not course:
            return await self._show("hubrun-grades.html", course="", courses=self._taught())
        grades, sent = self._grades(course), self.get_query_argument("sent", "")
        note = self._came(course, sent) if sent else ""
        await self._page(course, grades, note=note, again=self.get_query_argument("names", "") == "again")

    @authenticated
    async def post(self, course: str = "") -> None:
        grades, door = self._grades(course), self.authenticator
        if self.get_body_argument("do", "") == "roster":
            return await self._page(course, grades, note=self._keep_file(course, grades.roster))
        name = self.get_body_argument("assignment", "")
        try:
            assignment = (await grades.assignments()).get(name)
        except NoGradebook as error:
            return await self._page(course, grades, note=str(error))
        if assignment is None:
            raise HTTPError(404)
        if self.get_body_argument("do", "") == "choose":
            link = self.get_body_argument("link", "")
            if link and link not in {each.link for each in grades.links()}:
                raise HTTPError(400)
            door.service_file.choose(course, name, link)
            return self.redirect(f"{self.request.path}?{urlencode({'assignment': name})}")
        # Of two clicks the second finds that everything is there.
        async with door.sending.setdefault(course, asyncio.Lock()):
            try:
                lines = await grades.send(
                    assignment, self._students(course), self.get_body_argument("shown", ""),
                    self.get_body_arguments("by_hand"), self.current_user.name,
                )  # fmt: skip
            except ServiceError as error:
                return await self._page(course, grades, note=f"Nothing was sent: {error}.")
        if lines is None:
            note = "Nothing was sent: something changed since this page was made. Look at it again, and send then."
            return await self._page(course, grades, note=note)
        failed = [line for line in lines if line.failed]
        self.log.info(
            "%s sent %d grades of %s in %s: %d failed", self.current_user.name, len(lines), name, course, len(failed)
        )
        # Away from here, so that a reload sends nothing.
        at = lines[0].at if lines else 0
        self.redirect(f"{self.request.path}?{urlencode({'assignment': name, 'sent': at})}")

    def _came(self, course: str, at: str) -> str:
        """What came of a sending, for who sees the page after it; `at`: its time in the record."""
        lines = [line for line in self.authenticator.service_file.sent(course) if str(line.at) == at]
        failed = [line for line in lines if line.failed]
        note = f"{len(lines) - len(failed)} of {len(lines)} grades arrived." if lines else "There was nothing to send."
        if failed:
            note += f" {len(failed)} did not, such as that of {failed[0].user}: {failed[0].failed}. Send again: it does no harm."
        return note

    def _keep_file(self, course: str, roster: CourseRoster) -> str:
        """Keep who is in the course by the file that was given; what came of it, in words."""
        consumer, files = self._canvas(course, roster), self.request.files.get("file")
        if not files or consumer is None:
            raise HTTPError(400)
        try:
            listed = canvas_csv.read(files[0]["body"], consumer.username_key or self.authenticator.username_key)
            roster.keep(consumer.name, listed, time.time())
        except (canvas_csv.NotAList, ServiceError) as error:
            return f"The file was not read: {error}."
        self.log.info("%s gave a list of %d students of %s", self.current_user.name, len(listed), course)
        return f"The file has {len(listed)} students."

    def _canvas(self, course: str, roster: CourseRoster) -> Consumer | None:
        """The course's Canvas, where that does not say who is in the course, and a file has to."""
        name = self._words(course).get("lti_consumer", "")
        found = (each for each in self.authenticator.read_consumers() if each.name == name and each.lms == "canvas")
        return None if roster.is_asked_for else next(found, None)

    async def _page(self, course: str, grades: CourseGrades, note: str = "", again: bool = False) -> None:
        door = self.authenticator
        notes = [note] if note else []
        try:
            await grades.roster.update(time.time(), again)
        except ServiceError as error:
            notes.append(f"The LMS does not say who is in the course: {error}.")
        try:
            assignments = await grades.assignments()
        except NoGradebook as error:
            assignments = {}
            notes.append(f"There are no grades to show: {error}.")
        students, chosen, preview = self._students(course), None, self.get_argument("assignment", "")
        if preview in assignments:
            chosen = await grades.preview(assignments[preview], students)
        names = door.full_names.of(students)  # and of nobody else whom a gradebook may name
        await self._show(
            "hubrun-grades.html", course=course, title=self._taught()[course], notes=notes, assignments=assignments.values(),
            preview=chosen, rows=rows_for_page(chosen, names) if chosen else [], links=grades.links(),
            left=sorted(grades.roster.left(students)), absent=grades.roster.absent(students), asked=grades.roster.is_asked_for,
            gives_file=self._canvas(course, grades.roster), xsrf=self.xsrf_token.decode(), record=[(time.strftime("%Y-%m-%d %H:%M", time.gmtime(line.at)), line) for line in door.service_file.sent(course, _LINES)],
        )  # fmt: skip

    async def _show(self, template: str, **values: Any) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(await self.render_template(template, **values))

    def _grades(self, course: str) -> CourseGrades:
        if course not in self._taught():
            raise HTTPError(403, "Only those who teach this course see its grades")
        return self.authenticator.course_grades(course, self.db)

    def _taught(self) -> dict[str, str]:
        """Course → what it is called in their home, which no other course is, of those that this person teaches."""
        mine = memberships(group.name for group in self.current_user.orm_user.groups)
        return {
            each.course: str(self._words(each.course).get("folder") or each.course) for each in mine if each.teaches
        }

    def _words(self, course: str) -> dict[str, object]:
        """What the LMS says of a course that this person is in."""
        groups = self.current_user.orm_user.groups
        return words_of((group.name, group.properties or {}) for group in groups)[course]

    def _students(self, course: str) -> list[str]:
        return list(students(self.db, course))


ROUTES: list[tuple[str, Any]] = [("/lti/grades/?", Grades), ("/lti/grades/([a-z0-9._-]+)", Grades)]
