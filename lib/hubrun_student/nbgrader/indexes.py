"""Gradebooks with the indexes that nbgrader leaves out: without them, "Manage Submissions" of a large class takes a minute.

nbgrader 0.9.6 (api.py) looks up the grades of a submission, and the submissions of a student, in tables that are sorted by
cell and by assignment alone, so that each look-up reads a table to its end. An index changes nothing of what nbgrader
says, and a gradebook that goes elsewhere works there with them.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from contextlib import suppress
from typing import Any

from nbgrader.api import Base
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

# Table → the column by which it is looked up.
COLUMNS = {
    "submitted_assignment": "student_id",
    "submitted_notebook": "assignment_id",
    "grade": "notebook_id",
    "comment": "notebook_id",
}


def add() -> None:
    """From now on, each gradebook that this process opens gets those that are missing."""
    if not event.contains(Base.metadata, "after_create", _create):
        event.listen(Base.metadata, "after_create", _create)


def _create(_: Any, connection: Any, **__: Any) -> None:
    # nbgrader creates what is missing of its tables whenever it opens a gradebook (Gradebook.__init__), and says so here.
    with suppress(DBAPIError):  # somebody writes to it: the next time
        for table, column in COLUMNS.items():
            connection.execute(text(f"CREATE INDEX IF NOT EXISTS hubrun_{table} ON {table} ({column})"))
