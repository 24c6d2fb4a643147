"""Collecting with nbgrader itself what the server took (hubrun_hub/exams/collect.py) and what students sent."""

from __future__ import annotations

import os
import shutil
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


FEEDBACK = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from hubrun_student.nbgrader import courses, exchange, taken
top = Path(sys.argv[2])
courses.FEEDBACK = top / "feedback"
os.chdir(top / "student")
course = CourseDirectory(course_id="bio", assignment_id="midterm", root=str(top / "course"))
exchange.ReleaseFeedback(coursedir=course).start()
options = {"root": str(top / "exchange"), "cache": str(top / "cache"), "assignment_dir": str(top / "student"), "path_includes_course": True}
mine = CourseDirectory(course_id="bio", assignment_id="midterm")
courses_of = Authenticator(plugin_class="hubrun_student.nbgrader.config.MountedCourses")
for _ in range(2):
    taken.FetchFeedback(coursedir=mine, **options).start()
print(taken.ListAssignments(coursedir=mine, cached=True, authenticator=courses_of, **options).start())
"""


def test_feedback_on_what_was_taken_comes_to_its_student_who_sees_it_listed(tmp_path: Path) -> None:
    for folder in ("inbound/bio/ada", "feedback/bio/ada", "student", "course", "exchange/bio", "home/BIO/midterm"):
        (tmp_path / folder).mkdir(parents=True)
    for kind in ("inbound", "feedback"):
        (tmp_path / "exchange/bio" / kind).symlink_to(tmp_path / kind / "bio/ada")
    (tmp_path / "home/BIO/midterm/midterm.ipynb").write_text("{}")
    path = collect.take(tmp_path / "home", ("BIO", "midterm"), tmp_path / "inbound/bio/ada", "ada")
    collect.nothing(tmp_path / "inbound/bio/ada", "ada", "midterm")
    assert path is not None and collected(tmp_path) == {"ada": "{}"}
    # What nbgrader's generate_feedback makes, without a kernel.
    shutil.copytree(tmp_path / "course/submitted/ada/midterm", tmp_path / "course/feedback/ada/midterm")
    (tmp_path / "course/feedback/ada/midterm/midterm.html").write_text("well done")
    done = subprocess.run(
        [student_python(), "-c", FEEDBACK, LIB, tmp_path],
        env=os.environ | {"HUBRUN_COURSES": "bio", "HUBRUN_TEACHES": "bio"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stamp = path.name.split("+")[2]
    assert (tmp_path / "student/bio/midterm/feedback" / stamp / "midterm.html").read_text() == "well done", done.stderr
    assert done.stdout.count(stamp) > 0 and "'has_exchange_feedback': True" in done.stdout, done.stdout


def test_who_hides_their_work_from_the_exams_end_hands_in_nothing_afterwards(tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        (tmp_path / "inbound/bio" / name).mkdir(parents=True)
    (tmp_path / "course").mkdir()
    ada, ben = (tmp_path / "inbound/bio" / name for name in ("ada", "ben"))
    send(ben, "2026-12-01 10:30:00.000000", "in the exam")
    for inbound in (ada, ben):
        collect.nothing(inbound, inbound.name, "midterm")
        send(inbound, "2026-12-01 10:59:00.000000", "with the whole network")
    assert collected(tmp_path) == {"ben": "in the exam"}
