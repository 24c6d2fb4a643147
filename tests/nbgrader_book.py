"""A gradebook as nbgrader 0.9.6 makes it (api.py), as far as points go: its tables, and rows of a course."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_TABLES = """
CREATE TABLE assignment (id VARCHAR(32) PRIMARY KEY, name VARCHAR(128) UNIQUE, duedate DATETIME, course_id VARCHAR(128));
CREATE TABLE notebook (id VARCHAR(32) PRIMARY KEY, name VARCHAR(128), assignment_id VARCHAR(32), kernelspec VARCHAR(1024));
CREATE TABLE base_cell (id VARCHAR(32) PRIMARY KEY, name VARCHAR(128), notebook_id VARCHAR(32), type VARCHAR(50));
CREATE TABLE grade_cells (id VARCHAR(32) PRIMARY KEY, max_score FLOAT, cell_type VARCHAR(8));
CREATE TABLE task_cells (id VARCHAR(32) PRIMARY KEY, max_score FLOAT, cell_type VARCHAR(8));
CREATE TABLE student (id VARCHAR(128) PRIMARY KEY, first_name VARCHAR(128), last_name VARCHAR(128), email VARCHAR(128));
CREATE TABLE submitted_assignment (
    id VARCHAR(32) PRIMARY KEY, assignment_id VARCHAR(32), student_id VARCHAR(128), timestamp DATETIME, extension DATETIME
);
CREATE TABLE submitted_notebook (
    id VARCHAR(32) PRIMARY KEY, assignment_id VARCHAR(32), notebook_id VARCHAR(32), flagged BOOLEAN,
    late_submission_penalty FLOAT
);
CREATE TABLE grade (
    id VARCHAR(32) PRIMARY KEY, notebook_id VARCHAR(32), cell_id VARCHAR(32), auto_score FLOAT, manual_score FLOAT,
    extra_credit FLOAT, needs_manual_grade BOOLEAN NOT NULL
);
"""


class Book:
    """The gradebook of a course below `root`; "ps1" and the like have two notebooks, of 6 and of 4 points."""

    def __init__(self, root: Path, course: str) -> None:
        self.path = root / course / "course" / "gradebook.db"
        self.path.parent.mkdir(parents=True)
        self.run(_TABLES)

    def run(self, script: str) -> None:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.executescript(script)

    def assignment(self, name: str) -> None:
        self.run(f"""
        INSERT INTO assignment (id, name) VALUES ('a-{name}', '{name}');
        INSERT INTO notebook (id, name, assignment_id) VALUES ('n1-{name}', 'p1', 'a-{name}'), ('n2-{name}', 'p2', 'a-{name}');
        INSERT INTO base_cell VALUES ('c1-{name}', 'c', 'n1-{name}', 'GradeCell'), ('c2-{name}', 'd', 'n1-{name}', 'GradeCell'),
            ('t-{name}', 't', 'n2-{name}', 'TaskCell'), ('s-{name}', 's', 'n1-{name}', 'SolutionCell');
        INSERT INTO grade_cells VALUES ('c1-{name}', 2, 'code'), ('c2-{name}', 4, 'code');
        INSERT INTO task_cells VALUES ('t-{name}', 4, 'markdown');
        """)

    def submit(
        self, name: str, user: str, auto: float | None, manual: float | None = None, extra: float | None = None,
        penalty: float | None = None, waits: bool = False,
    ) -> None:  # fmt: skip
        """Grades of `user`: one cell by the machine (or by hand in its place), none for the second one."""

        def sql(value: float | None) -> str:
            return "NULL" if value is None else str(value)

        key = f"{name}-{user}"
        self.run(f"""
        DELETE FROM grade WHERE notebook_id LIKE '%-{key}';
        INSERT OR REPLACE INTO submitted_assignment (id, assignment_id, student_id) VALUES ('s-{key}', 'a-{name}', '{user}');
        INSERT OR REPLACE INTO submitted_notebook (id, assignment_id, notebook_id, late_submission_penalty)
            VALUES ('b1-{key}', 's-{key}', 'n1-{name}', {sql(penalty)}), ('b2-{key}', 's-{key}', 'n2-{name}', NULL);
        INSERT INTO grade VALUES ('g1-{key}', 'b1-{key}', 'c1-{name}', {sql(auto)}, {sql(manual)}, {sql(extra)}, {int(waits)}),
            ('g2-{key}', 'b1-{key}', 'c2-{name}', NULL, NULL, 5, 0), ('g3-{key}', 'b2-{key}', 't-{name}', NULL, 0, NULL, 0);
        """)
