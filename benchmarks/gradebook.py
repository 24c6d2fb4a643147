"""nbgrader with a class of 300 and 12 assignments: `PYTHONPATH=tests:. .venv/bin/python -m benchmarks.gradebook`, as root.

From the teacher's first click to grades: generate, release; a student lists, fetches, submits; collect, autograde in its
sandbox; then each page of formgrader, with the requests that the page itself makes. All of it by real servers, with the
requests of their buttons. Only the class is not typed in one by one: the others' submissions are copies of one student's,
and beyond `--graded` their grades are copies of grades that autograding made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import nbformat
from benchmarks.figures import Figure, table
from benchmarks.graded_course import COURSE, NOTEBOOKS, TEACHER, Course, Names, Server, answered, copy_grades, source
from rich.console import Console

PAGE_S = 2.0
FORMGRADER = f"/formgraders/{COURSE}/formgrader"


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _children_s() -> float:
    """Seconds of a processor of the programs that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def fine(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is one of a button or page that worked."""
    assert answer.status_code == 200, (answer.status_code, str(answer.url), answer.text[-3000:])
    if answer.headers.get("content-type", "").startswith("text/html"):
        return answer
    said = answer.json() if answer.content else {}
    assert not isinstance(said, dict) or said.get("success", True), said
    return answer


class Bench:
    """The steps, each of which adds its figures."""

    def __init__(self, course: Course, assignments: int, graded: int) -> None:
        self.course, self.students = course, list(course.students)
        self.assignments = [f"ps{number:02}" for number in range(1, assignments + 1)]
        self.graded = graded
        self.figures: list[Figure] = []
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:4.0f} s] {text}", file=sys.stderr, flush=True)

    def run(self) -> None:
        folder = self.course.path / "course"
        for number, name in enumerate(self.assignments, 1):
            for part in NOTEBOOKS:
                path = folder / "source" / name / f"{part}.ipynb"
                path.parent.mkdir(parents=True, exist_ok=True)
                nbformat.write(source(number, part), path)
        self.course.own()
        with self.course.server(TEACHER) as teacher:
            self.say("generate and release")
            self.each("generate an assignment", teacher.client, "assign")
            self.each("release an assignment", teacher.client, "release")
            self.submit()
            self.say("collect")
            self.each(f"collect {len(self.students)} submissions of an assignment", teacher.client, "collect")
            self.autograde()
            self.fill()
            ours = self.pages(teacher, rounds=3)
        self.course.as_nbgrader_has_it()
        with self.course.server(TEACHER) as teacher:
            self.say("the same with nbgrader's own gradebook")
            plain = self.pages(teacher, rounds=1)
        for name, (took, cpu) in ours.items():
            [wall], cpu_before = plain[name]
            note = f"{cpu:.1f} s of a processor; with nbgrader's own gradebook {wall:.1f} s, {cpu_before:.1f} s of a processor"
            self.figures.append(Figure(f"formgrader: {name}", took, goal=PAGE_S, note=note))

    def each(self, name: str, teacher: httpx.Client, button: str) -> None:
        """A button of "Manage Assignments", for each assignment."""
        took = [
            seconds(lambda each=each: fine(teacher.post(f"{FORMGRADER}/api/assignment/{each}/{button}")))  # type: ignore[misc]
            for each in self.assignments
        ]
        self.figures.append(Figure(name, took))

    def submit(self) -> None:
        """One student does all assignments; what they sent, the others sent too."""
        first, *others = self.students
        home, listed, fetched, sent = self.course.home(first), [], [], []
        self.say("a student lists, fetches and submits")
        with self.course.server(first) as server:
            student = server.client
            for name in self.assignments:
                asked = {"course_id": COURSE, "assignment_id": name}
                listed.append(seconds(lambda: fine(student.get("/assignments", params={"course_id": COURSE}))))
                fetched.append(seconds(lambda: fine(student.post("/assignments/fetch", json=asked))))  # noqa: B023
                for part in NOTEBOOKS:
                    path = home / COURSE / name / f"{part}.ipynb"
                    path.write_text(answered(path.read_text(), right=part == NOTEBOOKS[0]))
                sent.append(seconds(lambda: fine(student.post("/assignments/submit", json=asked))))  # noqa: B023
        count = len(self.assignments)
        self.figures += [
            Figure(f"a student's list of {count} assignments", listed), Figure("a student fetches", fetched),
            Figure("a student submits", sent),
        ]  # fmt: skip
        for path in (self.course.path / "inbound" / first).iterdir():
            _, *rest = path.name.split("+")
            for name in others:
                shutil.copytree(path, self.course.path / "inbound" / name / "+".join([name, *rest]))
        self.course.own()

    def autograde(self) -> None:
        """Some of the first assignment, one after another and several at a time; and one of each other assignment."""
        first, *others = self.assignments
        model, *people = self.students
        several, part = os.cpu_count() or 1, self.graded // 2
        alone, together = ([(first, name) for name in each] for each in (people[:part], people[part : 2 * part]))
        self.say(f"autograde {part} one after another, {part} {several} at a time")
        used, took = _children_s(), seconds(lambda: self._autograde(alone, 1)) / part
        note = f"{len(NOTEBOOKS)} notebooks, in the sandbox; {part} of {len(self.students) * len(self.assignments)}; {{:.1f}} s of a processor"
        self.figures.append(
            Figure("autograde a submission, one after another", [took], note=note.format((_children_s() - used) / part))
        )
        used, faster = _children_s(), seconds(lambda: self._autograde(together, several)) / part
        self.figures.append(
            Figure(
                f"autograde a submission, {several} at a time",
                [faster],
                [took],
                note=note.format((_children_s() - used) / part),
            )
        )
        self.say("autograde one of each assignment")
        self._autograde([(each, model) for each in self.assignments], several)

    def _autograde(self, work: Sequence[tuple[str, str]], several: int) -> None:
        """Assignments and students, as `nbgrader autograde ASSIGNMENT --student STUDENT` does it, in so many processes."""
        program = (
            "import os, sys; os.chdir(sys.argv[1]); from nbgrader.apps import NbGraderApp\n"
            "for each in sys.argv[2:]:\n"
            "    name, student = each.split('/'); NbGraderApp.clear_instance()\n"
            "    NbGraderApp.launch_instance(['autograde', name, '--student', student])\n"
        )
        place = f"/srv/nbgrader/courses/{COURSE}"
        with ThreadPoolExecutor(several) as pool:
            groups = [[f"{name}/{student}" for name, student in work[number::several]] for number in range(several)]
            list(pool.map(lambda group: self.course.run(TEACHER, "-c", program, place, *group), filter(None, groups)))
        done = self.course.path / "course/autograded"
        missing = [each for each in work if not (done / each[1] / each[0]).is_dir()]
        assert not missing, f"not autograded: {missing}"

    def fill(self) -> None:
        """Grades of everybody else: copies of the first student's, with other scores."""
        self.say("the grades of the others")
        folder, model = self.course.path / "course", self.students[0]
        with closing(sqlite3.connect(folder / "gradebook.db")) as db, db:
            for assignment in self.assignments:
                for name in self.students[1:]:
                    done = folder / "autograded" / name / assignment
                    if not done.exists():
                        shutil.copytree(folder / "autograded" / model / assignment, done)
                        copy_grades(
                            db,
                            assignment,
                            model,
                            name,
                            (folder / "submitted" / name / assignment / "timestamp.txt").read_text(),
                        )
        self.course.own()

    def pages(self, teacher: Server, rounds: int) -> dict[str, tuple[list[float], float]]:
        """Each page of formgrader, with what it asks for: its name → seconds of each round, and of a processor for one."""
        self.say("formgrader's pages")
        name, student = self.assignments[0], self.students[len(self.students) // 2]
        listed = fine(teacher.client.get(f"{FORMGRADER}/api/submitted_notebooks/{name}/{NOTEBOOKS[0]}")).json()
        one = listed[len(listed) // 2]["id"]
        pages = {
            "Manage Assignments": ["manage_assignments", "api/assignments"],
            "Manage Submissions": [f"manage_submissions/{name}", f"api/submissions/{name}"],
            "Manual Grading": ["gradebook", "api/assignments"],
            "Manual Grading, an assignment": [f"gradebook/{name}", f"api/notebooks/{name}"],
            "Manual Grading, a notebook": [f"gradebook/{name}/{NOTEBOOKS[0]}", f"api/submitted_notebooks/{name}/{NOTEBOOKS[0]}"],
            "a submission": [f"submissions/{one}/", f"api/grades?submission_id={one}", f"api/comments?submission_id={one}"],
            "the next submission": [f"submissions/{one}/next"],
            "Manage Students": ["manage_students", "api/students"],
            "Manage Students, a student": [f"manage_students/{student}", f"api/student_submissions/{student}"],
            "Manage Students, an assignment": [f"manage_students/{student}/{name}", f"api/student_notebook_submissions/{student}/{name}"],
        }  # fmt: skip
        took: dict[str, tuple[list[float], float]] = {}
        for page, asked in pages.items():
            cpu = teacher.cpu_s()
            walls = [
                seconds(lambda asked=asked: [fine(teacher.client.get(f"{FORMGRADER}/{each}", follow_redirects=True)) for each in asked])  # type: ignore[misc]
                for _ in range(rounds)
            ]  # fmt: skip
            took[page] = walls, (teacher.cpu_s() - cpu) / rounds
            self.say(f"{page}: {statistics.median(walls):.2f} s, {took[page][1]:.2f} s of a processor")
        return took


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--assignments", type=int, default=12)
    parser.add_argument("--graded", type=int, default=8, help="how many submissions are autograded to measure it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with the figures that there are
    people = [f"s{number:03}" for number in range(options.students)]
    hub = ThreadingHTTPServer(("127.0.0.1", 0), type("Names", (Names,), {"people": people}))
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="hubrun-gradebook-") as folder:
        course = Course(Path(folder), people, f"http://127.0.0.1:{hub.server_port}/hub/api")
        course.make()
        bench = Bench(course, options.assignments, options.graded)
        try:
            bench.run()
        finally:
            load = "load of the last minutes: {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())
            title = (
                f"{options.students} students, {options.assignments} assignments; {os.cpu_count()} processors, {load}"
            )
            Console(width=140).print(table(bench.figures, title))
    hub.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
