"""Courses by the names that people read, in a container; and people's names for their teachers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hubrun_student.nbgrader import courses, own_folders, student_names

HEX = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d"
FOLDER = "BIO 101 - Frühling"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBRUN_COURSES", f"{HEX} chem")
    monkeypatch.setenv("HUBRUN_TEACHES", HEX)
    names = {HEX: [FOLDER, "BIO 101 / Frühling"], "chem": ["chem", "chem"]}
    monkeypatch.setenv("HUBRUN_COURSE_NAMES", json.dumps(names))


def test_nbgrader_is_told_the_names_that_people_read() -> None:
    assert courses.all_courses() == [FOLDER, "chem"] and courses.taught() == [FOLDER]
    assert courses.shown(FOLDER) == "BIO 101 / Frühling" and courses.shown("other") == "other"
    assert courses.ids() == {FOLDER: HEX, "chem": "chem"}


def test_without_names_courses_are_called_by_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a hub of the version before has started."""
    monkeypatch.delenv("HUBRUN_COURSE_NAMES")
    assert courses.all_courses() == [HEX, "chem"] and courses.taught() == [HEX] and courses.shown(HEX) == HEX


def test_a_home_of_the_version_before_keeps_what_is_in_its_folders(tmp_path: Path) -> None:
    home, data = tmp_path, tmp_path / "data"
    (home / HEX / "ps1").mkdir(parents=True)
    (home / HEX / "ps1/ps1.ipynb").write_text("mine")
    (data / "nbgrader_cache" / HEX / "ada+ps1+2026").mkdir(parents=True)
    (home / "chem").mkdir()
    assert own_folders.rename(home, data) == [FOLDER, FOLDER]
    assert (home / FOLDER / "ps1/ps1.ipynb").read_text() == "mine" and not (home / HEX).exists()
    assert (data / "nbgrader_cache" / FOLDER / "ada+ps1+2026").is_dir()
    assert own_folders.rename(home, data) == []


@pytest.mark.parametrize("there", ["folder", "link", "dangling link", "file"])
def test_what_is_there_already_is_not_touched(tmp_path: Path, there: str) -> None:
    (tmp_path / HEX).mkdir()
    new = tmp_path / FOLDER
    if there == "folder":
        new.mkdir()
    elif there == "file":
        new.write_text("")
    else:
        new.symlink_to(tmp_path if there == "link" else tmp_path / "nowhere")
    assert own_folders.rename(tmp_path, tmp_path / "none") == []
    assert (tmp_path / HEX).is_dir()


# -- people


@dataclass
class Student:
    id: str
    first_name: str | None = None
    last_name: str | None = None


@dataclass
class Gradebook:
    """What `write` needs of nbgrader's, and of SQLAlchemy's session in it."""

    students: list[Student]
    commits: list[str] = field(default_factory=list)
    fails: bool = False

    @property
    def db(self) -> Gradebook:
        return self

    def add(self, student: Student) -> None:
        self.students.append(student)

    def commit(self) -> None:
        if self.fails:
            raise RuntimeError("UNIQUE constraint failed: student.id")
        self.commits.append("commit")

    def rollback(self) -> None:
        self.commits.append("rollback")

    @property
    def names(self) -> dict[str, tuple[str | None, str | None]]:
        return {each.id: (each.first_name, each.last_name) for each in self.students}


@pytest.fixture(autouse=True)
def student(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student_names, "_student", Student)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Ada King\tLovelace", ("Ada King", "Lovelace")),
        ("Ada Lovelace", ("Ada", "Lovelace")),
        ("Ada", ("", "Ada")),
        ("张伟", ("", "张伟")),
    ],
)
def test_a_name_has_a_first_and_a_last_part(name: str, parts: tuple[str, str]) -> None:
    assert student_names.first_and_last(name) == parts


def test_names_are_put_where_none_is_and_a_teachers_own_stay() -> None:
    book = Gradebook([Student("ada"), Student("ben", "Benny", ""), Student("cho")])
    names = {"ada": "Ada\tLovelace", "ben": "Ben\tBold", "dan": "Dan Dean", "eve": "Eve"}
    roster = student_names.Roster(names, set(), set())
    assert student_names.write(book, roster, {"dan", "mallory"}) == 2
    assert book.names == {
        "ada": ("Ada", "Lovelace"), "ben": ("Benny", ""), "cho": (None, None), "dan": ("Dan", "Dean"),
    }, "who submitted is in the lists too; who never did is not added"  # fmt: skip
    assert student_names.write(book, roster, {"dan"}) == 0 and book.commits == ["commit"]


def test_students_are_there_before_they_ever_came_and_who_left_is_marked_and_stays() -> None:
    book = Gradebook([Student("ada", "Ada", "Lovelace"), Student("gone", "Greta", "Gone"), Student("own", "", "")])
    names = {"ada": "Ada\tLovelace", "new": "Nina\tNew", "tea": "Tea\tTeach"}
    here, away = {"ada", "new", "nameless"}, {"gone", "own", "stranger"}
    assert student_names.write(book, student_names.Roster(names, here, away), set()) == 4
    marked = {
        "ada": ("Ada", "Lovelace"), "gone": ("Greta", "Gone (left the course)"), "own": ("", "(left the course)"),
        "nameless": ("", ""), "new": ("Nina", "New"),
    }  # fmt: skip
    assert book.names == marked and book.commits == ["commit"], "all at once; no staff, and nobody who was never there"
    assert student_names.write(book, student_names.Roster(names, here, away), set()) == 0, "a mark is there once"
    assert student_names.write(book, student_names.Roster(names, here | {"gone"}, {"own"}), set()) == 1
    assert book.names == marked | {"gone": ("Greta", "Gone")}, "who comes back is marked no more"


def test_a_gradebook_that_cannot_be_written_can_be_used_afterwards() -> None:
    book = Gradebook([], fails=True)
    with pytest.raises(RuntimeError):
        student_names.write(book, student_names.Roster({}, {"ada"}, set()), set())
    assert book.commits == ["rollback"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            said = {"names": {"ada": "Ada\tLovelace"}, "students": ["ada", "new"], "left": ["gone"]}
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"http://127.0.0.1:{server.server_port}/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "token-of-tess")
    yield asked
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_by_the_courses_id_with_this_servers_token(hub: list[tuple[str, str | None]]) -> None:
    assert student_names.fetch(FOLDER) == ({"ada": "Ada\tLovelace"}, {"ada", "new"}, {"gone"})
    assert hub == [(f"/hub/lti/roster/{HEX}", "token token-of-tess")]
