"""What the server took of somebody (hubrun_hub/exams/collect.py) is among their submissions, and its feedback comes to them.

nbgrader finds a student's submissions where it kept a copy of each as it was sent (`Exchange.cache`), below a folder that is
called USER+ASSIGNMENT+TIME. What was taken has a link there to where it lies. Where more than one may count, as something
may be submitted late, the list says which one does.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

from nbgrader.exchange import default

from . import handed_in
from .submissions import graded, terms_in

_ROOT = 0


class _WithTaken:
    root: str
    cache: str
    log: Any

    def init_src(self) -> None:
        try:
            for path in Path(self.root).glob("*/inbound/*+*+*+*"):
                link = Path(self.cache, path.parts[-3], path.name.rpartition("+")[0])
                # No student can make a folder of root's. An empty one says that there was nothing.
                if path.lstat().st_uid == _ROOT and any(path.iterdir()) and not link.is_symlink():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path)
        except OSError as error:  # the home is full, or something of theirs is in the way
            self.log.warning("What was taken when it was due is not listed: %s", error)
        super().init_src()


class ListAssignments(_WithTaken, default.ExchangeList):
    """Lists what was taken among what was submitted, and where there are terms for what is late, says which one counts."""

    def parse_assignments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super().parse_assignments()
        for each in found if self.cached else ():
            folder = Path(self.root, each["course_id"], "inbound")
            try:
                self._say_what_counts(each, folder)
            except OSError as error:
                self.log.warning("Which submission counts is not listed: %s", error)
        return found

    def _say_what_counts(self, listed: dict[str, Any], folder: Path) -> None:
        whose = listed["student_id"], listed["assignment_id"]
        if not terms_in(handed_in.taken(folder, *whose)):
            return
        limit = 1000 * int(self.coursedir.max_dir_size)
        if one := graded(handed_in.read(folder, *whose, limit, self.log)):
            costs = f", {one.percent_off} % of its points less" if one.percent_off else ""
            for each in listed["submissions"]:
                # nbgrader's list shows this text, and finds nothing by it.
                if "+".join((*whose, each["timestamp"])) == one.path.name.rpartition("+")[0]:
                    each["timestamp"] += f" (counts{costs})"


class FetchFeedback(_WithTaken, default.ExchangeFetchFeedback):
    """Fetches feedback on what was taken, too."""
