"""A course for benchmarks.gradebook: its folders below a temporary one, and people who see of it what the hub would mount.

Each program of theirs runs as the image's user in a mount namespace of its own (unshare(1)), with nbgrader, this
checkout's code and the folders of `hubrun_hub.courses.mounts`: nothing outside the temporary folder is changed. As root.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typing_extensions import override

from hubrun.environment import PROJECT
from hubrun_hub.courses.mounts import Membership, places
from student_server import student_python

COURSE, TEACHER = "bio", "tea"
COLUMNS = ("submitted_assignment", "submitted_notebook", "grade", "comment")  # of hubrun_student.nbgrader.indexes
NOTEBOOKS, QUESTIONS = ("part1", "part2"), 4
USER = 1000
# What is mounted: $1 the students' environment, $2 the Python that it was made with, $3 this checkout's code, all of it below
# /opt, where submissions may reach programs; then pairs of a folder and where it goes, "--", and the command.
_ENTER = """
mount -t tmpfs -o mode=755 none /srv
mount -t tmpfs -o mode=755 none /opt
mkdir -p /opt/packages /opt/python /opt/hubrun /opt/student/bin
mount --bind "$1" /opt/packages
mount --bind "$2" /opt/python
mount --bind "$3" /opt/hubrun
echo home = /opt/python/bin > /opt/student/pyvenv.cfg
ln -s /opt/python/bin/python3 /opt/student/bin/python
ln -s /opt/packages/lib /opt/packages/etc /opt/packages/share /opt/student
shift 3
while [ "$1" != -- ]; do mkdir -p "$2"; mount --bind "$1" "$2"; shift 2; done
shift
exec setpriv --reuid 1000 --regid 1000 --clear-groups -- "$@"
"""

_BASELINE = """
from hubrun_student.nbgrader import indexes
from nbgrader.apps.api import NbGraderAPI
from nbgrader.server_extensions.formgrader import base
indexes.COLUMNS, base.NbGraderAPI = {}, NbGraderAPI
"""


@dataclass(frozen=True)
class Server:
    """A person's Jupyter server: a client that is logged in, and its process."""

    client: httpx.Client
    pid: int

    def cpu_s(self) -> float:
        """Seconds of a processor that it has used: proc_pid_stat(5), utime and stime."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Course:
    """The course below `folder`, with `students`; `hub` is where their servers would find the hub's API."""

    folder: Path
    students: Sequence[str]
    hub: str

    @property
    def path(self) -> Path:
        """The course's folders on the server (`mounts.ROOT`/COURSE)."""
        return self.folder / "srv" / COURSE

    def home(self, name: str) -> Path:
        return self.folder / "home" / name

    def make(self) -> None:
        """The empty folders, as runbook 04 and the hub make them; and each role's settings, as the image has them."""
        self.folder.chmod(0o755)
        for each in (*(f"inbound/{name}" for name in self.students), *(f"feedback/{name}" for name in self.students)):
            (self.path / each).mkdir(parents=True)
        for each in ("outbound", "course", f"inbound/{TEACHER}", f"feedback/{TEACHER}"):
            (self.path / each).mkdir()
        code = PROJECT / "lib/hubrun_student/nbgrader"
        for role in ("student", "instructor"):
            shutil.copytree(code / role, self.folder / "share" / role)
            shutil.copy(code / "nbgrader_config.py", self.folder / "share" / role)
        # nbgrader calls it by its name when it makes a gradebook; the environment's own has a path in it that is not here.
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "alembic").write_text('#!/bin/sh\nexec /opt/student/bin/python -m alembic "$@"\n')
        (programs / "alembic").chmod(0o755)
        self.own()

    def as_nbgrader_has_it(self) -> None:
        """From here on without what makes formgrader quicker: the baseline."""
        with (self.folder / "share/instructor/nbgrader_config.py").open("a") as file:
            file.write(_BASELINE)
        with closing(sqlite3.connect(self.path / "course/gradebook.db")) as gradebook:
            for table in COLUMNS:
                gradebook.execute(f"DROP INDEX hubrun_{table}")

    def own(self) -> None:
        """Everything is the image's user's."""
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.folder], check=True)

    def start(self, name: str, *command: str, **options: object) -> subprocess.Popen[str]:
        """Start a command of Python's (`-m nbgrader …`) in the container, so to speak, of this person."""
        home = self.home(name)
        if not home.exists():
            home.mkdir(parents=True)
            os.chown(home, USER, USER)
        mounts = places(name, [Membership(COURSE, name == TEACHER)], str(self.folder / "srv"))
        pairs = [part for source, to in mounts.binds.items() for part in (source, to["bind"])]
        role = mounts.environment["JUPYTER_CONFIG_PATH"].rpartition("/")[2]
        environment = {
            **mounts.environment, "PATH": f"{self.folder}/bin:{os.defpath}", "HOME": str(home), "PYTHONPATH": "/opt/hubrun",
            "LD_LIBRARY_PATH": "/opt/python/lib",
            "JUPYTER_CONFIG_PATH": str(self.folder / "share" / role), "JUPYTERHUB_USER": name,
            "JUPYTERHUB_API_URL": self.hub, "JUPYTERHUB_API_TOKEN": "none", "TZ": "Europe/Zurich", "LANG": "C.UTF-8",
        }  # fmt: skip
        given = [(python := student_python()).parents[1], python.resolve().parents[1], PROJECT / "lib"]
        enter = ["unshare", "--mount", "sh", "-euc", _ENTER, "sh", *given, *pairs, "--"]
        started: subprocess.Popen[str] = subprocess.Popen(
            [*enter, "/opt/student/bin/python", *command], env=environment, cwd="/", text=True, **options  # type: ignore[call-overload]
        )  # fmt: skip
        return started

    def run(self, name: str, *command: str) -> None:
        """Run such a command to its end. Raises AssertionError with what it said."""
        started = self.start(name, *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = started.communicate()
        assert started.returncode == 0, said[-3000:]

    @contextmanager
    def server(self, name: str) -> Iterator[Server]:
        """This person's Jupyter server."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        token = secrets.token_hex(16)
        options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
        with (self.folder / f"{name}.log").open("w") as log:
            started = self.start(
                name, "-c", f"import os, runpy; os.chdir({str(self.home(name))!r}); runpy.run_module('jupyter_server', run_name='__main__')",
                "--no-browser", *options, stdout=log, stderr=log,
            )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(
            base_url=url, headers={"Authorization": f"token {token}"}, timeout=600, verify=False
        ) as client:
            try:
                end = time.monotonic() + 90
                while not _answers(client):
                    assert started.poll() is None and time.monotonic() < end, Path(log.name).read_text()[-3000:]
                    time.sleep(0.2)
                yield Server(client, started.pid)
            finally:
                started.terminate()
                started.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api").status_code == 200
    except httpx.TransportError:
        return False


def source(number: int, name: str) -> nbformat.NotebookNode:
    """A notebook of an assignment as its teacher writes it: questions that tests grade, and one that a person grades."""
    cells = [new_markdown_cell(f"# Assignment {number}, {name}\n\n" + "Read this before you begin. " * 20)]
    for each in range(QUESTIONS):
        answer = f"def f{each}(x):\n    ### BEGIN SOLUTION\n    return x + {each}\n    ### END SOLUTION"
        tests = f"assert f{each}(1) == {each + 1}\n### BEGIN HIDDEN TESTS\nassert f{each}(-1) == {each - 1}\n### END HIDDEN TESTS"
        cells += [
            new_code_cell(answer, metadata={"nbgrader": _marks(f"f{each}", solution=True)}),
            new_code_cell(tests, metadata={"nbgrader": _marks(f"test{each}", points=2, locked=True)}),
        ]
    cells.append(new_markdown_cell("Why?", metadata={"nbgrader": _marks("why", points=4, solution=True)}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _marks(name: str, points: int | None = None, solution: bool = False, locked: bool = False) -> dict[str, object]:
    """What nbgrader writes at a cell (nbgraderformat, version 3)."""
    graded = {"grade": points is not None} | ({"points": points} if points is not None else {})
    return {"schema_version": 3, "grade_id": name, "solution": solution, "locked": locked, "task": False, **graded}


def answered(text: str, right: bool) -> str:
    """A fetched notebook in which the questions are answered; the last one only where `right`."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if name.startswith("f"):
            wrong = name == f"f{QUESTIONS - 1}" and not right
            cell["source"] = f"def {name}(x):\n    return x + {100 if wrong else name[1:]}"
        elif name == "why":
            cell["source"] = "Because " + "it is so. " * 40
    return json.dumps(notebook)


def copy_grades(db: sqlite3.Connection, assignment: str, model: str, name: str, stamp: str) -> None:
    """The rows of a submission, of one student's for another."""

    def copy(table: str, where: str, value: str, **changed: Any) -> list[tuple[str, str]]:
        cursor = db.execute(f"SELECT * FROM {table} WHERE {where} = ?", (value,))
        columns, rows = [each[0] for each in cursor.description], cursor.fetchall()
        pairs = []
        for row in rows:
            fresh = dict(zip(columns, row, strict=True)) | changed
            old, fresh["id"] = fresh["id"], secrets.token_hex(16)
            if fresh.get("auto_score") is not None:
                fresh["auto_score"] = random.choice((0.0, 2.0))
            db.execute(
                f"INSERT INTO {table} ({', '.join(fresh)}) VALUES ({', '.join('?' * len(fresh))})", list(fresh.values())
            )
            pairs.append((old, fresh["id"]))
        return pairs

    db.execute("INSERT OR IGNORE INTO student (id) VALUES (?)", (name,))
    [(found,)] = db.execute(
        "SELECT s.id FROM submitted_assignment s JOIN assignment a ON a.id = s.assignment_id WHERE a.name = ? AND s.student_id = ?",
        (assignment, model),
    )
    [(_, submission)] = copy("submitted_assignment", "id", found, student_id=name, timestamp=stamp.removesuffix(" UTC"))
    for old, notebook in copy("submitted_notebook", "assignment_id", found, assignment_id=submission):
        copy("grade", "notebook_id", old, notebook_id=notebook)
        copy("comment", "notebook_id", old, notebook_id=notebook)


class Names(BaseHTTPRequestHandler):
    """The hub, as far as formgrader asks it: what people are called."""

    people: Sequence[str] = ()

    def do_GET(self) -> None:
        body = json.dumps({name: f"Given {name}\tFamily" for name in self.people}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: Any) -> None:
        pass
