"""/hub/exams: the exams of courses that somebody teaches; its staff begin one now, end it now, or give it more time.

What was changed is kept beside what the parameters say (`courses.exam_schedule.CHANGES`), for this exam alone: one that the
parameters move to another beginning is another one.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from jupyterhub.handlers import BaseHandler
from tornado.web import HTTPError, authenticated

from ..courses import exam_schedule as schedule
from ..courses.course_settings import settings_of
from ..courses.exam_schedule import Exam, Group
from ..courses.mounts import memberships, words_of
from ..docker_filter import settings

_MORE = timedelta(minutes=10)


def taught(site: dict[str, Any], groups: Iterable[Group]) -> list[tuple[str, Exam]]:
    """The exams of courses of which somebody in `groups` is staff, by their beginning, with what the course's folder is called."""
    known = list(groups)
    says = words_of(known)
    mine = [each.course for each in memberships(name for name, _ in known) if each.teaches]
    found = [(str(says[each].get("folder") or each), schedule.exam_in(settings_of(site, says[each]))) for each in mine]
    return sorted(((title, exam) for title, exam in found if exam), key=lambda each: each[1].begins)


def change(exam: Exam, what: str, now: datetime) -> dict[str, str]:
    """Which time of an exam moves when `what` is done with it, and to when. Raises ValueError where that cannot be done now."""
    zone = exam.begins.tzinfo
    if what == "begin" and now < exam.begins:
        return {"from": now.astimezone(zone).isoformat(timespec="seconds")}
    if what in ("end", "more") and exam.is_on(now):
        ends = now if what == "end" else exam.ends + _MORE
        return {"until": ends.astimezone(zone).isoformat(timespec="seconds")}
    raise ValueError(what)


class Exams(BaseHandler):
    """The page, and its buttons."""

    site_file, changes_file = settings.SITE, schedule.CHANGES

    @authenticated
    async def get(self) -> None:
        await self._show()

    @authenticated
    async def post(self) -> None:
        found = {exam.key: exam for _, exam in self._exams()}
        exam, what = found.get(self.get_body_argument("exam")), self.get_body_argument("what")
        if exam is None:
            raise HTTPError(403)
        try:
            moved = change(exam, what, _now())
        except ValueError:
            await self._show("That cannot be done any more: see below how it is now.")
            return
        before = schedule.read_changes(self.changes_file)
        fresh = self.changes_file.with_suffix(".new")
        fresh.write_text(json.dumps({**before, exam.key: {**before.get(exam.key, {}), **moved}}))
        os.replace(fresh, self.changes_file)
        self.log.warning("exam of %s: %s is done by %s: %s", exam.course, what, self.current_user.name, moved)
        self.redirect(self.request.path)

    def _exams(self) -> list[tuple[str, Exam]]:
        site = schedule.with_changes(settings.read(Path(self.site_file)), schedule.read_changes(self.changes_file))
        return taught(site, [(group.name, group.properties or {}) for group in self.current_user.groups])

    async def _show(self, message: str = "") -> None:
        now = _now()
        shown = [
            (title, exam, "now" if exam.is_on(now) else "to come" if now < exam.begins else "over")
            for title, exam in self._exams()
        ]
        self.set_header("Cache-Control", "no-store")
        self.finish(
            await self.render_template("hubrun-exams.html", exams=shown, message=message, xsrf=self.xsrf_token.decode())
        )


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10


ROUTES = [("/exams", Exams)]
