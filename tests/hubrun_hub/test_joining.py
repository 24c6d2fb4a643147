"""Two homes that were made for one person become one: all of it or nothing, on real files and a database of JupyterHub's.

Docker is played by `Machine.docker`, systemd by a list.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.failed import Failed
from hubrun_hub.joining import homes
from hubrun_hub.joining.confined import as_owner
from hubrun_hub.lti.full_names import FullNames
from hubrun_hub.lti.people import Rules, Seen
from hubrun_hub.lti.people_file import People
from hubrun_hub.programs import people as program
from hubrun_hub.student_volume import volume
from lti_hub import hub_python
from lti_people import FakeHub

pytestmark = pytest.mark.slow

_MAKE = """
import sys
from jupyterhub import orm
db = orm.new_session_factory("sqlite:///" + sys.argv[1])()
for name in sys.argv[2:]:
    user = orm.User(name=name)
    db.add(user)
    for group in ("course-bio", "course-" + name):
        found = orm.Group.find(db, group) or orm.Group(name=group)
        db.add(found)
        found.users.append(user)
    db.add(orm.APIToken(user=user, hashed="h" + name, prefix="p", scopes=["inherit"]))
    db.add(orm.Spawner(name="", user=user, state={"object_id": "1"}, server=orm.Server()))
db.commit()
"""
_BOOK = """
CREATE TABLE student (id TEXT PRIMARY KEY);
CREATE TABLE assignment (id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE submitted_assignment (id TEXT PRIMARY KEY, assignment_id TEXT REFERENCES assignment,
    student_id TEXT REFERENCES student, score REAL, UNIQUE (assignment_id, student_id));
INSERT INTO assignment VALUES ('a1', 'ps1'), ('a2', 'ps2');
INSERT INTO student VALUES ('ada'), ('ada2'), ('ben');
INSERT INTO submitted_assignment VALUES ('s1', 'a1', 'ada', 1), ('s2', 'a2', 'ada2', 2), ('s3', 'a1', 'ben', 3);
"""


@dataclass
class Machine:
    """What the joining finds. fails: the docker command that is refused. systemd: what was asked of it."""

    root: Path
    fails: str = ""
    systemd: list[str] = field(default_factory=list)

    @property
    def places(self) -> homes.Places:
        return homes.Places(self.root / "people", self.root / "hub", self.root / "courses")

    def home(self, user: str) -> Path:
        return self.root / "volumes" / volume(user) / "_data"

    def give(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def docker(self, *args: str) -> str:
        if self.fails and self.fails in " ".join(args):
            raise Failed("docker refuses")
        folder = self.root / "volumes"
        match args:
            case "volume", "ls", "-q":
                return "\n".join(each.name for each in folder.iterdir())
            case "volume", "inspect", *_, name:
                return str(folder / name / "_data")
            case "volume", "create", name:
                (folder / name / "_data").mkdir(parents=True)
            case "volume", "rm", name:
                assert not (folder / name / "_data").exists() or not list((folder / name / "_data").iterdir())
                shutil.rmtree(folder / name)
            case "ps", *_:
                return ""
        return ""

    def rows(self, query: str, file: str = "hub") -> list[Any]:
        with closing(sqlite3.connect(self.root / file)) as db:
            return db.execute(query).fetchall()

    def everything(self) -> Any:
        files = {
            str(each.relative_to(self.root)): each.read_text()
            for folder in ("volumes", "courses") for each in (self.root / folder).rglob("*.txt")
        }  # fmt: skip
        book = "courses/bio/course/gradebook.db"
        return (
            files, self.rows("SELECT * FROM submitted_assignment", book), self.rows("SELECT name FROM users ORDER BY 1"),
            self.rows("SELECT * FROM stable_id", "people"), sorted(os.listdir(self.root / "courses/bio/course")),
        )  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "hub"
    subprocess.run([hub_python(), "-c", _MAKE, path, "ada", "ada2", "ben"], check=True, capture_output=True)
    return path


@pytest.fixture
def machine(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    shutil.copy(database, machine.places.hub)
    for user, text in {"ada": "hers", "ada2": "hers too", "ben": "his"}.items():
        machine.give(f"volumes/{volume(user)}/_data/work.txt", text)
    machine.give("courses/bio/inbound/ada2/ps2+now/a.txt", "in")
    machine.give("courses/bio/course/submitted/ada/ps1/a.txt", "one")
    machine.give("courses/bio/course/submitted/ada2/ps2/a.txt", "two")
    with closing(sqlite3.connect(tmp_path / "courses/bio/course/gradebook.db")) as db:
        db.executescript(_BOOK)
    who = People(machine.places.people)
    for number, user in enumerate(("ada", "ada2", "ben")):
        seen = Seen(
            "default", "", "1.1", [("user_id", str(number))], {"lis_person_sourcedid": user}, "lis_person_sourcedid"
        )
        assert who.resolve(seen, Rules({}), FakeHub(), 1.0).user == user
    monkeypatch.setattr(homes, "docker", machine.docker)
    monkeypatch.setattr(homes, "systemctl", lambda *args: machine.systemd.append(args[0]))
    monkeypatch.setattr(homes.shutil, "which", lambda _: "docker")
    yield machine


def test_what_would_be_done_is_said_and_nothing_is_done(machine: Machine) -> None:
    before = machine.everything()
    seen = homes.look(machine.places, "ada2", "ada")
    assert seen.problems == []
    said = "\n".join(seen.moves)
    for word in ("folder from-ada2", "inbound/ada2 to ada: ps2+now", "1 submissions", "course-ada2, course-bio"):
        assert word in said.replace("course-bio, course-ada2", "course-ada2, course-bio"), said
    assert machine.everything() == before and machine.systemd == []


def test_files_grades_groups_and_ids_are_the_others_afterwards(machine: Machine) -> None:
    names = FullNames(machine.places.people.with_name(homes.FULL_NAMES))
    names.note("ada", "Ada Lovelace")
    names.note("ada2", "Ada King")
    homes.join(machine.places, "ada2", "ada")
    assert names.of(["ada", "ada2"]) == {"ada": "Ada Lovelace"}
    assert (machine.home("ada") / "from-ada2/work.txt").read_text() == "hers too"
    assert (machine.home("ada") / "work.txt").read_text() == "hers" and not machine.home("ada2").exists()
    courses = machine.root / "courses/bio"
    assert (courses / "inbound/ada/ps2+now/a.txt").read_text() == "in"
    assert sorted(os.listdir(courses / "course/submitted/ada")) == ["ps1", "ps2"]
    assert sorted(os.listdir(courses / "course")) == ["gradebook.db", "submitted"]
    book = "courses/bio/course/gradebook.db"
    assert machine.rows("SELECT student_id, score FROM submitted_assignment ORDER BY score", book) == [
        ("ada", 1.0), ("ada", 2.0), ("ben", 3.0),
    ]  # fmt: skip
    assert machine.rows("SELECT name FROM users ORDER BY name") == [("ada",), ("ben",)]
    assert machine.rows(homes._GROUPS.replace("?", "'ada' ORDER BY 1")) == [
        ("course-ada",), ("course-ada2",), ("course-bio",),
    ]  # fmt: skip
    assert machine.systemd == ["disable", "enable"]
    who = People(machine.places.people)
    for number in ("0", "1"):
        assert (
            who.resolve(Seen("default", "", "1.1", [("user_id", number)], {}, "x"), Rules({}), FakeHub(), 2.0).user
            == "ada"
        )
    people = program.main(*map(str, machine.places), "list")["people"]
    assert [(each["user"], len(each["ids"])) for each in people] == [("ada", 2), ("ben", 1)]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("CREATE TABLE identity (user TEXT)", "it is taken over at the next launch"),
        ("UPDATE schema_version SET version = 9", "it is of version 9"),
        ("INSERT INTO stable_id VALUES ('default', '1.1', 'user_id', 'x', 99)", "it is damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_to_the_operator(machine: Machine, statement: str, says: str) -> None:
    with closing(sqlite3.connect(machine.places.people)) as db, db:
        db.execute(statement)
    for words in (["list"],) if "damaged" in says else (["list"], ["look", "ada2", "ada"]):
        assert says in program.main(*map(str, machine.places), *words)["error"]


def test_before_anybody_came_there_is_nobody_to_join(machine: Machine) -> None:
    machine.places.people.unlink()
    assert program.main(*map(str, machine.places), "list")["people"] == []
    assert "nobody came in yet" in program.main(*map(str, machine.places), "look", "ada2", "ada")["error"]


@pytest.mark.parametrize("step", ["_join_volumes", "_join_folders", "_join_users"])
def test_when_a_step_fails_everything_is_where_it_was(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = machine.everything()
    real = getattr(homes, step)

    def fails(*args: Any) -> None:
        if step != "_join_users":
            real(*args)
        raise Failed("no room")

    monkeypatch.setattr(homes, step, fails)
    with pytest.raises(Failed, match="no room. Everything is where it was, and the hub runs"):
        homes.join(machine.places, "ada2", "ada")
    assert machine.everything() == before and machine.systemd == ["disable", "enable"]


def test_after_a_kill_the_same_command_carries_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[Any] = []
    homes._join_volumes("ada2", "ada", undone)
    homes._join_folders(machine.root / "courses/bio/inbound", "ada2", "ada", undone)
    homes.join(machine.places, "ada2", "ada")
    assert (machine.home("ada") / "from-ada2/work.txt").read_text() == "hers too"
    assert machine.rows("SELECT name FROM users ORDER BY name") == [("ada",), ("ben",)]


@pytest.mark.parametrize("call", ["rename", "mkdir"])
def test_after_a_kill_between_two_steps_with_the_files_too(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as here, pytest.raises(Killed):
        here.setattr(homes.os, call, killed)
        homes._join_volumes("ada2", "ada", [])
    homes.join(machine.places, "ada2", "ada")
    assert (machine.home("ada") / "from-ada2/work.txt").read_text() == "hers too"
    assert machine.rows("SELECT name FROM users ORDER BY name") == [("ada",), ("ben",)]


def test_what_both_handed_in_is_in_the_way(machine: Machine) -> None:
    machine.give("courses/bio/course/submitted/ben/ps1/a.txt", "his")
    before = machine.everything()
    problems = homes.look(machine.places, "ben", "ada").problems
    assert any("has ps1 too" in each for each in problems) and any("submission for ps1" in each for each in problems)
    with pytest.raises(Failed, match="has ps1 too"):
        homes.join(machine.places, "ben", "ada")
    assert machine.everything() == before and machine.systemd[-1] == "enable"
    assert homes.look(machine.places, "ada", "nobody").problems == [
        "nobody is not a user of the hub", "nobody is known to come as nobody",
    ]  # fmt: skip


def test_a_link_that_a_student_put_in_the_way_leads_nowhere(machine: Machine) -> None:
    outside = machine.root / "outside"
    outside.mkdir()
    (machine.home("ada") / "from-ada2").symlink_to(outside)
    assert "has a folder from-ada2 already" in homes.look(machine.places, "ada2", "ada").problems[0]
    with pytest.raises(Failed):
        homes.join(machine.places, "ada2", "ada")
    (machine.home("ada") / "from-ada2").unlink()
    shutil.rmtree(machine.root / "courses/bio/course/submitted/ada")
    (machine.root / "courses/bio/course/submitted/ada").symlink_to(outside)
    before = machine.everything()
    with pytest.raises(Failed):
        homes.join(machine.places, "ada2", "ada")
    assert not list(outside.iterdir()) and machine.everything() == before


def test_a_gradebook_with_a_program_in_it_stops_it(machine: Machine) -> None:
    with closing(sqlite3.connect(machine.root / "courses/bio/course/gradebook.db")) as db:
        db.execute("CREATE TRIGGER evil AFTER UPDATE ON student BEGIN DELETE FROM assignment; END")
    before = machine.everything()
    with pytest.raises(Failed, match="trigger 'evil'"):
        homes.join(machine.places, "ada2", "ada")
    assert machine.everything() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up its rights")
def test_a_gradebook_that_becomes_a_link_at_the_last_moment_shows_nothing_of_the_server(tmp_path: Path) -> None:
    """Between a look at the file and its opening whoever may write to the folder can put anything there."""
    folder, secret = tmp_path / "courses/bio/course", tmp_path / "secret"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    tmp_path.chmod(0o755)
    secret.write_text("the hub's")
    secret.chmod(0o600)
    with closing(sqlite3.connect(folder / "gradebook.db")) as db:
        db.executescript(_BOOK)
    os.chown(folder / "gradebook.db", 1000, 1000)
    (tmp_path / "courses").chmod(0o700)
    as_owner(folder / "gradebook.db", homes._join_grades, "ada2", "ada")
    with closing(sqlite3.connect(folder / "gradebook.db")) as db:
        assert db.execute("SELECT count(*) FROM submitted_assignment WHERE student_id = 'ada'").fetchone() == (2,)
    as_owner(folder / "gradebook.db", homes._forget_copy)
    assert os.listdir(folder) == ["gradebook.db"]
    (folder / "gradebook.db").unlink()
    (folder / "gradebook.db").symlink_to(secret)
    os.chown(folder / "gradebook.db", 1000, 1000, follow_symlinks=False)
    with pytest.raises(Failed, match="No such file"):
        as_owner(folder / "gradebook.db", homes._join_grades, "ada2", "ada")
    assert os.listdir(folder) == ["gradebook.db"]


@pytest.mark.parametrize("answer", [[b"\0"], ["a" * 2**20] * 100])
def test_what_is_no_plain_data_or_has_no_end_is_refused_and_not_kept_by_root(tmp_path: Path, answer: list[Any]) -> None:
    (tmp_path / "gradebook.db").touch()
    with pytest.raises(Failed, match="JSON|of no end"):
        as_owner(tmp_path / "gradebook.db", lambda path: answer)
