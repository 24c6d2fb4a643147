"""What the hub is told of a gradebook, which a container may have written."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.gradebooks.serve import serve
from hubrun_hub.lti.services.assignments import Assignment, NoGradebook, Submission, ask, assignments_of
from nbgrader_book import Book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    book = Book(tmp_path / "courses", "bio-101")
    book.assignment("ps1")
    return book


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The service at a socket, as systemd runs it: one process's work for each connection."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                serve(connection, tmp_path / "courses")

        threading.Thread(target=accept, daemon=True).start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)


def told(service: str, course: str = "bio-101") -> dict[str, Assignment]:
    return asyncio.run(ask(service, course))


@pytest.mark.parametrize(
    ("grades", "points", "manual"),
    [
        ({"auto": 2.0}, 2.0, False), ({"auto": None}, 0.0, False), ({"auto": 2.0, "manual": 1.5}, 1.5, False),
        ({"auto": 2.0, "manual": 0.0}, 0.0, False), ({"auto": 1.0, "extra": 0.5}, 1.5, False),
        ({"auto": None, "extra": 3.0}, 0.0, False), ({"auto": 2.0, "penalty": 0.5}, 1.5, False),
        ({"auto": 1.0, "penalty": 5.0}, 0.0, False), ({"auto": 1.0, "waits": True}, 1.0, True),
    ],
)  # fmt: skip
def test_points_are_those_that_nbgrader_exports(
    book: Book, service: str, grades: dict[str, Any], points: float, manual: bool
) -> None:
    book.submit("ps1", "ada", **grades)
    assert told(service) == {"ps1": Assignment("ps1", 10.0, {"ada": Submission(points, manual)})}


def test_a_course_without_a_gradebook_has_no_assignments(book: Book, service: str) -> None:
    assert told(service, "chem") == {}


@pytest.mark.parametrize("course", ["../bio-101", "bio-101/../bio-101", "", "x" * 5000, "bio 101"])
def test_nothing_but_a_course_is_asked_for(book: Book, service: str, course: str) -> None:
    with pytest.raises(NoGradebook, match="not a course|cannot be read"):
        told(service, course)


HOSTILE = {
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON grade BEGIN DELETE FROM grade; END",
    "a view in the place of a table": "DROP TABLE grade; CREATE VIEW grade AS SELECT 1 AS id",
    "a view that never ends": "DROP TABLE grade; CREATE VIEW grade AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n)"
    " SELECT x AS id FROM n",
    "a virtual table": "CREATE VIRTUAL TABLE f USING fts5(x)",
    "no tables": "DROP TABLE grade; DROP TABLE assignment",
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
def test_what_a_gradebook_must_not_hold_is_not_read(book: Book, service: str, script: str) -> None:
    book.run(script)
    with pytest.raises(NoGradebook, match="cannot be read"):
        told(service)


def test_a_link_in_the_place_of_a_gradebook_is_not_followed(book: Book, service: str, tmp_path: Path) -> None:
    elsewhere = Book(tmp_path / "elsewhere", "secret")
    elsewhere.assignment("hidden")
    book.path.unlink()
    book.path.symlink_to(elsewhere.path)
    assert told(service) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
def test_who_reads_is_the_files_owner_and_sees_its_folder_alone(book: Book, tmp_path: Path) -> None:
    os.chown(book.path, 1000, 100)

    def look(path: Path) -> list[Any]:
        return [os.geteuid(), os.getegid(), os.getgroups(), os.listdir("/"), str(path)]

    here, there = socket.socketpair()
    with pytest.MonkeyPatch.context() as patch, here:
        patch.setattr("hubrun_hub.gradebooks.serve.read", look)
        here.sendall(b"bio-101\n")
        serve(there, tmp_path / "courses")
        assert json.loads(here.makefile().read()) == [1000, 100, [], ["gradebook.db"], "/gradebook.db"]


def test_values_of_other_kinds_do_not_count() -> None:
    said = {
        "assignments": [["ps1", 10], ["ps2", float("nan")], ["ps3", "10"], [7, 1], ["a\nb", 1], ["x" * 200, 1], "ps", ["ps4", -1]],
        "submissions": [
            ["ps1", "ada", 1, False], ["ps1", "b", float("inf"), False], ["ps1", "c", 1, 1], ["ps1", 7, 1, False], ["no", "d", 1, True],
            ["ps1", "e\0", 1, False], ["ps1", "f", True, False], None,
        ],
    }  # fmt: skip
    assert assignments_of(said) == {"ps1": Assignment("ps1", 10.0, {"ada": Submission(1.0, False)})}
    assert assignments_of([1]) == assignments_of({"assignments": 7, "submissions": {}}) == {}


def test_a_service_that_does_not_answer_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoGradebook, match="cannot be read now"):
        asyncio.run(ask(str(tmp_path / "none"), "bio"))
    with pytest.raises(NoGradebook, match="no nbgrader"):
        asyncio.run(ask("", "bio"))


def test_points_in_a_damaged_file_are_no_points(book: Book, service: str) -> None:
    book.path.write_bytes(b"SQLite format 3\0" + os.urandom(4000))
    with pytest.raises(NoGradebook):
        told(service)
    with pytest.raises(sqlite3.Error):
        book.run("SELECT 1 FROM grade")
