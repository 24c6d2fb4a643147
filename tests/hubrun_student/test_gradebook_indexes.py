"""A gradebook with our indexes, by nbgrader itself: it is quicker, and says what it said before."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from student_server import student_python

pytestmark = pytest.mark.slow
LIB = Path(__file__).parents[2] / "lib"
PROGRAM = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from hubrun_student.nbgrader import formgraders, indexes
from sqlalchemy import text

top = Path(sys.argv[2])
os.chdir(top)
for name in ("ps1", "ps2"):
    (top / "source" / name).mkdir(parents=True)
with Gradebook("sqlite:///gradebook.db", "bio") as book:
    for name in ("ps1", "ps2"):
        book.add_assignment(name)
        book.add_notebook("p", name)
        book.add_grade_cell("c", "p", name, max_score=3, cell_type="code")
        book.add_solution_cell("s", "p", name)
    for student in ("ada", "ben"):
        book.add_student(student, first_name=student.title())
        book.add_submission("ps1", student)
    book.find_grade("c", "p", "ps1", "ada").auto_score = 2
    book.db.commit()
(top / "submitted/ben/ps2").mkdir(parents=True)
(top / "submitted/ada/ps1").mkdir(parents=True)
(top / "autograded/ada/ps1").mkdir(parents=True)

def said(kind):
    api = kind(CourseDirectory(root=str(top), course_id="bio"))
    with api.gradebook as book:
        steps = [row[-1] for row in book.db.execute(text("EXPLAIN QUERY PLAN SELECT * FROM grade WHERE notebook_id = 'x'"))]
        grades = [book.submission_dicts("ps1"), book.notebook_submission_dicts("p", "ps1"), book.student_dicts()]
    pages = [api.get_submissions("ps1"), *(api.get_student_submissions(student) for student in ("ada", "ben", "eve"))]
    return steps, json.dumps([grades, pages], default=str, sort_keys=True)

before, plain = said(NbGraderAPI)
for _ in range(2):
    indexes.add()
after, ours = said(formgraders.CourseApi)
print(json.dumps([before, after, plain == ours, len(plain)]))
"""


def test_a_gradebook_that_is_there_gets_indexes_and_says_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [student_python(), "-c", PROGRAM, LIB, tmp_path],
        env=os.environ | {"PATH": f"{student_python().parent}:{os.defpath}"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after, same, length = json.loads(done.stdout.splitlines()[-1])
    assert before == ["SCAN grade"] and after == ["SEARCH grade USING INDEX hubrun_grade (notebook_id=?)"]
    assert same and length > 1000
