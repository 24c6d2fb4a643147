"""Collecting with nbgrader itself what the server took (hubrun_hub/exams/collect.py) and what students sent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hubrun_hub.exams import collect
from student_server import student_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="what the server took is root's, and a student's is not"),
]
LIB = Path(__file__).parents[2] / "lib"
STUDENT = 1000
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nbgrader.coursedir import CourseDirectory
from hubrun_student.nbgrader import courses, exchange
courses.INBOUND = Path(sys.argv[2])
course = CourseDirectory(course_id="bio", assignment_id="midterm", root=sys.argv[3])
exchange.Collect(coursedir=course, update=True).start()
"""


def collected(folder: Path) -> dict[str, str]:
    """Student → what formgrader's Collect has of theirs."""
    done = subprocess.run(
        [student_python(), "-c", PROGRAM, LIB, folder / "inbound", folder / "course"],
        env=os.environ | {"HUBRUN_COURSES": "bio", "HUBRUN_TEACHES": "bio"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {path.parts[-3]: path.read_text() for path in folder.glob("course/submitted/*/midterm/midterm.ipynb")}


def send(inbound: Path, time: str, text: str) -> None:
    """As nbgrader submits it from a student's container."""
    path = inbound / f"{inbound.name}+midterm+{time} UTC+{len(text)}"
    path.mkdir()
    (path / "midterm.ipynb").write_text(text)
    for each in (path / "midterm.ipynb", path):
        os.chown(each, STUDENT, STUDENT)


def test_what_a_student_sends_after_the_exam_changes_nothing(tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        (tmp_path / "inbound/bio" / name).mkdir(parents=True)
    (tmp_path / "course").mkdir()
    ada, ben = (tmp_path / "inbound/bio" / name for name in ("ada", "ben"))
    send(ada, "2026-12-01 09:30:00.000000", "first")
    send(ben, "2026-12-01 09:30:00.000000", "all that ben has")
    assert collected(tmp_path) == {"ada": "first", "ben": "all that ben has"}
    work = tmp_path / "home/BIO/midterm"
    work.mkdir(parents=True)
    (work / "midterm.ipynb").write_text("at the end")
    taken = collect.take(tmp_path / "home", ("BIO", "midterm"), ada, "ada")
    assert taken is not None
    send(ada, "2026-12-01 11:02:00.000000", "with the whole network")
    assert collected(tmp_path) == {"ada": "at the end", "ben": "all that ben has"}
    stamp = (tmp_path / "course/submitted/ada/midterm/timestamp.txt").read_text()
    assert stamp == taken.name.split("+")[2], "and is as late as it was changed last"
