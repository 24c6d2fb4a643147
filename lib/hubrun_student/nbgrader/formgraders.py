"""A formgrader for each course that somebody teaches, side by side in one JupyterLab.

nbgrader's own formgrader is about one course a server. (Its "local" one changes which, for all windows at once, and
keeps the gradebook of the course before: nbgrader 0.9.6, formgrader/handlers.py and base.py.) Here each course has its
own, with its own settings and gradebook, below /formgraders/<course>/formgrader. "Course List" lists them.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import json
from collections import ChainMap
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from nbgrader.apps.api import NbGraderAPI
from nbgrader.server_extensions.formgrader import apihandlers, base, handlers
from nbgrader.server_extensions.formgrader.formgrader import FormgradeExtension
from tornado import web
from traitlets.config import Config

from . import courses, due_dates, late_penalties, pages, student_names

LINKS = "courses"


class CourseFormgrader(FormgradeExtension):
    """nbgrader's formgrader, whose course and course folder are these, whatever the files of settings say."""

    course = ""
    folder = ""

    def load_config_file(self, **kwargs: Any) -> None:
        super().load_config_file(**kwargs)
        self.update_config(self._place())

    def load_config(self) -> Config:
        config: Config = super().load_config()
        config.merge(self._place())
        return config

    def _place(self) -> Config:
        return Config({"CourseDirectory": {"course_id": self.course, "root": self.folder}})


class CourseApi(NbGraderAPI):
    """What formgrader's pages ask for, one object for each request: as nbgrader's says it, and quicker of one student.

    nbgrader's own asks for each assignment who is in the course, with everybody's score, and when everybody submitted.
    """

    _only = ""

    def get_student_submissions(self, student_id: str) -> list[dict[str, Any]]:
        """The submissions of a student, one for each assignment."""
        self._only, students = student_id, {each["id"]: each for each in self.get_students()}
        found = [self.get_submission(each, student_id, students=students) for each in self.get_source_assignments()]
        return sorted(found, key=lambda each: str(each["name"]))

    def get_submitted_timestamp(self, assignment_id: str, student_id: str) -> Any:
        """When a student submitted; None for others than the one who is asked for."""
        return super().get_submitted_timestamp(assignment_id, student_id) if self._only in ("", student_id) else None


class CourseList(JupyterHandler):
    """What the "Course List" of JupyterLab shows; and a page of the same for a browser."""

    @web.authenticated
    def get(self) -> None:
        links = {course: url_path_join(self.base_url, address(course)) for course in courses.taught()}
        if self.request.path.endswith("/formgraders"):
            # "local": opened in a tab of JupyterLab (nbgrader's course-list extension).
            found = [{"course_id": courses.shown(course), "url": url, "kind": "local"} for course, url in links.items()]
            self.finish(json.dumps({"success": True, "value": found}))
        elif len(links) == 1:
            self.redirect(next(iter(links.values())))
        else:
            items = "".join(
                f'<li><a href="{escape(url)}">{escape(courses.shown(course))}</a></li>' for course, url in links.items()
            )
            self.finish(f"<!doctype html><title>Formgraders</title><h1>Your courses</h1><ul>{items}</ul>")


def address(course: str) -> str:
    """The path of the formgrader of `course`, below this server's base URL."""
    return f"/formgraders/{courses.ids().get(course, course)}/formgrader"


def add_formgrader(app: Any, course: str, folder: Path) -> None:
    """Serve the formgrader of `course`, whose course folder is `folder`, below this server's root."""
    formgrader = CourseFormgrader(parent=app)
    formgrader.course, formgrader.folder = course, str(folder)
    formgrader.root_dir, formgrader.log = app.root_dir, app.log
    # Settings of a course may be in its folder; those of the working folder are not a course's.
    formgrader.load_cwd_config, formgrader.config_dir = False, str(folder)
    formgrader.initialize([], root=str(folder))
    own = SimpleNamespace(settings={})
    formgrader.init_tornado_settings(own)
    own.settings["nbgrader_exporter"] = pages.FormgradePage(config=formgrader.config)
    own.settings["nbgrader_jinja2_env"] = pages.environment(courses.shown(course))

    server = app.web_app.settings["base_url"]
    base = url_path_join(server, address(course)).removesuffix("/formgrader")
    start = url_path_join(base, "/formgrader/manage_assignments")
    routes: list[tuple[Any, ...]] = [(url_path_join(base, "/formgrader/?"), web.RedirectHandler, {"url": start})]
    given = [*handlers.default_handlers[1:], *apihandlers.default_handlers]
    given.append((r"/formgrader/static/(.*)", web.StaticFileHandler, {"path": handlers.static_path}))
    given.append((r"/formgrader/.*", handlers.Template404))
    for pattern, handler, *options in given:
        if issubclass(handler, handlers.BaseHandler):
            handler = _of_course(handler, course, base, own.settings)
        routes.append((url_path_join(base, pattern), handler, *options))
    app.web_app.add_handlers(".*$", routes)


def _of_course(handler: Any, course: str, base: str, settings: dict[str, Any]) -> Any:
    """The handler for one course: its links lead to the course's formgrader, and its settings are the course's."""
    grades = [late_penalties.PenaltyFollowsPoints] if issubclass(handler, apihandlers.GradeHandler) else []
    return type(
        handler.__name__,
        (pages.guard(handler), student_names.StudentNames, due_dates.DueDates, *grades, handler),
        {
            "course": course,
            "base_url": property(lambda _: base),
            "settings": property(lambda self: ChainMap(settings, self.application.settings)),
        },
    )


def link(home: Path) -> dict[str, Path]:
    """Make ~/courses/<course> lead to each course folder, and return these paths. Nothing else there is touched.

    A course whose name is taken there is left out.
    """
    folder = home / LINKS
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if old.is_symlink() and old.readlink().parent == courses.COURSES and old.name not in courses.taught():
            old.unlink()
    links = {course: folder / course for course in courses.taught()}
    for course, path in links.items():
        if not path.is_symlink() and not path.exists():
            path.symlink_to(courses.COURSES / course)
    return {course: path for course, path in links.items() if path.resolve() == courses.COURSES / course}


def _load_jupyter_server_extension(app: Any) -> None:
    server = app.web_app.settings["base_url"]
    base.NbGraderAPI = CourseApi
    pages = [(url_path_join(server, path), CourseList) for path in ("/formgraders", "/formgrader/?")]
    app.web_app.add_handlers(".*$", pages)
    # JupyterLab opens what is below its own folder, and nbgrader insists on it for a course folder.
    linked = link(Path(app.root_dir))
    for course in courses.taught():
        if course in linked:
            add_formgrader(app, course, linked[course])
        else:
            app.log.error("No formgrader for %s: ~/%s/%s is something else; move it away", course, LINKS, course)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.nbgrader.formgraders"}]
