"""What is submitted late: what counts, what it costs, and that a student's own word changes nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.courses.due_dates import Due, Late
from hubrun_hub.exams import collect
from hubrun_hub.gradebooks.read import read
from hubrun_student.nbgrader.late import Terms, terms_of
from hubrun_student.nbgrader.submissions import Submission, graded
from student_server import student_python

DUE = datetime(2026, 12, 1, 23, 0)
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
TERMS = Terms(DUE, 10, 3)
HEX = "0123456789abcdef"
LIB = Path(__file__).parents[2] / "lib"


@pytest.mark.parametrize(
    ("percent", "after", "more", "off"),
    [
        (10, -DAY, 0 * DAY, 0),
        (10, 0 * DAY, 0 * DAY, 0),
        (10, TICK, 0 * DAY, 10),
        (10, DAY, 0 * DAY, 10),
        (10, DAY + TICK, 0 * DAY, 20),
        (10, 3 * DAY, 0 * DAY, 30),
        (40, 3 * DAY, 0 * DAY, 100),
        (0, 3 * DAY, 0 * DAY, 0),
        (100, TICK, 0 * DAY, 100),
        (10, 2 * DAY, DAY, 10),
        (10, 2 * DAY, 2 * DAY, 0),
        (10, 2 * DAY, 9 * DAY, 0),
    ],
)
def test_each_day_begun_costs_its_per_cent_and_never_more_than_all(
    percent: int, after: timedelta, more: timedelta, off: int
) -> None:
    assert Terms(DUE, percent, 3).percent_off(DUE + after, more) == off


@pytest.mark.parametrize(
    ("after", "covered"), [(0 * DAY, False), (TICK, True), (3 * DAY, True), (3 * DAY + TICK, False)]
)
def test_late_is_after_it_was_due_and_no_later_than_so_many_days(after: timedelta, covered: bool) -> None:
    assert TERMS.covers(DUE + after) is covered


def test_the_teachers_side_reads_what_the_server_wrote() -> None:
    at = datetime(2026, 12, 2, 0, 0, 0, 500_000, tzinfo=UTC) + HOUR
    due = Due(at, "bio", "ps1", "ada", "BIO 101", Late(10, 3))
    terms = terms_of(f"ada+ps1+2026-12-02 00:59:00.000000 UTC+{HEX}{due.terms()}")
    assert terms == Terms(datetime(2026, 12, 2, 1, 0, 1), 10, 3), "nobody is late by a part of a second"
    assert terms_of(f"ada+ps1+2026-12-02 00:59:00.000000 UTC+{HEX}{due._replace(late=None).terms()}") is None
    for wrong in ("", ".late", ".late.1.2", ".late.1.2.3.4", ".late.-1.2.3", ".late.1.1000.3", "+.late.1.2.3"):
        assert terms_of(f"ada+ps1+x UTC+{HEX}{wrong}") is None


def sent(name: str, arrived: datetime, says: datetime | None = None) -> Submission:
    return Submission("ada", Path(name), arrived, sent=says or arrived)


def taken(name: str = "taken", terms: Terms | None = TERMS, empty: bool = False, at: datetime = DUE) -> Submission:
    return Submission("ada", Path(name), at - HOUR, at, empty, terms)


BEFORE = sent("before", DUE - 2 * HOUR)
LATE = sent("late", DUE + HOUR)


@pytest.mark.parametrize(
    ("found", "counts", "off"),
    [
        ([BEFORE, taken()], "taken", 0),
        ([BEFORE, taken(), LATE], "late", 10),
        ([taken(), LATE, sent("later", DUE + 2 * DAY)], "later", 20),
        ([taken(), LATE, sent("too late", DUE + 4 * DAY)], "late", 10),
        ([taken(), sent("too late", DUE + 3 * DAY + TICK)], "taken", 0),
        # Without terms, as in an exam, nothing later counts.
        ([taken(terms=None), LATE], "taken", 0),
        # There was nothing to take.
        ([taken(empty=True), LATE], "late", 10),
        ([BEFORE, taken(empty=True)], "before", 0),
        ([BEFORE, taken(empty=True), LATE], "late", 10),
        ([taken(empty=True), sent("too late", DUE + 4 * DAY)], None, 0),
        # More time: from then on, that moment counts.
        ([taken(), taken("again", Terms(DUE + 2 * DAY, 10, 3), at=DUE + 2 * DAY), LATE], "again", 0),
        ([taken(), taken("again", Terms(DUE + DAY, 10, 3), at=DUE + DAY), sent("late", DUE + 2 * DAY)], "late", 10),
        # Hostile: it says that it was sent before, or is one that was sent before, and was changed or touched.
        ([taken(), sent("forged", DUE + 2 * DAY, DUE - HOUR)], "taken", 0),
        ([BEFORE, taken(), sent("before", DUE + HOUR, BEFORE.arrived)], "taken", 0),
        ([taken(empty=True), sent("forged", DUE + HOUR, DUE - HOUR)], None, 0),
        ([taken(), sent("forged", DUE + 2 * DAY, DUE + TICK)], "forged", 20),
        ([taken(), sent("from the future", DUE + 2 * DAY, DUE + 900 * DAY)], "from the future", 20),
        ([taken(), sent("prepared", DUE - HOUR, DUE + DAY)], "taken", 0),
        ([taken(), Submission("ada", Path("says nothing"), DUE + HOUR)], "taken", 0),
    ],
)  # fmt: skip
def test_what_counts(found: list[Submission], counts: str | None, off: int) -> None:
    for order in (found, found[::-1]):
        one = graded(order)
        assert (one and one.path.name, one.percent_off if one else 0) == (counts, off)


PROGRAM = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from datetime import datetime
from nbformat.v4 import new_code_cell, new_notebook, new_markdown_cell
import nbformat
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.converters import Autograde, GenerateAssignment
from traitlets.config import Config
from hubrun_student.nbgrader import courses, exchange, late_penalties
from hubrun_student.nbgrader.grading import autograde_preprocessors

top = Path(sys.argv[2])
os.chdir(top / "course")
courses.INBOUND = top / "inbound"
config = Config()
config.CourseDirectory.course_id, config.CourseDirectory.root = "bio", str(top / "course")
# The sandbox has tests of its own, and needs a kernel that lets itself be confined.
from hubrun_student.nbgrader import grading
from nbgrader.preprocessors import Execute
config.Autograde.autograde_preprocessors = [Execute if step is grading.SandboxedExecute else step for step in autograde_preprocessors()]

def course(student="*"):
    return CourseDirectory(config=config, assignment_id="ps1", student_id=student)

def step(kind, student="*"):
    done = kind(coursedir=course(student), config=config)
    if kind is not exchange.Collect:
        done.force = True
    else:
        done.update = True
    done.start()

if sys.argv[3] == "make":
    def cell(kind, text, **more):
        made = kind(text)
        made.metadata.nbgrader = {"schema_version": 3, "locked": False, "grade": False, "solution": False, "task": False, **more}
        return made
    book = new_notebook(cells=[
        cell(new_code_cell, "x = 1", grade_id="work", solution=True),
        cell(new_code_cell, "assert x == 1", grade_id="test", grade=True, locked=True, points=4),
        cell(new_markdown_cell, "why", grade_id="essay", grade=True, solution=True, points=6),
    ])
    Path("source/ps1").mkdir(parents=True)
    nbformat.write(book, "source/ps1/p.ipynb")
    step(GenerateAssignment)
elif sys.argv[3] == "essay":
    from hubrun_student.nbgrader import formgraders
    served = formgraders._of_course(formgraders.apihandlers.GradeHandler, "bio", "/", {})
    assert issubclass(served, late_penalties.PenaltyFollowsPoints)
    class Handler:
        coursedir = course()
        def put(self, grade_id):
            self.gradebook.find_grade_by_id(grade_id).manual_score = 6
            self.gradebook.db.commit()
        gradebook = Gradebook(coursedir.db_url)
    class Ours(late_penalties.PenaltyFollowsPoints, Handler):
        pass
    with Handler.gradebook as gradebook:
        for student in ("ada", "eve"):
            Ours().put(gradebook.find_grade("essay", "p", "ps1", student).id)
elif sys.argv[3] == "extend":
    with Gradebook(course().db_url) as gradebook:
        gradebook.update_or_create_assignment("ps1", duedate="2020-01-01 00:00:00 UTC")
        gradebook.grant_extension("ps1", "ada", hours=13)
        gradebook.db.commit()
if sys.argv[3] in ("grade", "extend"):
    step(exchange.Collect)
    step(Autograde)
with Gradebook(course().db_url) as gradebook:
    print(json.dumps({each.student.id: [each.score, each.late_submission_penalty] for each in gradebook.assignment_submissions("ps1")}))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="what the server took is root's, and a student's is not")
def test_collect_and_autograde_take_off_what_late_work_costs(tmp_path: Path) -> None:
    """With nbgrader itself: late, regraded, an essay graded by hand afterwards, more time, and a page of grades that knows."""

    def run(*words: str) -> dict[str, Any]:
        done = subprocess.run(
            [student_python(), "-c", PROGRAM, LIB, tmp_path, *words], capture_output=True, text=True, timeout=300, check=False,
            env=os.environ | {"HUBRUN_COURSES": "bio", "HUBRUN_TEACHES": "bio", "PATH": f"{student_python().parent}:{os.defpath}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def send(user: str, says: datetime, code: str) -> Path:
        folder = tmp_path / "inbound/bio" / user / f"{user}+ps1+{says:%Y-%m-%d %H:%M:%S.%f} UTC+{code}"
        folder.mkdir()
        book = json.loads((tmp_path / "course/release/ps1/p.ipynb").read_text())
        book["cells"][0]["source"] = code
        (folder / "p.ipynb").write_text(json.dumps(book))
        (folder / "timestamp.txt").write_text(f"{DUE - DAY} UTC")
        for each in (*folder.iterdir(), folder):
            os.chown(each, 1000, 1000)
            os.utime(each, (0, 0))
        return folder

    (tmp_path / "course").mkdir()
    run("make")
    now = datetime.now(UTC)
    due = Due(now - 1.5 * DAY, "bio", "ps1", "ada", "BIO", Late(10, 3))
    work = tmp_path / "home/BIO/ps1"
    work.mkdir(parents=True)
    book = json.loads((tmp_path / "course/release/ps1/p.ipynb").read_text())
    book["cells"][0]["source"] = "x = 2"
    (work / "p.ipynb").write_text(json.dumps(book))
    for user in ("ada", "eve"):
        inbound = tmp_path / "inbound/bio" / user
        inbound.mkdir(parents=True)
        assert collect.take(tmp_path / "home", ("BIO", "ps1"), inbound, user, due.terms())
    send("ada", now, "x = 1")
    # eve says that it was sent before it was due, by its name, its timestamp.txt and the times of its files.
    send("eve", now - 2 * DAY, "x = 1")
    assert run("grade") == {"ada": [4, 0.8], "eve": [0, 0]}
    assert run("essay") == {"ada": [10, 2], "eve": [6, 0]}
    points = {user: points for _, user, points, _ in read(tmp_path / "course/gradebook.db")["submissions"]}
    assert points == {"ada": 8, "eve": 6}
    # Collected and graded again: the same. nbgrader's own due date takes nothing off, and its extension is more time.
    assert run("extend") == {"ada": [10, 1], "eve": [6, 0]}
    # More time by the server: what was taken then counts, though it was changed before the late one was sent.
    later = due._replace(at=now + HOUR)
    assert collect.take(tmp_path / "home", ("BIO", "ps1"), tmp_path / "inbound/bio/ada", "ada", later.terms())
    assert run("grade")["ada"] == [6, 0]


LIST = """
import os, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from hubrun_student.nbgrader import courses, exchange, taken
top = Path(sys.argv[2])
options = {"root": str(top / "exchange"), "cache": str(top / "cache"), "assignment_dir": str(top), "path_includes_course": True}
courses_of = Authenticator(plugin_class="hubrun_student.nbgrader.config.MountedCourses")
listed = taken.ListAssignments(coursedir=CourseDirectory(course_id="bio"), cached=True, authenticator=courses_of, **options)
for each in listed.start():
    for one in each["submissions"]:
        print(each["assignment_id"], one["timestamp"])

# A student who goes on changing it while it is collected.
courses.INBOUND = top / "inbound"
collect = exchange.Collect(coursedir=CourseDirectory(course_id="bio", assignment_id="ps1", root=str(top / "course")))
collect.init_src()
(one,) = collect.src_records
os.utime(one.path)
try:
    collect._copy(one)
except OSError as error:
    print(error, list((top / "course/submitted/ada").iterdir()))

# One who removes it while it is looked at.
from hubrun_student.nbgrader import handed_in
listdir, os.listdir = os.listdir, lambda folder: ["ada+ps1+2026-12-01 00:00:00.000000 UTC+gone", *listdir(folder)]
print(len(handed_in.taken(top / "inbound/bio/ada", "ada", "ps1")))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="what the server took is root's, and a student's is not")
def test_the_list_says_what_counts_and_what_is_changed_while_it_is_collected_is_not(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    inbound = tmp_path / "inbound/bio/ada"
    inbound.mkdir(parents=True)
    (tmp_path / "exchange/bio").mkdir(parents=True)
    (tmp_path / "exchange/bio/inbound").symlink_to(inbound)
    stamps = {}
    for assignment, late in (("ps1", Late(10, 3)), ("ps2", None), ("ps3", Late(10, 3))):
        due = Due(now - 1.5 * DAY, "bio", assignment, "ada", "BIO", late)
        (tmp_path / "home/BIO" / assignment).mkdir(parents=True)
        (tmp_path / "home/BIO" / assignment / "p.ipynb").write_text("{}")
        path = collect.take(tmp_path / "home", ("BIO", assignment), inbound, "ada", due.terms())
        stamps[assignment] = str(path).split("+")[2]
    for assignment, says in (("ps1", now), ("ps2", now), ("ps3", now - 2 * DAY)):
        name = f"ada+{assignment}+{says:%Y-%m-%d %H:%M:%S.%f} UTC"
        for folder in (inbound / f"{name}+x", tmp_path / "cache/bio" / name):
            folder.mkdir(parents=True)
            (folder / "p.ipynb").write_text("{}")
            os.chown(folder, 1000, 1000)
        stamps[f"sent {assignment}"] = name.split("+")[2]
    done = subprocess.run(
        [student_python(), "-c", LIST, LIB, tmp_path], capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"HUBRUN_COURSES": "bio", "HUBRUN_TEACHES": "bio"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *listed, changed, taken_ones = done.stdout.splitlines()
    assert sorted(listed) == sorted([
        f"ps1 {stamps['ps1']}", f"ps1 {stamps['sent ps1']} (counts, 20 % of its points less)",
        f"ps2 {stamps['ps2']}", f"ps2 {stamps['sent ps2']}",
        f"ps3 {stamps['ps3']} (counts)", f"ps3 {stamps['sent ps3']}",
    ])  # fmt: skip
    assert changed == "it was changed while it was collected: collect again []" and taken_ones == "1"
