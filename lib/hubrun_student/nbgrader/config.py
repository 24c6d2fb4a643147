"""nbgrader's settings in this container."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

from nbgrader.auth import BaseAuthPlugin
from nbgrader.exchange.default.exchange import Exchange

from . import courses, due_dates, indexes
from .grading import autograde_preprocessors, take_turns


class MountedCourses(BaseAuthPlugin):
    """Everybody's courses are this container's. Who is in a course is decided in the LMS, never here."""

    def get_student_courses(self, student_id: str) -> list[str]:
        return courses.all_courses()

    def add_student_to_course(self, student_id: str, course_id: str) -> None:
        pass

    def remove_student_from_course(self, student_id: str, course_id: str) -> None:
        pass


def configure(c: Any) -> None:
    """Fill in the configuration `c` (traitlets) for where we are: a course folder, or anywhere else.

    In a course folder, nbgrader's commands are about that course. Elsewhere they are about the only course, or the one
    that `--course` names; without it, lists have those of all courses.
    """
    c.Exchange.root = str(courses.EXCHANGE)
    Exchange.ensure_root = _exchange_is_there
    # Two courses may both have a "ps1".
    c.Exchange.path_includes_course = True
    c.Authenticator.plugin_class = "hubrun_student.nbgrader.config.MountedCourses"
    c.ExchangeFactory.release_assignment = "hubrun_student.nbgrader.exchange.ReleaseAssignment"
    c.ExchangeFactory.collect = "hubrun_student.nbgrader.exchange.Collect"
    c.ExchangeFactory.list = "hubrun_student.nbgrader.taken.ListAssignments"
    c.ExchangeFactory.fetch_feedback = "hubrun_student.nbgrader.taken.FetchFeedback"
    c.ExchangeFactory.release_feedback = "hubrun_student.nbgrader.exchange.ReleaseFeedback"
    c.Autograde.autograde_preprocessors = autograde_preprocessors()
    take_turns()
    # What was handed in comes back as a page that students open: no scripts in it. (Formgrader's pages: formgraders.py.)
    c.GenerateFeedback.exporter_class = "hubrun_student.nbgrader.pages.FeedbackPage"
    indexes.add()

    # For what people read and type. Exchange.timezone stays UTC: what is written with it is read without its zone.
    if zone := due_dates.zone():
        c.NbGraderAPI.timezone = zone

    everything = courses.all_courses()
    course = courses.course_of(Path.cwd()) or (everything[0] if len(everything) == 1 else "")
    if course:
        c.CourseDirectory.course_id = course
    if course in courses.taught():
        c.CourseDirectory.root = str(courses.COURSES / course)


def _exchange_is_there(exchange: Any) -> None:
    """In place of nbgrader's own check, which wants to write to the exchange itself.

    A container's own files are read-only; what is written to is mounted below, for each course.
    """
    if not Path(exchange.root).is_dir():
        exchange.fail(f"{exchange.root} is not there")
