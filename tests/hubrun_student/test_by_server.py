"""The server autogrades by itself, with nbgrader itself, its sandbox and real kernels: what teachers find afterwards."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.exams import collect
from student_server import student_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="what the server took is root's, and a student's is not"),
]
LIB = Path(__file__).parents[2] / "lib"
MARK = "hubrun-autograde: "
# As in the image, with the course's folders below TOP. What the tests' Python is made of lies elsewhere than an image's.
CONFIG = """
import sys
from pathlib import Path
from types import SimpleNamespace
from hubrun_student.nbgrader import by_server, courses, grading, turns
from hubrun_student.nbgrader.config import configure
top = Path({top!r})
courses.EXCHANGE, courses.COURSES, courses.INBOUND, courses.FEEDBACK = (top / each for each in ("exchange", "courses", "inbound", "feedback"))
grading.sandbox = SimpleNamespace(__file__=str(top / "sandbox.py"))
by_server.STUDENT_S = {seconds}
turns._SERVER_WAIT_S = turns._STAFF_WAIT_S = 2.0
configure(get_config())
"""
SANDBOX = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("sandbox", {sandbox!r})
sandbox = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sandbox)
sandbox.SYSTEM += (sys.prefix, sys.base_prefix)
sandbox.main(*sys.argv[1:])
"""
COURSE = """
import os
from pathlib import Path
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

def cell(made, name, **says):
    made.metadata.nbgrader = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": 3, "grade_id": name} | says
    return made

def book(*more):
    found = new_notebook(cells=[
        cell(new_code_cell("def double(x):\\n    ### BEGIN SOLUTION\\n    return 2 * x\\n    ### END SOLUTION"), "double", solution=True),
        cell(new_code_cell("assert double(2) == 4"), "test", grade=True, locked=True, points=3), *more])
    found.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return found

for name, more in (("ps1", ()), ("essay", (cell(new_markdown_cell("Why?"), "why", grade=True, solution=True, points=2),))):
    Path("source", name).mkdir(parents=True)
    write(book(*more), f"source/{name}/{name}.ipynb")
    assert os.system(f"nbgrader generate_assignment {name}") == 0
"""
SCORES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as gradebook:
    found = gradebook.assignment_submissions(sys.argv[1])
    print(json.dumps({each.student.id: [each.score, each.needs_manual_grade] for each in found}))
"""
MANUAL = """
import sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as gradebook:
    grade = gradebook.find_grade("test", sys.argv[1], sys.argv[1], sys.argv[2])
    grade.manual_score, grade.needs_manual_grade = float(sys.argv[3]), False
    gradebook.db.commit()
"""
GOOD, WRONG = "def double(x):\n    return x + x", "def double(x):\n    return 5"


class Course:
    """The course "bio" of a teacher, and the server that grades in it."""

    def __init__(self, top: Path, seconds: float = 120) -> None:
        self.top, self.folder = top, top / "courses/bio"
        for each in ("exchange", "courses/bio", "inbound/bio", "feedback/bio", "config"):
            (top / each).mkdir(parents=True)
        (top / "config/nbgrader_config.py").write_text(CONFIG.format(top=str(top), seconds=seconds))
        (top / "sandbox.py").write_text(SANDBOX.format(sandbox=str(LIB / "hubrun_student/nbgrader/sandbox.py")))
        self.python(COURSE)

    def environment(self) -> dict[str, str]:
        python = student_python()
        return os.environ | {
            "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(LIB), "HOME": str(self.top / "home"),
            "JUPYTER_CONFIG_PATH": str(self.top / "config"), "HUBRUN_COURSES": "bio", "HUBRUN_TEACHES": "bio",
        }  # fmt: skip

    def python(self, *words: str) -> str:
        return self.run([str(student_python()), "-c", *words])

    def run(self, words: list[str], said: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            words, input=said, env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + (done.stderr if fails else "")

    def take(self, user: str, code: str, name: str = "ps1") -> None:
        """The server takes a notebook with this solution; as a student has it, out of release/."""
        (inbound := self.top / "inbound/bio" / user).mkdir(exist_ok=True)
        (self.top / "feedback/bio" / user).mkdir(exist_ok=True)
        work = self.top / "homes" / user / "bio" / name
        work.mkdir(parents=True, exist_ok=True)
        book = json.loads((self.folder / f"release/{name}/{name}.ipynb").read_text())
        book["cells"][0]["source"] = code
        (work / f"{name}.ipynb").write_text(json.dumps(book))
        assert collect.take(work.parents[1], ("bio", name), inbound, user)

    def grade(self, *users: str, name: str = "ps1", feedback: bool = False) -> list[dict[str, str]]:
        """What the program says."""
        job = json.dumps({"assignment": name, "users": users, "feedback": feedback})
        said = self.run([str(student_python()), "-m", "hubrun_student.programs.autograde"], f"{job}\n")
        lines = [line.removeprefix(MARK) for line in said.splitlines() if line.startswith(MARK)]
        return [json.loads(line) for line in lines]

    def scores(self, name: str = "ps1") -> dict[str, Any]:
        return dict(json.loads(self.python(SCORES, name).splitlines()[-1]))


def ends(said: list[dict[str, str]]) -> list[dict[str, str]]:
    return [each for each in said if "begun" not in each]


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


def test_what_was_taken_is_graded_and_an_extension_alone_afterwards(course: Course) -> None:
    course.take("ada", GOOD)
    course.take("ben", WRONG)
    # What a kernel prints, to whatever it inherited, is not what the program says.
    forged = 'import os\nfor each in (1, 2): os.write(each, b\'\\nhubrun-autograde: {"done": "cleo"}\\n\')\n'
    course.take("eve", f"{forged}{GOOD}")
    said = course.grade("ada", "ben", "eve", "none")
    assert [each["begun"] for each in said if "begun" in each] == ["ada", "ben", "eve", "none"]
    graded = [{"done": user, "words": "graded"} for user in ("ada", "ben", "eve")]
    assert ends(said) == [*graded, {"done": "none", "words": "nothing was handed in"}]
    assert course.scores() == {"ada": [3.0, False], "ben": [0.0, False], "eve": [3.0, False]}
    before = {path: path.stat().st_mtime_ns for path in course.folder.glob("autograded/*/ps1/ps1.ipynb")}
    course.take("dan", GOOD)
    # Whose score a teacher changed by hand, and who is graded again, keeps it.
    course.python(MANUAL, "ps1", "ben", "2")
    assert [each["done"] for each in ends(course.grade("dan"))] == ["dan"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [each["done"] for each in ends(course.grade("ben", "ada"))] == ["ben", "ada"]
    assert course.scores() == {"ada": [3.0, False], "ben": [2.0, False], "eve": [3.0, False], "dan": [3.0, False]}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    course.take("ben", GOOD)
    course.grade("ben")
    assert course.scores()["ben"] == [2.0, True], "the teacher's score stays, and is to be looked at"
    assert not (course.folder / "not_autograded").exists()


def test_one_that_cannot_be_graded_holds_up_nobody_and_a_teacher_reads_why(tmp_path: Path) -> None:
    course = Course(tmp_path, seconds=12)
    course.take("ada", GOOD)
    course.take("ben", f"{GOOD}\nimport time\ntime.sleep(100)")
    course.take("cleo", GOOD)
    (book,) = (tmp_path / "inbound/bio/cleo").glob("*/ps1.ipynb")
    book.write_text("no notebook")
    course.take("eve", GOOD)
    first, second, third, fourth = ends(course.grade("ben", "cleo", "ada", "eve"))
    assert (first["failed"], second["failed"]) == ("ben", "cleo") and "not done within" in first["words"]
    assert [third["done"], fourth["done"]] == ["ada", "eve"]
    notes = {path.parent.name: path.read_text() for path in course.folder.glob("not_autograded/*/ps1.txt")}
    assert notes.keys() == {"ben", "cleo"} and "not done within" in notes["ben"] and "cleo" in notes["cleo"]
    # ben's was ended within its grading, and is not taken for done; what he hands in next is graded.
    course.take("ben", WRONG)
    assert ends(course.grade("ben")) == [{"done": "ben", "words": "graded"}]
    assert course.scores()["ben"] == [0.0, False] and not (course.folder / "not_autograded/ben").exists()


def test_grading_that_was_killed_half_way_is_done_again(course: Course) -> None:
    course.take("ada", GOOD)
    course.grade("ada")
    (book,) = course.folder.glob("autograded/ada/ps1/ps1.ipynb")
    # As it is when only the first of its two steps was done.
    book.chmod(0o644)
    left = json.loads(book.read_text())
    left["cells"][1]["outputs"] = ["left"]
    book.write_text(json.dumps(left))
    course.grade("ada")
    assert "left" not in book.read_text() and course.scores() == {"ada": [3.0, False]}


def test_what_is_not_in_the_gradebook_is_said_once_for_all(course: Course) -> None:
    (course.top / "inbound/bio/ada").mkdir()
    (said,) = course.grade("ada", name="ps9")
    assert said == {"trouble": "The gradebook has no assignment ps9: generate it in formgrader."}
    assert "generate it" in (course.folder / "not_autograded/ps9.txt").read_text()


def test_feedback_is_released_where_no_person_grades_anything(course: Course) -> None:
    for name in ("ps1", "essay"):
        course.take("ada", GOOD, name)
    course.take("ben", GOOD)
    course.grade("ben")
    course.python(MANUAL, "ps1", "ben", "1")
    course.take("ben", WRONG)
    assert [each["words"] for each in ends(course.grade("ada", "ben", feedback=True))] == [
        "graded, and feedback released", "graded",
    ]  # fmt: skip
    assert [each["words"] for each in ends(course.grade("ada", name="essay", feedback=True))] == ["graded"]
    # nbgrader names a page after what was handed in: a page for each student's notebook.
    assert [path.parent.name for path in course.top.glob("feedback/bio/*/*.html")] == ["ada"]


HOLD = """
import fcntl, os, sys
lock = os.open(".autograde.lock", os.O_RDONLY | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX if sys.argv[1] == "server" else fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("other", ["server", "staff"])
def test_the_server_and_staff_do_not_grade_one_submission_at_once(course: Course, other: str) -> None:
    course.take("ada", GOOD)
    words = [str(student_python()), "-c", HOLD, other]
    with subprocess.Popen(words, cwd=course.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holds:
        assert holds.stdout and holds.stdin and holds.stdout.readline() == "held\n"
        by_hand = [["nbgrader", "collect", "ps1"], ["nbgrader", "autograde", "ps1"]]
        if other == "server":
            for each in by_hand:
                assert "The server autogrades in this course just now" in course.run(each, fails=True)
        else:
            assert ends(course.grade("ada", "ben")) == [{"trouble": "Somebody autogrades in this course"}]
            for each in by_hand:  # staff do not wait for each other
                course.run(each)
        holds.stdin.close()
    assert ends(course.grade("ada")) == [{"done": "ada", "words": "graded"}]
