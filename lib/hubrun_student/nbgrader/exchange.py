"""The instructor's side of nbgrader's exchange. The student's side is nbgrader's own (but for `taken`): to it, `inbound` and
`feedback` are the student's alone, as mounted.

Who submitted is the name of the folder that the hub mounted into that person's container; when, says `handed_in`.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import os
import shutil
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.exchange import default
from nbgrader.utils import temp_attrs

from . import courses, handed_in, safe_copy, turns
from .submissions import Submission, graded

_TIMESTAMP = "timestamp.txt"
# What the log says of a submission that could not be copied.
NOT_COLLECTED = "Not collected"


class _Mounted:
    """What the hub has mounted is there; its folders are the hub's, with the modes that they need."""

    coursedir: Any
    fail: Any

    def ensure_root(self) -> None:
        course = self.coursedir.course_id
        if not course:
            self.fail("No course: go to the course's folder (cd ~/courses/COURSE), or name it with --course.")
        if course not in courses.taught():
            self.fail(
                f"You are not an instructor of the course {course!r} here. "
                "If that is new, stop your server (File > Hub Control Panel) and start it again."
            )

    def ensure_directory(self, path: str, mode: int) -> None:
        if not os.path.isdir(path):
            self.fail(f"{path} is not mounted: stop your server (File > Hub Control Panel) and start it again.")


class ReleaseAssignment(_Mounted, default.ExchangeReleaseAssignment):
    """Puts an assignment where the course's students fetch it."""


class Collect(_Mounted, default.ExchangeCollect):
    """Copies the submission of each student that is graded into the course folder."""

    src_records: list[Submission]

    def start(self) -> None:
        try:
            with turns.turn(Path(self.coursedir.root)):
                super().start()
        except turns.Busy as busy:
            self.fail(str(busy))

    def init_src(self) -> None:
        self.inbound_path = courses.INBOUND / self.coursedir.course_id
        self.ensure_directory(str(self.inbound_path), 0o755)
        due = self._due_date() if self.before_duedate else None
        self.src_records = []
        for student in sorted(os.listdir(self.inbound_path)):
            if not fnmatchcase(student, self.coursedir.student_id or "*"):
                continue
            found = handed_in.read(
                self.inbound_path / student, student, self.coursedir.assignment_id, self._limit, self.log
            )
            if submission := graded(found, due):
                self.src_records.append(submission)

    def copy_files(self) -> None:
        course, assignment = self.coursedir.course_id, self.coursedir.assignment_id
        if not self.src_records:
            self.log.warning("No submissions of '%s' for course '%s' to collect", assignment, course)
        for submission in self.src_records:
            if not self._is_wanted(submission):
                continue
            try:
                self._copy(submission)
            except (OSError, safe_copy.LimitExceeded) as error:
                # One that cannot be read must not keep back those of all others.
                self.log.error("%s: %s of %s: %s", NOT_COLLECTED, assignment, submission.student, error)

    def _due_date(self) -> datetime | None:
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            try:
                due: datetime | None = gradebook.find_assignment(self.coursedir.assignment_id).duedate
            except MissingEntry:
                return None
        return due

    @property
    def _limit(self) -> int:
        return 1000 * int(self.coursedir.max_dir_size)

    def _target(self, student: str) -> Path:
        return Path(
            self.coursedir.format_path(self.coursedir.submitted_directory, student, self.coursedir.assignment_id)
        )

    def _is_wanted(self, submission: Submission) -> bool:
        target, name = self._target(submission.student), f"{submission.student} {self.coursedir.assignment_id}"
        if not target.is_dir():
            self.log.info("Collecting submission: %s", name)
            return True
        there = self.coursedir.get_existing_timestamp(str(target))
        # Of one that may be late, an earlier one may count afterwards: who was late was given more time.
        other = there is None or submission.arrived > there or (submission.terms and submission.arrived != there)
        if (self.update and other) or (self.before_duedate and there != submission.arrived):
            self.log.info("Updating submission: %s", name)
            return True
        self.log.info("%s: %s", "Nothing newer" if self.update else "Collected before, see --update", name)
        return False

    def _copy(self, submission: Submission) -> None:
        target = self._target(submission.student)
        candidate = target.with_name(f".{target.name}.new")
        shutil.rmtree(candidate, ignore_errors=True)
        try:
            seen = safe_copy.copy(submission.path, candidate, self._limit)
            for path in seen.left_out:
                self.log.warning("Left out, as hidden or no plain file: %s of %s", path, submission.student)
            changed = submission.arrived if submission.taken else handed_in.moment(seen.changed)
            if submission.terms and changed != submission.arrived:
                raise OSError("it was changed while it was collected: collect again")  # it may be too late by now
            self._stamp(candidate, changed)
            shutil.rmtree(target, ignore_errors=True)
            candidate.rename(target)
        finally:
            shutil.rmtree(candidate, ignore_errors=True)

    def _stamp(self, folder: Path, changed: datetime) -> None:
        stamp = folder / _TIMESTAMP
        if stamp.is_dir():
            shutil.rmtree(stamp)
        stamp.write_text(f"{changed} UTC")


class ReleaseFeedback(_Mounted, default.ExchangeReleaseFeedback):
    """Puts each student's feedback into that student's folder, which nobody else's container has."""

    def init_dest(self) -> None:
        self.folders = courses.FEEDBACK / self.coursedir.course_id
        self.ensure_directory(str(self.folders), 0o755)

    def copy_files(self) -> None:
        there = set(os.listdir(self.folders))
        for student in self._students():
            if student not in there:
                self.log.error("Feedback not released: %s has never started a server in this course", student)
                continue
            self.dest_path = str(self.folders / student)
            self.src_path = self._source(student)
            try:
                with temp_attrs(self.coursedir, student_id=student):
                    super().copy_files()
            except OSError as error:
                self.log.error("Feedback not released to %s: %s", student, error)

    def _source(self, student: str) -> str:
        return str(self.coursedir.format_path(self.coursedir.feedback_directory, student, self.coursedir.assignment_id))

    def _students(self) -> list[str]:
        """Those for whom feedback was generated."""
        folder = Path(self.coursedir.root) / self.coursedir.feedback_directory
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        wanted = self.coursedir.student_id or "*"
        return [name for name in names if fnmatchcase(name, wanted) and os.path.isdir(self._source(name))]
