"""Points in a gradebook of nbgrader. The tables and sums are those of nbgrader 0.9.6 (api.py, plugins/export.py)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hubrun_hub.joining.homes import refuse_programs

# Steps of SQLite's machine, some seconds of work: a class of 300 with 12 assignments takes a hundredth.
_STEPS = 200_000_000
_ROWS = 100_000
_MAXIMA = """
SELECT assignment.name, COALESCE(SUM(cell.max_score), 0) FROM assignment
LEFT JOIN notebook ON notebook.assignment_id = assignment.id
LEFT JOIN base_cell ON base_cell.notebook_id = notebook.id
LEFT JOIN (SELECT id, max_score FROM grade_cells UNION ALL SELECT id, max_score FROM task_cells) AS cell
ON cell.id = base_cell.id
GROUP BY assignment.id ORDER BY assignment.name
"""
# By notebook first, as a penalty is of a notebook, whatever the number of its grades.
_POINTS = """
SELECT assignment.name, submitted_assignment.student_id, SUM(book.points) - SUM(book.penalty), MAX(book.manual)
FROM submitted_assignment JOIN assignment ON assignment.id = submitted_assignment.assignment_id
JOIN (
    SELECT submitted_notebook.assignment_id AS submission,
    COALESCE(SUM(COALESCE(grade.manual_score, grade.auto_score, 0)
        + CASE WHEN grade.manual_score IS NULL AND grade.auto_score IS NULL THEN 0
          ELSE COALESCE(grade.extra_credit, 0) END), 0) AS points,
    COALESCE(submitted_notebook.late_submission_penalty, 0) AS penalty,
    COALESCE(MAX(grade.needs_manual_grade), 0) AS manual
    FROM submitted_notebook LEFT JOIN grade ON grade.notebook_id = submitted_notebook.id
    GROUP BY submitted_notebook.id
) AS book ON book.submission = submitted_assignment.id
GROUP BY submitted_assignment.id
"""


def read(path: Path) -> dict[str, Any]:
    """Return the assignments with their most points, and of each submission its points and whether a person must grade it.

    Raises sqlite3.Error, and Failed for what is not a gradebook that nbgrader makes.
    """
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA query_only = ON")
        db.execute("PRAGMA mmap_size = 0")
        db.set_progress_handler(lambda: 1, _STEPS)
        refuse_programs(db)
        maxima = db.execute(_MAXIMA).fetchmany(_ROWS)
        points = db.execute(_POINTS).fetchmany(_ROWS)
    return {
        "assignments": [[name, maximum] for name, maximum in maxima],
        "submissions": [[name, user, max(0.0, float(sum_)), bool(manual)] for name, user, sum_, manual in points],
    }
