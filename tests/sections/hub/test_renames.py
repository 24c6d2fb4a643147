"""Who would get another name, and that their files go with them: the comparison, the plan, and the renaming itself.

The renaming runs on real files and on a database that JupyterHub made; Docker is played by `FakeDocker`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubrun import server_paths
from hubrun.sections.hub import renames
from hubrun.sections.hub.renames import Interrupted, Names
from hubrun.sections.verify.test_users import volume
from hubrun_hub.lti.people import People
from hubrun_hub.lti.user_names import hub_name
from hubrun_hub.renaming import carry, look, next_names, pieces, tables
from hubrun_hub.renaming.confined import as_owner
from hubrun_hub.renaming.next_names import Noted, Wanted, differing, merged, obstacles
from lti_hub import hub_python

GUIDE = "ada@example.edu"
LOGIN, SIS, USER_ID = "custom_canvas_user_login_id", "lis_person_sourcedid", "user_id"
DEFAULT = {"default": ("", ("1.1",))}


def wanted(key: str = SIS, *, changed: bool = False, front_door: bool = True, **consumers: Any) -> Wanted:
    return Wanted(key, consumers or DEFAULT, changed, front_door)


def noted(value: str, version: str = "", consumer: str = "default", prefix: str = "", at: float = 1.0) -> Noted:
    return Noted(value, consumer, prefix, version, at)


# -- who gets which name


@dataclass(frozen=True)
class Case:
    """Users with what was noted of them, and what will be configured; who then gets which name, and who is unknown."""

    name: str
    users: Mapping[str, Mapping[str, list[Noted]]]
    wanted: Wanted
    names: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


CASES = [
    Case("nothing changes", {"ada": {SIS: [noted("Ada")]}, "bob": {}}, wanted()),
    Case("another key", {"ada": {SIS: [noted("ada")], LOGIN: [noted("al1")]}}, wanted(LOGIN, changed=True), {"ada": "al1"}),
    Case("another key, the same value", {"ada": {SIS: [noted("ada")], LOGIN: [noted("ADA")]}}, wanted(LOGIN, changed=True)),
    Case("never launched, another key", {"bob": {}}, wanted(LOGIN, changed=True), {}, ["bob"]),
    Case("the LMS never said it", {"ada": {SIS: [noted("ada")]}}, wanted(LOGIN, changed=True), {}, ["ada"]),
    Case("the LMS did not fill it in", {"ada": {LOGIN: [noted("$Canvas.user.loginId")]}}, wanted(LOGIN, changed=True), {}, ["ada"]),
    Case("named by an earlier key", {"ada": {LOGIN: [noted("al1")]}}, wanted(SIS)),
    Case("of the guide's hub", {GUIDE: {}, "bob": {}}, wanted(front_door=False), {GUIDE: hub_name(GUIDE)}),
    Case("of the guide's hub, the front door is there", {GUIDE: {}}, wanted(), {GUIDE: hub_name(GUIDE)}),
    Case("made names from before notes were kept", {hub_name(GUIDE): {}, hub_name(GUIDE, "bio"): {}, "bio__ada": {}}, wanted()),
    Case("what looks like them on the guide's hub", {"bio__ada": {}}, wanted(front_door=False), {"bio__ada": hub_name("bio__ada")}),
    Case("test users", {"hubruntest1": {}, "bio__hubruntest2": {}}, wanted(LOGIN, changed=True)),
    Case(
        "a consumer gets another prefix", {"bio__ada": {SIS: [noted("ada", consumer="bio", prefix="bio")]}},
        wanted(bio=("life", ("1.1",))), {"bio__ada": "life__ada"},
    ),
    Case(
        "a consumer is gone", {"bio__ada": {SIS: [noted("ada", consumer="bio", prefix="bio")]}}, wanted(default=("", ())),
    ),
    Case(
        "user_id by version, changing over", {"u1": {USER_ID: [noted("u1", "1.1", at=1), noted("S-3", "1.3", at=2)]}},
        wanted(USER_ID, default=("", ("1.3",))), {"u1": hub_name("S-3", exact=True)},
    ),
    Case(
        "user_id by version, the other one", {"u1": {USER_ID: [noted("u1", "1.1", at=1), noted("S-3", "1.3", at=2)]}},
        wanted(USER_ID, default=("", ("1.1",))),
    ),
    Case(
        "user_id by version, the last launch's", {"u1": {USER_ID: [noted("u1", "1.1", at=3), noted("S-3", "1.3", at=2)]}},
        wanted(USER_ID, default=("", ("1.1", "1.3"))),
    ),
    Case(
        "user_id known of the other version only", {"u1": {USER_ID: [noted("u1", "1.1")]}},
        wanted(USER_ID, changed=True, default=("", ("1.3",))), {}, ["u1"],
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_next_name_of_each_user(case: Case) -> None:
    found = differing(case.users.keys(), case.users, case.wanted)
    assert (found.names, found.unknown) == (case.names, case.unknown)


def launched(**logins: str) -> dict[str, dict[str, list[Noted]]]:
    """User → what was noted, for a change from the SIS id to the login."""
    return {user: {SIS: [noted(user)], LOGIN: [noted(login)]} for user, login in logins.items()}


@pytest.mark.parametrize(
    ("notes", "others", "with_files", "stuck"),
    [
        (launched(a="b", b="a"), [], "ab", []),
        (launched(a="b", b="c"), [], "ab", []),
        (launched(a="x", b="x"), [], "ab", ["a", "b"]),
        (launched(a="x"), ["x"], "a", ["a"]),
        (launched(a="x"), [], "ax", ["a"]),
        (launched(a="x", x="x"), [], "a", []),
        (launched(a="x", x="x"), [], "ax", ["a"]),
        (launched(a="b", b="b"), [], "b", ["a"]),
    ],
    ids=[
        "an exchange", "a chain", "two onto one", "onto somebody unknown", "onto the files of somebody who is gone",
        "the same person, who has no files there yet", "the same person with files there",
        "files of the same person there, none here",
    ],
)  # fmt: skip
def test_what_is_in_the_way(notes: Any, others: list[str], with_files: str, stuck: list[str]) -> None:
    users = [*notes, *others]
    assert sorted(obstacles(differing(users, notes, wanted(LOGIN, changed=True)), users, set(with_files))) == stuck


_NAMES = st.sampled_from(["a", "b", "c", "d", "A", "e@x", hub_name("e@x")])
_FIELDS = st.dictionaries(st.sampled_from([SIS, LOGIN, USER_ID]), _NAMES.map(lambda name: [noted(name)]), max_size=3)


@given(
    st.dictionaries(_NAMES, _FIELDS, max_size=6), st.sampled_from([SIS, LOGIN, USER_ID]), st.booleans(), st.booleans(),
    st.sets(_NAMES),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_no_plan_gives_two_users_one_name(
    notes: Any, key: str, changed: bool, front_door: bool, files: set[str]
) -> None:
    found = differing(notes.keys(), notes, wanted(key, changed=changed, front_door=front_door))
    if obstacles(found, notes.keys(), files):
        return
    gone = set(merged(found, notes.keys()).values())
    assert not gone & files
    after = [found.names.get(user, user) for user in notes if user not in gone]
    assert len(set(after)) == len(after)
    # … and nobody gets what was a former user's.
    assert all(name in found.names or name not in files for name in found.names.values())


# -- the plan


def resource(new_names: str = "stop", *, asks: bool = True, admins: tuple[str, ...] = ()) -> Names:
    return Names(LOGIN, (("default", "", ("1.1",)),), new_names, admins, asks)  # type: ignore[arg-type]


def said(people: list[Any] | None = None, unknown: list[Any] | None = None, interrupted: bool = False) -> str:
    return json.dumps(
        {
            "people": [{"old": o, "new": n, "bytes": size, "problem": why} for o, n, size, why in people or []],
            "unknown": [{"old": old, "bytes": size} for old, size in unknown or []],
            "key": SIS,
            "interrupted": interrupted,
        }
    )


ADA, BOB = ("ada", "al1", 12_345_678, ""), ("bob", "bo2", None, "")


@pytest.mark.parametrize(
    ("new_names", "asks", "found", "titles"),
    [
        ("stop", True, "", []),
        ("stop", True, said([BOB]), []),
        ("stop", True, said([], [("eve", None)]), []),
        ("stop", True, said([ADA, BOB]), ["decide about 1 person who would get another name"]),
        ("stop", True, said([], [("eve", 1)]), ["decide about 1 person who would get another name"]),
        ("stop", False, said([ADA, BOB], [("eve", 1)]), []),
        ("rename", True, said([ADA, BOB], [("eve", 1)]), []),
        ("rename", True, said([("ada", "x", 1, "no")]), ["solve what prevents the new names of 1 person"]),
        ("rename", True, said([("ada", "x", None, "no")], interrupted=True), []),
        (
            "rename", False, said([ADA, BOB], [("eve", 1)]),
            [
                "stop the hub and the servers of 2 people (the proxy and all others go on)",
                "rename ada to al1 (files: 12 MB)", "rename bob to bo2 (no files)",
                "write 2 new names into the hub's database, 1 person unknown left as they are",
            ],
        ),
        ("rename", False, said([], [("eve", 1)]), ["leave 1 as they are: 1 person, whose next name is not known, may get one too"]),
        ("leave", True, said([ADA]), []),
        ("leave", False, said([ADA, BOB]), ["leave 1 as they are: 1 person get an empty home at their next launch"]),
        ("leave", False, said([BOB]), []),
        ("stop", True, json.dumps({"error": "docker volume: no"}), ["find out who would get another name"]),
    ],
)  # fmt: skip
def test_what_is_planned(new_names: str, asks: bool, found: str, titles: list[str]) -> None:
    assert [action.title for action in resource(new_names, asks=asks).plan(found)] == titles


def test_what_an_interrupted_renaming_has_moved_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_paths, "STATE", str(tmp_path))
    found = []
    for _ in range(2):
        done = subprocess.run(["sh", "-c", Interrupted().probe()], capture_output=True, text=True, check=True)
        found.append([action.title for action in Interrupted().plan(done.stdout)])
        look.Places(tmp_path, tmp_path, tmp_path).journal.touch()
    assert found == [[], ["put back what an interrupted renaming has moved, and start the hub"]]


def test_the_question_names_who_becomes_whom_and_the_choice() -> None:
    (action,) = resource().plan(said([ADA, BOB], [("eve", 1_000)]))
    ((what, remedy),) = action.exit_codes.values()
    assert "ada → al1" in what and "eve" in what and SIS in what and "\n" not in what
    assert "new_names=rename" in remedy and "new_names=leave" in remedy
    table = [line.split() for line in action.diff.splitlines()]
    assert table == [
        ["ada", "→", "al1", "files:", "12", "MB"], ["bob", "→", "bo2", "no", "files"],
        ["eve", "→", "not", "known", "files:", "1", "kB"],
    ]  # fmt: skip
    done = subprocess.run(["sh", "-c", action.script], input=action.data, capture_output=True)
    assert (done.returncode in action.exit_codes, done.stdout.decode()) == (True, action.diff)


def test_an_administrator_is_not_renamed_out_of_admin_users() -> None:
    (action,) = resource("rename", admins=("ada",)).plan(said([ADA]))
    assert action.title == "keep administrators' rights"
    assert resource("rename", admins=("ada", "al1")).plan(said([ADA])) == []


def test_no_name_of_a_person_is_an_argument_of_a_process() -> None:
    actions = resource("rename", asks=False).plan(said([ADA, BOB]))
    assert not any("ada" in action.script for action in actions)


# -- notes


def test_of_each_field_the_last_value_is_kept_in_a_file_of_the_hubs_own(tmp_path: Path) -> None:
    people = People(tmp_path / "people.sqlite")
    people.note("ada", {SIS: "ada", USER_ID: "u1"}, version="1.1", consumer="default", prefix="", now=1)
    people.note("ada", {SIS: "ADA", USER_ID: "s3"}, version="1.3", consumer="bio", prefix="b", now=2)
    people.note("bob", {SIS: "bob"}, version="1.1", consumer="default", prefix="", now=3)
    people.forget("bob")
    with closing(sqlite3.connect(people.path)) as db:
        rows = db.execute("SELECT * FROM identity ORDER BY field, version").fetchall()
    assert rows == [
        ("ada", SIS, "", "ADA", "bio", "b", 2.0), ("ada", USER_ID, "1.1", "u1", "default", "", 1.0),
        ("ada", USER_ID, "1.3", "s3", "bio", "b", 2.0),
    ]  # fmt: skip
    assert people.path.stat().st_mode & 0o777 == 0o600


# -- on files


class Killed(BaseException):
    """The program was killed just then."""


@dataclass
class Server:
    """What the renaming finds: folders, a fake Docker, and a fake systemd. kill_at: the change before which it is killed."""

    root: Path
    containers: dict[str, str] = field(default_factory=dict)  # name → volume
    systemd: list[str] = field(default_factory=lambda: ["enable"])
    changes: int = 0
    kill_at: int = -1
    refuse: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        folders = [str(self.root / name) for name in ("state", "etc", "courses")]
        return {"places": folders, "key": LOGIN, "consumers": [["default", "", ["1.1"]]]}

    @property
    def places(self) -> look.Places:
        return look.places_of(self.settings)

    @property
    def users(self) -> set[str]:
        return {name for (name,) in self.rows("SELECT name FROM users")}

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.places.hub)) as db:
            return db.execute(query).fetchall()

    def volume(self, user: str) -> Path:
        return self.root / "volumes" / volume(user) / "_data"

    def give(self, user: str, text: str) -> None:
        self.volume(user).mkdir(parents=True)
        (self.volume(user) / "work.txt").write_text(text)

    def files(self) -> dict[str, str]:
        """User's volume or folder → what is in its file."""
        found = {path.parent.parent.name: path.read_text() for path in (self.root / "volumes").glob("*/*/*.txt")}
        courses = self.places.courses
        return found | {str(path.parent.relative_to(courses)): path.read_text() for path in courses.glob("**/*.txt")}

    def note(self, user: str, **fields: str) -> None:
        People(self.places.people).note(user, fields, version="1.1", consumer="default", prefix="", now=1)

    def gradebook(self, course: str = "bio") -> list[Any]:
        with closing(sqlite3.connect(self.places.courses / course / "course" / "gradebook.db")) as db:
            return db.execute(
                "SELECT id, score FROM student JOIN submitted_assignment ON student_id = id ORDER BY id"
            ).fetchall()

    def change(self) -> None:
        """Something is about to be changed."""
        self.changes += 1
        if self.changes == self.kill_at:
            raise Killed

    # what the modules call

    def docker(self, *args: str) -> str:
        volumes = self.root / "volumes"
        if self.refuse and self.refuse in " ".join(args):
            raise look.Failed("docker refuses")
        match args:
            case "volume", "ls", "-q":
                return "\n".join(path.name for path in volumes.iterdir())
            case "volume", "inspect", "--format", _, name:
                return f"{volumes / name / '_data'}\n"
            case "volume", "inspect", *names:
                each = {"Driver": "local", "Options": None}
                return json.dumps(
                    [each | {"Name": name, "Mountpoint": str(volumes / name / "_data")} for name in names]
                )
            case ("ps", "-a", "--filter", wanted, *_) | ("ps", "-a", "--format", _, "--filter", wanted):
                return "\n".join(name for name, used in self.containers.items() if f"volume={used}" == wanted)
            case "ps", "-a", *_:
                return "\n".join(self.containers)
        self.change()
        match args:
            case "volume", "create", name:
                (volumes / name / "_data").mkdir(parents=True, exist_ok=True)
            case "volume", "rm", *_, name:
                assert not list((volumes / name / "_data").iterdir()), "a volume with files is removed"
                shutil.rmtree(volumes / name)
            case "stop", *_:
                pass
            case "rm", "-f", *names:
                self.containers = {name: used for name, used in self.containers.items() if name not in names}
            case _:
                raise AssertionError(args)
        return ""

    def systemctl(self, *args: str) -> subprocess.CompletedProcess[str]:
        if args[0] != "cat":
            self.systemd.append(args[0])
        return subprocess.CompletedProcess(args, 0, "", "")

    @property
    def hub_runs(self) -> bool:
        return self.systemd[-1] == "enable"

    # what the operator does

    def rename(self) -> None:
        """One run with new_names: rename."""
        carry.put_back(self.settings) if self.places.journal.exists() else None
        seen = look.look(self.settings)
        assert not seen.problems
        if seen.found.names:
            carry.begin(self.settings, list(seen.found.names.items()))
            for old in seen.found.names:
                carry.move(self.settings, old)
            carry.finish(self.settings)


_MAKE = """
import json, sys
from jupyterhub import orm
db = orm.new_session_factory("sqlite:///" + sys.argv[1])()
group = orm.Group(name="course-bio")
db.add(group)
for name in sys.argv[2:]:
    user = orm.User(name=name)
    db.add(user)
    group.users.append(user)
    db.add(orm.APIToken(user=user, hashed="h" + name, prefix="p", scopes=["inherit"]))
    db.add(orm.Spawner(name="", user=user, state={"object_id": "1"}, server=orm.Server()))
db.commit()
scopes = ["access:servers!user=ada", "access:servers!server=ada/", "self"]
db.query(orm.APIToken).filter_by(hashed="hada").one().scopes = scopes
db.commit()
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that JupyterHub has made, with some users, a group, tokens and servers."""
    path = tmp_path_factory.mktemp("database") / "jupyterhub.sqlite"
    users = ["ada", "bob", "cho", "dot", GUIDE, "byhand", "hubruntest1"]
    subprocess.run([hub_python(), "-c", _MAKE, path, *users], check=True, capture_output=True)
    return path


@pytest.fixture
def server(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A hub under the SIS id, which is to be changed to the login: ada and bob exchange their names, cho gets another."""
    server = Server(tmp_path)
    for folder in ("state", "etc/conf.d", "volumes", "courses"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(database, server.places.hub)
    (tmp_path / "etc/conf.d/25-lti.py").write_text(f'c.LaunchAuthenticator.username_key = "{SIS}"\n')
    for user, login in {"ada": "bob", "bob": "ada", "cho": "Cho@Example"}.items():
        server.note(user, **{SIS: user, LOGIN: login})
        server.give(user, user)
        for below in ("inbound", "feedback", "course/submitted"):
            (server.places.courses / "bio" / below / user).mkdir(parents=True)
            (server.places.courses / "bio" / below / user / "task.txt").write_text(user)
    server.containers = {"jupyter-ada": volume("ada"), "jupyter-dot": volume("dot"), "jupyter-ada--two": volume("ada")}
    with closing(sqlite3.connect(server.places.courses / "bio/course/gradebook.db")) as db, db:
        db.executescript(
            """CREATE TABLE student (id VARCHAR(128) PRIMARY KEY, email TEXT);
            CREATE TABLE submitted_assignment (n INTEGER PRIMARY KEY, student_id VARCHAR(128), score INT,
                FOREIGN KEY(student_id) REFERENCES student (id));"""
        )
        db.executemany("INSERT INTO student VALUES (?, '')", [("ada",), ("bob",), ("zoe",)])
        db.executemany(
            "INSERT INTO submitted_assignment VALUES (?, ?, ?)", [(1, "ada", 11), (2, "bob", 22), (3, "zoe", 33)]
        )
    (tmp_path / "docker").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for module in (look, pieces):
        monkeypatch.setattr(module, "docker", server.docker)
    monkeypatch.setattr(carry, "_systemctl", server.systemctl)

    def before(module: Any, name: str) -> None:
        """A call of this function is a change."""
        original: Callable[..., Any] = getattr(module, name)

        def changing(*args: Any, **options: Any) -> Any:
            server.change()
            return original(*args, **options)

        monkeypatch.setattr(module, name, changing)

    for module, name in (
        (carry, "_write"), (pieces.os, "rename"), (tables, "rename_students"), (tables, "rename_users"), (tables, "unmark"),
        (tables, "unmark_gradebook"),
    ):  # fmt: skip
        before(module, name)
    given_up = carry._given_up

    def unless_killed(places: look.Places, error: BaseException) -> BaseException:
        return error if isinstance(error, Killed) else given_up(places, error)

    monkeypatch.setattr(carry, "_given_up", unless_killed)
    yield server


CHO = hub_name("cho@example")


def check_all_is_renamed(server: Server) -> None:
    """Everybody of `server` has their new name, with all that was theirs."""
    assert server.files() == {
        volume("bob"): "ada", volume("ada"): "bob", volume(CHO): "cho",
        **{f"bio/{below}/bob": "ada" for below in ("inbound", "feedback", "course/submitted")},
        **{f"bio/{below}/ada": "bob" for below in ("inbound", "feedback", "course/submitted")},
        **{f"bio/{below}/{CHO}": "cho" for below in ("inbound", "feedback", "course/submitted")},
    }  # fmt: skip
    assert {path.name for path in (server.root / "volumes").iterdir()} == {volume("ada"), volume("bob"), volume(CHO)}
    assert server.users == {"ada", "bob", CHO, "dot", GUIDE, "byhand", "hubruntest1"}
    assert server.gradebook() == [("ada", 22), ("bob", 11), ("zoe", 33)]
    assert not server.places.journal.exists()
    left = [path for path in server.places.courses.rglob("*") if path.name.startswith(".hubrun")]
    assert left == []


def check_all_is_as_before(server: Server) -> None:
    assert {name: text for name, text in server.files().items() if "/" not in name} == {
        volume("ada"): "ada", volume("bob"): "bob", volume("cho"): "cho",
    }  # fmt: skip
    assert all(name.endswith(f"/{text}") for name, text in server.files().items() if "/" in name)
    assert {"ada", "bob", "cho"} < server.users
    assert server.gradebook() == [("ada", 11), ("bob", 22), ("zoe", 33)]
    assert server.hub_runs and not server.places.journal.exists()


@pytest.mark.hub
def test_the_hub_is_looked_at_as_it_is(server: Server) -> None:
    seen = json.loads(look.report(server.settings))
    assert {each["old"]: each["new"] for each in seen["people"]} == {"ada": "bob", "bob": "ada", "cho": CHO}
    assert {each["old"]: each["bytes"] for each in seen["people"]} == {"ada": 12, "bob": 12, "cho": 12}
    # Made by hand, or of the guide's hub: unknown, and without files of no concern. Test users are neither.
    assert seen["unknown"] == [{"old": name, "bytes": None} for name in (GUIDE, "byhand", "dot")]
    assert seen["key"] == SIS and not seen["interrupted"]


@pytest.mark.hub
def test_everything_of_somebody_goes_with_them(server: Server) -> None:
    numbers = {name: number for number, name in server.rows("SELECT id, name FROM users")}
    tokens = server.rows("SELECT hashed, user_id FROM api_tokens ORDER BY hashed")
    server.rename()
    check_all_is_renamed(server)
    after = {name: number for number, name in server.rows("SELECT id, name FROM users")}
    assert (after["bob"], after["ada"], after[CHO]) == (numbers["ada"], numbers["bob"], numbers["cho"])
    assert len(server.rows("SELECT * FROM user_group_map")) == len(numbers)
    assert server.rows("SELECT hashed, user_id FROM api_tokens ORDER BY hashed") == tokens
    (scopes,) = server.rows("SELECT scopes FROM api_tokens WHERE scopes LIKE '%user=%'")
    assert json.loads(scopes[0]) == ["access:servers!user=bob", "access:servers!server=bob/", "self"]
    # Their servers are stopped; everybody else's, and the hub's knowledge of them, stay.
    assert server.containers == {"jupyter-dot": volume("dot")}
    stopped = server.rows("SELECT users.name FROM spawners JOIN users ON users.id = user_id WHERE server_id IS NULL")
    assert {name for (name,) in stopped} == {"ada", "bob", CHO}
    # It is the service's step that starts the hub, with the new configuration.
    assert server.systemd == ["enable", "disable"]
    (server.root / "etc/conf.d/25-lti.py").write_text(f'c.LaunchAuthenticator.username_key = "{LOGIN}"\n')
    seen = json.loads(look.report(server.settings))
    assert [each["old"] for each in seen["people"]] == [GUIDE]


@pytest.mark.hub
def test_a_user_of_the_guides_hub_is_renamed(server: Server) -> None:
    (server.root / "etc/conf.d/25-lti.py").write_text(f'c.LTI11Authenticator.username_key = "{LOGIN}"\n')
    server.places.people.unlink()
    server.give(GUIDE, "guide")
    assert look.look(server.settings).found.names == {GUIDE: hub_name(GUIDE)}
    server.rename()
    assert server.files()[volume(hub_name(GUIDE))] == "guide"
    assert hub_name(GUIDE) in server.users and GUIDE not in server.users
    assert look.report(server.settings) == ""


@pytest.mark.hub
def test_killed_anywhere_and_run_again_it_comes_to_its_end(server: Server, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for name in ("state", "volumes", "courses"):
        shutil.copytree(tmp_path / name, kept / name)
    containers = server.containers
    server.rename()
    changes = server.changes
    assert changes > 30
    for kill_at in range(1, changes + 1):
        for name in ("state", "volumes", "courses"):
            shutil.rmtree(tmp_path / name)
            shutil.copytree(kept / name, tmp_path / name)
        server.containers, server.systemd, server.changes, server.kill_at = containers, ["enable"], 0, kill_at
        with pytest.raises(Killed):
            server.rename()
        # With half of it done the hub stays down, at a boot too.
        assert server.hub_runs is (server.systemd == ["enable"])
        if kill_at % 3 == 0:  # and once more, while that is put right
            server.changes, server.kill_at = 0, kill_at // 2
            with suppress(Killed):
                server.rename()
        server.kill_at = -1
        server.rename()
        check_all_is_renamed(server)


@pytest.mark.hub
@pytest.mark.parametrize(
    "refuse", ["volume create hubrun-renaming", f"volume create {volume('ada')}", "volume rm", "stop"]
)
def test_when_a_step_fails_all_is_as_before_and_the_hub_runs(server: Server, refuse: str) -> None:
    def fails_once(*args: str, docker: Callable[..., str] = server.docker) -> str:
        if refuse in " ".join(args) and server.refuse != "done":
            server.refuse = "done"
            raise look.Failed("docker refuses")
        return docker(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "docker", fails_once)
        with pytest.raises(look.Failed, match="docker refuses. Everything is where it was, and the hub runs"):
            server.rename()
    check_all_is_as_before(server)


@pytest.mark.hub
def test_nothing_is_touched_when_a_gradebook_has_the_new_name(server: Server) -> None:
    server.note("bob", **{LOGIN: "zoe"})
    with pytest.raises(look.Failed, match="gradebook.db has zoe already, besides bob"):
        server.rename()
    check_all_is_as_before(server)


# -- gradebooks, which people's containers write

PROGRAMS = {
    "a trigger that never ends": """CREATE TRIGGER evil AFTER UPDATE ON student BEGIN
        INSERT INTO student SELECT n, '' FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c);
        END""",
    "a trigger that gives somebody another's grades": """CREATE TRIGGER evil AFTER UPDATE ON submitted_assignment BEGIN
        UPDATE submitted_assignment SET score = 100 WHERE student_id = 'zoe'; END""",
    "a view in place of a table": "ALTER TABLE student RENAME TO s; CREATE VIEW student AS SELECT * FROM s",
    "a virtual table": "CREATE VIRTUAL TABLE evil USING fts5(a)",
}


@pytest.mark.hub
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_nothing_is_touched_when_a_gradebook_holds_a_program(server: Server, program: str) -> None:
    with closing(sqlite3.connect(server.places.courses / "bio/course/gradebook.db")) as db:
        db.executescript(program)
    with pytest.raises(look.Failed, match="which nbgrader does not make: remove it"):
        server.rename()
    assert server.users == {"ada", "bob", "cho", "dot", GUIDE, "byhand", "hubruntest1"}


def _who(path: Path, secret: str) -> list[Any]:
    """Who works, with which groups, and what becomes of a try to read, write and remove what is root's."""
    tried = []
    for attempt in (lambda: Path(secret).write_text("x"), lambda: os.unlink(secret), lambda: os.setuid(0)):
        try:
            attempt()
            tried.append("done")
        except OSError as error:
            tried.append(type(error).__name__)
    return [os.geteuid(), os.getegid(), os.getgroups(), tried]


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def course(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A gradebook of uid 1000 below a folder that is closed to it, and a file of root's."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as root:
        closed = Path(root) / "courses"
        (closed / "bio").mkdir(parents=True, mode=0o700)
        closed.chmod(0o700)
        (closed / "bio").chmod(0o777)
        path = closed / "bio/gradebook.db"
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE student (id TEXT PRIMARY KEY)")
            db.execute("INSERT INTO student VALUES ('ada')")
        os.chown(path, 1000, 1000)
        (Path(root) / "roots").write_text("precious")
        (Path(root) / "roots").chmod(0o600)
        yield path, Path(root) / "roots"


@as_root
def test_a_gradebook_is_opened_by_its_owner_and_not_by_root(course: tuple[Path, Path]) -> None:
    path, secret = course
    assert as_owner(path, _who, str(secret)) == [1000, 1000, [], ["PermissionError"] * 3]
    tables.rename_students(path, {"ada": "zoe"}, 7)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT id FROM student").fetchall() == [("zoe",)]
    assert (path.stat().st_uid, os.geteuid()) == (1000, os.geteuid())


def hot_journal(names: Path) -> bytes:
    """A rollback journal that names a super-journal: sqlite.org/fileformat.html, "The Rollback Journal"; pager.c."""
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(names).encode()
    header = magic + struct.pack(">IIIII", 0, 0, 1, 512, 4096)
    return (
        header.ljust(512, b"\0") + struct.pack(">I", 262145) + name + struct.pack(">II", len(name), sum(name)) + magic
    )


@as_root
def test_a_journal_beside_a_gradebook_removes_no_file_of_roots(course: tuple[Path, Path]) -> None:
    path, secret = course
    journal = path.with_name("gradebook.db-journal")
    for uid, work in (
        (1000, tables.check_gradebook),
        (1000, lambda path, people: tables.rename_students(path, people, 7)),
    ):
        journal.write_bytes(hot_journal(secret))
        os.chown(journal, uid, uid)
        with suppress(look.Failed):
            work(path, {"ada": "zoe"})
        assert secret.read_text() == "precious"
    journal.write_bytes(hot_journal(secret))
    with closing(sqlite3.connect(path)) as db, suppress(sqlite3.Error):
        db.execute("SELECT * FROM student").fetchall()
    assert not secret.exists(), "which it does when root opens it: else this proves nothing"


def test_work_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "gradebook.db").touch()

    def for_ever(_: Path) -> None:
        with closing(sqlite3.connect(":memory:")) as db:
            db.execute("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c")

    with pytest.raises(look.Failed, match="not done within 1 s"):
        as_owner(tmp_path / "gradebook.db", for_ever, seconds=1)


def test_what_goes_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "gradebook.db").write_bytes(b"no database " * 100)
    with pytest.raises(look.Failed, match="gradebook.db: file is not a database"):
        tables.check_gradebook(tmp_path / "gradebook.db", {"ada": "zoe"})


@pytest.mark.hub
def test_nothing_is_touched_when_something_else_uses_a_volume(server: Server) -> None:
    server.containers["backup"] = volume("cho")
    with pytest.raises(look.Failed, match="the volume of cho is used by backup"):
        server.rename()
    check_all_is_as_before(server)


@pytest.mark.hub
def test_nothing_is_touched_when_somebody_came_in_meanwhile(server: Server) -> None:
    with pytest.raises(look.Failed, match="changed meanwhile"):
        carry.begin(server.settings, [("ada", "bob"), ("bob", "ada")])
    check_all_is_as_before(server)


@pytest.mark.hub
def test_who_launched_under_the_new_name_already_and_has_no_files_keeps_the_groups_of_both(server: Server) -> None:
    with closing(sqlite3.connect(server.places.hub)) as db, db:
        db.execute("INSERT INTO users (name, cookie_id) VALUES (?, 'c')", (CHO,))
        db.execute("INSERT INTO groups (name) VALUES ('course-chem')")
        db.execute(
            "INSERT INTO user_group_map SELECT users.id, groups.id FROM users, groups WHERE users.name = ?", (CHO,)
        )
    server.note(CHO, **{SIS: "cho", LOGIN: "cho@example"})
    server.rename()
    check_all_is_renamed(server)
    query = (
        "SELECT groups.name FROM user_group_map JOIN users ON users.id = user_id JOIN groups ON groups.id = group_id"
    )
    assert sorted(server.rows(f"{query} WHERE users.name = '{CHO}'")) == [("course-bio",), ("course-chem",)]


@pytest.mark.hub
def test_who_is_left_is_not_asked_about_again_until_they_launch_again(server: Server) -> None:
    server.give("dot", "dot")
    seen = json.loads(look.report(server.settings))
    carry.leave(server.settings, {each["old"]: each.get("new", "") for each in [*seen["people"], *seen["unknown"]]})
    assert look.report(server.settings) == ""
    server.note("cho", **{LOGIN: "Cho@Example"})
    assert list(look.look(server.settings).found.names) == ["cho"]


@pytest.mark.hub
def test_the_program_runs_in_the_systems_own_python(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_paths, "STATE", str(server.places.state))
    monkeypatch.setattr(server_paths, "CONFIG", str(server.places.config / "jupyterhub_config.py"))
    monkeypatch.setattr(server_paths, "COURSES", str(server.places.courses))
    (server.root / "docker").write_text("#!/bin/sh\n")  # no volume at all
    (server.root / "systemctl").write_text(f"#!/bin/sh\necho $1 >> {server.root}/asked\n")
    (server.root / "systemctl").chmod(0o755)
    script = resource("rename").probe()
    done = subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True)
    seen = json.loads(done.stdout)
    assert {each["old"]: each["new"] for each in seen["people"]} == {"ada": "bob", "bob": "ada", "cho": CHO}
    actions = resource("rename", asks=False).plan(done.stdout)
    for action in actions:
        ended = subprocess.run(["sh", "-c", f"set -eu\n{action.script}"], input=action.data, capture_output=True)
        assert ended.returncode == 0, ended
    assert CHO in server.users and "cho" not in server.users
    assert (server.root / "asked").read_text().split() == ["cat", "disable"]
    again = subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True).stdout
    assert again == ""


@pytest.mark.parametrize("python", ["#!/bin/sh\nexit 1\n", ""], ids=["of the program", "to read the database"])
def test_a_comparison_that_fails_is_not_taken_for_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    monkeypatch.setattr(server_paths, "STATE", str(tmp_path))
    (tmp_path / "jupyterhub.sqlite").write_text("no database" * 100)
    if python:
        (tmp_path / "python3").write_text(python)
        (tmp_path / "python3").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    done = subprocess.run(["sh", "-s"], input=resource().probe(), capture_output=True, text=True)
    assert [action.title for action in resource().plan(done.stdout)] == ["find out who would get another name"]


def test_a_server_without_a_hub_is_asked_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_paths, "STATE", str(tmp_path))
    done = subprocess.run(
        ["sh", "-s"], input=resource().probe(), capture_output=True, text=True, env={"PATH": ""}, executable="/bin/sh"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert resource().plan(done.stdout) == []


def test_every_module_of_the_program_is_in_it() -> None:
    folder = Path(next_names.__file__).parent
    assert {f"renaming.{path.stem}" for path in folder.glob("*.py")} - {"renaming.__init__"} <= set(renames._CARRY)
    assert next_names.__name__ == "hubrun_hub.renaming.next_names"
