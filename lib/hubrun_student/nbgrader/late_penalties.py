"""What a late submission costs, as the late submission penalty of nbgrader: its feedback, its export and the page of grades
take it off.

nbgrader's own (`AssignLatePenalties`, nbgrader 0.9.6) knows the due date of its gradebook alone, which is one for all, and
sets the penalty while it autogrades: what a person grades afterwards would cost nothing. Here the due moment is the one of
which the server says that it took this student's work, and the penalty follows the points.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.preprocessors import AssignLatePenalties

from . import courses, handed_in
from .submissions import Submission, terms_in


class LatePenalties(AssignLatePenalties):
    """nbgrader's step of autograding. Where a course has terms for what is late, these count, and nothing else."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        nb, resources = super().preprocess(nb, resources)
        with Gradebook(self.db_url) as gradebook:
            assign(gradebook, self.config.CourseDirectory.get("course_id", ""), self.assignment_id, self.student_id)
        return nb, resources


class PenaltyFollowsPoints:
    """For formgrader's handler of a grade: comes before nbgrader's among the base classes."""

    def put(self: Any, grade_id: str) -> None:
        super().put(grade_id)
        notebook = self.gradebook.find_grade_by_id(grade_id).notebook
        assign(self.gradebook, self.coursedir.course_id, notebook.assignment.name, notebook.student.id)


def assign(gradebook: Any, course: str, assignment: str, student: str) -> None:
    """Set the penalty of each notebook of a submission, also of one that is missing in it; without terms, set nothing.

    An extension that nbgrader's gradebook has for this student is more time here too.
    """
    taken = handed_in.taken(courses.INBOUND / course / student, student, assignment) if course else []
    if not (terms := terms_in(taken)):
        return
    submission = gradebook.find_submission(assignment, student)
    percent = 0
    if not _was_taken(submission.timestamp, taken):
        percent = terms.percent_off(submission.timestamp, submission.extension or timedelta())
    for notebook in submission.notebooks:
        notebook.late_submission_penalty = max(0.0, notebook.score) * percent / 100 or None
    gradebook.db.commit()


def _was_taken(collected: datetime | None, taken: list[Submission]) -> bool:
    """Whether it is what the server took, which may have lasted a moment: then it costs nothing. So does one without a time."""
    return collected is None or any(one.arrived == collected for one in taken)
