"""Who is who, for life: any sequence of launches, whatever an operator changes, and files that cannot be used.

The file is a real one; the hub's database is played by `FakeHub`. `test_people` tries the same on a real JupyterHub.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hubrun_hub.lti import people_file as module
from hubrun_hub.lti.people import Rules, Seen, Unusable
from hubrun_hub.lti.people_file import People
from hubrun_hub.lti.user_names import admin_names, hub_name
from lti_people import LOGIN, MAIL, NOW, SIS, Door, FakeHub


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "people.sqlite")


# -- what an operator changes, and what a school does


def test_a_new_person_is_named_by_the_key_then_by_the_next_field_then_by_the_id(door: Door) -> None:
    assert door.launch("1", sis="Ada") == "ada"
    assert door.launch("2", login="bob.b") == "bob.b"
    assert door.launch("3", mail="cho@example.edu") == hub_name("cho@example.edu")
    assert door.launch("Opaque") == hub_name("Opaque", exact=True)


def test_neither_key_nor_prefix_nor_privacy_moves_anybody(door: Door) -> None:
    assert door.launch("1", sis="ada", login="al1") == "ada"
    door.key = LOGIN
    assert door.launch("1", sis="ada", login="al1") == "ada"
    door.prefixes["default"] = "bio"
    assert door.launch("1", sis="ada", login="al1") == "ada"
    assert door.launch("1") == "ada"
    assert door.launch("2", login="ben") == "bio__ben", "who comes now is named as is configured now"


def test_from_1_1_to_1_3_by_the_claim_by_the_same_id_or_by_the_sis_id(door: Door) -> None:
    assert [door.launch(each, sis=f"s{each}") for each in "123"] == ["s1", "s2", "s3"]
    assert door.launch("sub-1", "1.3", id_11="1") == "s1"
    assert door.launch("2", "1.3") == "s2", "the LMS leaves out what is the same"
    assert door.launch("sub-3", "1.3", sis="s3") == "s3"
    assert [door.launch(each, "1.3") for each in ("sub-1", "2", "sub-3")] == ["s1", "s2", "s3"]


def test_a_sis_id_that_another_person_gets_opens_no_home(door: Door) -> None:
    assert door.launch("1", sis="ada") == "ada"
    second = door.launch("2", sis="ada")
    assert second.startswith("ada--") and "the LMS's own id counts" in " ".join(door.notes)
    assert door.launch("2", sis="ada") == second and door.launch("1", sis="ada.2") == "ada"
    assert door.launch("sub-2", "1.3", sis="ada") == second, "in LTI 1.3 it is hers who has it now"


def test_a_variable_that_the_lms_does_not_fill_in_is_nobodys_name(door: Door) -> None:
    """`launch.identities_of` leaves it out; here, what would come of it."""
    from hubrun_hub.lti.launch import identities_of, text_of

    said = {SIS: "$Person.sourcedId", LOGIN: " ", "user_id": 7}
    assert identities_of(said.get, SIS) == {"user_id": "7"} and text_of(7) == "7"


def test_two_consumers_know_the_same_people_only_with_the_same_prefix(door: Door) -> None:
    door.prefixes |= {"bio": "bio", "more": ""}
    assert door.launch("42", sis="ada") == "ada"
    assert door.launch("42", consumer="bio", sis="ada") == "bio__ada"
    assert door.launch("42", consumer="more") == "ada"
    door.prefixes["more"] = "more"
    assert door.launch("42", consumer="more") == "ada", "more has had its own word of her since"
    assert door.launch("43", sis="ben") == "ben"
    assert door.launch("43", consumer="more", sis="ben") == "more__ben"


@pytest.mark.parametrize("older", ["file", "hub"])
@pytest.mark.parametrize("first", ["1", "9"])
def test_what_was_restored_from_before_a_user_was_deleted_opens_no_home(door: Door, older: str, first: str) -> None:
    """ada was deleted, and the next who has her SIS id got the name: of the file and the database one says who is ada now."""
    home = door.launch("1", sis="ada")
    ben = door.launch("2", sis="ben")
    before = door.path.read_bytes(), dict(door.hub.users), dict(door.hub.kept)
    door.people.forget(home, door.hub)
    del door.hub.users[home]
    door.hub.kept = {key: kind for key, kind in door.hub.kept.items() if key[1] != home}
    assert door.launch("9", sis="ada") == home and door.launch("1", sis="other") == "other"
    if older == "file":
        door.path.unlink()
        door.path.write_bytes(before[0])
    else:
        _, door.hub.users, door.hub.kept = before
    for id in (first, "1", "9") if older == "file" else (first, "9"):
        if older == "hub" and id == "1":
            assert door.launch("1", sis="other") == "other", "the file knows who that is"
        else:
            with pytest.raises(Unusable, match="ada is one person in it and another"):
                door.launch(id, sis="x")
    assert door.launch("2", sis="ben") == ben


@pytest.mark.parametrize("consumer", ["default", "bio"])
def test_a_lost_file_loses_nobody(door: Door, consumer: str) -> None:
    door.prefixes["bio"] = "bio"
    homes = [door.launch(each, sis=f"s{each}", login=f"l{each}", consumer=consumer) for each in "12"]
    door.path.unlink()
    assert door.launch("2", consumer=consumer) == homes[1]
    door.path.unlink()
    assert door.launch("9", "1.3", consumer=consumer, sis="s1") == homes[0]
    door.path.unlink()
    assert door.launch("3", consumer=consumer, sis="s2") not in homes, "s2 was given to somebody else"


def test_an_lms_with_an_id_for_each_course_knows_people_by_their_shared_username(door: Door) -> None:
    """Open edX; and a course's author, who can write the username, is who they were when they came from there before."""
    home = door.launch("ada-in-one", username="ada", sis="ada")
    assert door.launch("ada-in-two", username="ada") == home
    assert door.launch("ada-in-three") != home, "where the username is not shared each course is a home of its own"
    author = door.launch("author-in-one", username="author", sis="author")
    assert door.launch("author-in-one", username="ada", sis="ada") == author
    assert door.launch("author-in-one", username="ben") == author
    assert door.launch("ben-in-two", username="ben") != author, "whose name was written before he came"
    assert door.launch("ada-in-one", username="ada") == home == door.launch("ada-in-four", username="ada")


# -- a hub that another hand set up


def test_a_user_whom_nobody_owns_is_told_apart_or_taken_once_by_name(tmp_path: Path) -> None:
    guide = {"ada": True, "ben": True, "new": False, "cho@example.edu": True}
    door = Door(tmp_path / "one", FakeHub(dict(guide)))
    assert door.launch("1", sis="ada").startswith("ada--")
    assert door.launch("2", sis="new") == "new", "an account that nobody ever used, such as one of load_groups"
    adopting = Door(tmp_path / "two", FakeHub(dict(guide)), adopt=True)
    assert adopting.launch("1", sis="ada") == "ada" and "ada was nobody's" in adopting.notes[0]
    assert adopting.launch("2", sis="ada").startswith("ada--"), "once"
    assert adopting.launch("5", sis="Cho@Example.edu") == "cho@example.edu", "the guide's names were what the LMS said"
    assert adopting.launch("3", mail="ben", key=MAIL).startswith("ben--"), "an address may be written by anybody"
    adopting.lms = "moodle"
    assert adopting.launch("6", key=LOGIN, login="ben").startswith("ben--"), (
        "a custom field, which a teacher writes there"
    )
    assert adopting.launch("4", "1.3", key=LOGIN, login="ben").startswith("ben--"), "a link may have set it"


# -- administrators


def test_administrators_are_those_whom_the_lms_names_so_and_nobody_who_comes_after(tmp_path: Path) -> None:
    door = Door(tmp_path / "people", admins=admin_names(["Ada@Example.edu", "bio__Ben@x", "cho"]), adopt=False)
    door.prefixes["bio"] = "bio"
    for launch, is_admin in [
        ({"id": "1", "sis": "ADA@example.edu"}, True), ({"id": "2", "sis": "ada@example.edu"}, False),
        ({"id": "1", "sis": "other"}, True), ({"id": "1", "sis": "ben@x", "consumer": "bio"}, True),
        ({"id": "3", "sis": "ada@example.edu", "consumer": "bio"}, False), ({"id": "4", "sis": "cho"}, True),
    ]:  # fmt: skip
        door.launch(**launch)  # type: ignore[arg-type]
        assert door.administers is is_admin, launch
    door.path.unlink()
    door.launch("9", sis="Ada@example.edu")
    assert not door.administers, "the hub's database still knows whose value it was"


@pytest.mark.parametrize(("version", "field", "value"), [("1.3", "mail", "ada@example.edu"), ("1.1", "login", "Cho")])
def test_nobody_administers_by_another_field_than_the_one_that_names_people(
    tmp_path: Path, version: str, field: str, value: str
) -> None:
    """A person without a SIS id is named by the next field, such as an address, which they may write themselves."""
    door = Door(tmp_path / "people", admins=admin_names(["Ada@Example.edu", "cho"]), adopt=False)
    evil = door.launch("evil", version, **{field: value})
    assert not door.administers and "is not given by" in door.notes[0]
    assert door.launch("ada", sis=value) == hub_name(value) != evil and door.administers


# -- attacks: what a link said


def test_a_link_that_says_a_students_sis_id_opens_nothing_and_spoils_nothing(door: Door) -> None:
    home = door.launch("victim", sis="eve", login="eve", mail="eve@example.edu")
    evil = door.launch("teacher", sis="eve", login="teach", mail="teach@example.edu")
    assert evil != home
    assert door.launch("sub-victim", "1.3", sis="eve", mail="eve@example.edu") == home
    assert door.launch("victim") == home and door.launch("teacher") == evil


def test_who_cannot_be_told_from_an_attacker_gets_a_home_of_their_own(door: Door) -> None:
    home, evil = door.launch("victim", sis="eve"), door.launch("teacher", sis="eve")
    assert door.launch("sub-victim", "1.3", sis="eve") not in (home, evil)


def test_an_id_that_names_another_person_of_1_1_keeps_the_sis_id_from_opening_their_home(door: Door) -> None:
    home = door.launch("1", sis="ada")
    assert door.launch("sub-2", "1.3", sis="ada", id_11="2") != home


@pytest.mark.parametrize("victim_first", [True, False])
def test_a_sis_id_that_a_link_said_in_1_1_is_nobodys_who_comes_by_1_3(door: Door, victim_first: bool) -> None:
    """Canvas names the id of 1.1 in each token: who has another one there is another person, whatever the SIS id says."""
    launches = [("teacher", "1.1", ""), ("sub-victim", "1.3", "victim")]
    homes = {
        id: door.launch(id, version, id_11=id_11, sis="eve")
        for id, version, id_11 in sorted(launches, reverse=victim_first)
    }
    assert homes["teacher"] != homes["sub-victim"] and not door.administers
    assert door.launch("victim") == homes["sub-victim"] and door.launch("teacher") == homes["teacher"]


@pytest.mark.parametrize("version", ["1.1", "1.3"])
def test_in_moodle_an_id_number_that_a_student_wrote_opens_nothing(door: Door, version: str) -> None:
    door.lms = "moodle"
    home = door.launch("2", sis="eve")
    assert door.launch("3", version, sis="eve") != home
    other = "1.3" if version == "1.1" else "1.1"
    assert door.launch("4", other, sis="eve") != home and door.launch("2", "1.3") == home


def test_two_lmss_that_share_a_prefix_and_name_people_by_fields_of_their_own(door: Door) -> None:
    """Same names in different fields are different people; in the same field, and vouched for, they are one."""
    door.prefixes["more"] = ""
    home = door.launch("canvas-1", sis="ada")
    door.lms = "moodle"
    second = door.launch("7", consumer="more", key="ext_user_username", ext_user_username="ada")
    assert second.startswith("ada--") and second != home
    door.lms = "brightspace"
    assert door.launch("sub-1", "1.3", consumer="more", sis="ada") == home


# -- upgrade


_OLD = """
CREATE TABLE identity (user TEXT, field TEXT, version TEXT, value TEXT, consumer TEXT, prefix TEXT, at REAL,
    PRIMARY KEY (user, field, version));
CREATE TABLE left_as_is (user TEXT PRIMARY KEY, name TEXT)
"""


def old_file(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    """As the version before wrote it: user, field, version, value, consumer, prefix, at."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(_OLD)
        db.executemany("INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def school() -> list[dict[str, str]]:
    """200 people; half have digests in their names; of a quarter the old file knows nothing, and of a quarter one version."""
    people = []
    for number in range(200):
        sis = f"s{number}" if number % 2 else f"Person {number}@example.edu"
        people.append(
            {
                "sis": sis,
                "user": hub_name(sis),
                "11": f"opaque-{number}",
                "13": f"sub-{number}",
                "known": "ab13"[number // 2 % 4],
            }
        )
    return people


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.1", "1.3"])
@pytest.mark.parametrize("order", [1, -1])
def test_200_people_of_the_version_before_land_in_their_old_homes(tmp_path: Path, version: str, order: int) -> None:
    rows: list[tuple[Any, ...]] = []
    everybody = school()
    for each in everybody:
        if each["known"] == "a":
            continue
        rows.append((each["user"], SIS, "", each["sis"], "default", "", 5.0))
        rows += [(each["user"], "user_id", "1.1", each["11"], "default", "", 5.0)] if each["known"] in "b1" else []
        rows += [(each["user"], "user_id", "1.3", each["13"], "default", "", 5.0)] if each["known"] in "b3" else []
    old_file(tmp_path / "people", rows)
    door = Door(tmp_path / "people", FakeHub({each["user"]: True for each in everybody}))
    for each in everybody[::order]:
        id = each["11"] if version == "1.1" else each["13"]
        assert door.launch(id, version, sis=each["sis"]) == each["user"]
    assert len(door.hub.users) == 200
    for each in everybody:  # and in the other version
        assert (
            door.launch(
                each["13" if version == "1.1" else "11"], {"1.1": "1.3", "1.3": "1.1"}[version], sis=each["sis"]
            )
            == each["user"]
        )
    door.path.unlink()
    assert door.launch(everybody[7]["11"]) == everybody[7]["user"]


def test_who_was_not_noted_is_taken_once_and_only_by_what_the_lms_vouches_for(tmp_path: Path) -> None:
    old_file(tmp_path / "people", [("ada", SIS, "", "ada", "default", "", 1.0)])
    door = Door(tmp_path / "people", FakeHub({"ada": True, "ben": True, "Guide Name": True}))
    assert door.launch("x", mail="ben", key=MAIL) != "ben"
    assert door.launch("1", sis="ben") == "ben"
    assert door.launch("2", sis="ben") != "ben"
    door.hub.users["later"] = True
    assert door.launch("3", sis="later") != "later", "made by hand after the upgrade"


def test_a_lost_file_after_the_upgrade_loses_nobody_who_has_not_come_yet(tmp_path: Path) -> None:
    old_file(
        tmp_path / "people",
        [("ada", SIS, "", "ada", "default", "", 1.0), ("ada", "user_id", "1.1", "1", "default", "", 1.0)],
    )
    door = Door(tmp_path / "people", FakeHub({"ada": True, "ben": True}))
    assert door.launch("7", sis="cho") == "cho"
    door.path.unlink()
    assert door.launch("1") == "ada" and door.launch("2", sis="ben") == "ben"


# -- files that cannot be used


def refused(door: Door) -> str:
    before = dict(door.hub.users)
    with pytest.raises(Unusable) as error:
        door.launch("1", sis="ada")
    assert door.hub.users == before
    return str(error.value)


def test_a_file_of_a_newer_version_is_not_touched(door: Door) -> None:
    door.launch("1", sis="ada")
    with closing(sqlite3.connect(door.path)) as db, db:
        db.execute("UPDATE schema_version SET version = 99")
    door.people = People(door.path)
    assert "of version 99" in refused(door)


@pytest.mark.parametrize("text", [b"not a database at all, but long enough to be looked at" * 40, None])
def test_a_damaged_file_lets_nobody_in_until_it_is_put_back(door: Door, text: bytes | None) -> None:
    home = door.launch("1", sis="ada")
    good = door.path.read_bytes()
    if text is None:
        text = good[:4096] + b"\xff" * 8192 + good[12288:]
    spoiled = door.path.with_suffix(".new")
    spoiled.write_bytes(text)
    spoiled.replace(door.path)
    assert "cannot be used" in refused(door)
    spoiled.write_bytes(good)
    spoiled.replace(door.path)
    assert door.launch("1", sis="ada") == home


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM schema_version",
        "INSERT INTO schema_version VALUES (2)",
        f"{_OLD}; INSERT INTO identity VALUES ('ada', '{SIS}', '', NULL, 'default', '', 1)",
        f"{_OLD}; INSERT INTO identity VALUES (NULL, '{SIS}', '', 'x', 'default', '', 1)",
        f"{_OLD}; INSERT INTO identity VALUES ('ada', '{SIS}', '', x'ff', 'default', '', 1)",
        f"{_OLD}; INSERT INTO identity VALUES ('ada', 'user_id', '1.1', 'x', 'default', NULL, 1)",
    ],
)
def test_a_file_with_what_no_version_writes_lets_nobody_in(door: Door, statement: str) -> None:
    door.launch("7", sis="ben")
    with closing(sqlite3.connect(door.path)) as db, db:
        db.executescript(statement)
    door.people = People(door.path)
    assert "cannot be used" in refused(door)


def test_a_damaged_name_in_the_file_is_said_too(door: Door) -> None:
    door.launch("7", sis="ben")
    door.people = People(door.path)
    door.path.write_bytes(door.path.read_bytes().replace(b"CREATE TABLE field", b"CREATE T\x87\x87LE field"))
    assert "cannot be used" in refused(door)


def test_another_programs_file_is_left_alone(door: Door) -> None:
    with closing(sqlite3.connect(door.path)) as db, db:
        db.execute("CREATE TABLE users (name)")
    assert "another program's" in refused(door)


def test_a_locked_file_is_waited_for_a_second_and_no_longer(door: Door) -> None:
    door.launch("1", sis="ada")
    with closing(sqlite3.connect(door.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert "locked" in refused(door)
        assert time.monotonic() - began < 3
        other.execute("ROLLBACK")
    assert door.launch("1", sis="ada") == "ada"


def test_a_file_that_is_read_only_lets_nobody_in(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root, as whom tests run, may write anywhere: so what the system and SQLite would say is played."""
    door.launch("1", sis="ada")
    real_open, real = os.open, module.connect

    def denied(path: Any, flags: int, *mode: Any) -> int:
        if path == door.path and flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, flags, *mode)

    def read_only(path: Path) -> sqlite3.Connection:
        real(path).close()
        return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)

    door.people = People(door.path)
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "open", denied)
        assert "Permission denied" in refused(door)
    monkeypatch.setattr(module, "connect", read_only)
    with pytest.raises(Unusable, match="readonly"):
        door.launch("2", sis="ben")
    assert "ben" not in door.hub.users


def test_a_link_in_place_of_the_file_is_not_followed(door: Door, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("")
    door.path.symlink_to(tmp_path / "victim")
    assert "cannot be used" in refused(door)


def test_a_file_that_was_replaced_counts_at_once(door: Door) -> None:
    assert door.launch("1", sis="ada") == "ada"
    kept = shutil.copy(door.path, door.path.with_suffix(".kept"))
    assert door.launch("2", sis="ben") == "ben"
    os.replace(kept, door.path)
    with closing(sqlite3.connect(door.path)) as db:
        assert db.execute("SELECT user FROM person").fetchall() == [("ada",)]
    assert door.launch("2", sis="ben") == "ben", "the hub's database knows him"


def test_the_file_is_its_owners_alone_and_a_launch_that_says_nothing_new_writes_nothing(door: Door) -> None:
    door.launch("1", sis="ada", mail="a@b")
    assert door.path.stat().st_mode & 0o777 == 0o600
    before = door.path.read_bytes()
    door.launch("1", sis="ada", mail="a@b")
    assert door.path.read_bytes() == before


@pytest.mark.slow
def test_a_launch_takes_at_most_5_ms_of_the_file(door: Door) -> None:
    for number in range(300):
        door.launch(str(number), sis=f"s{number}", login=f"l{number}")
    times = []
    for number in range(300):
        seen = Seen("default", "", "1.1", [("user_id", str(number))], {SIS: f"s{number}", LOGIN: f"l{number}"}, SIS)
        began = time.perf_counter()
        door.people.resolve(seen, Rules({"default": ""}), door.hub, NOW)
        times.append(time.perf_counter() - began)
    assert sorted(times)[150] < 0.005


# -- any sequence of launches


@dataclass
class Somebody:
    """A person in an LMS: their stable ids, and what may change. homes: the users that they came in as."""

    consumer: str
    id_11: str
    sub: str
    sis: str
    login: str
    mail: str
    homes: set[str] = field(default_factory=set)


class AnySequence(RuleBasedStateMachine):
    """Launches in any order, while operator and school change what they may; the LMS sends the claim lti1p1."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.door = Door(self.folder / "people")
        self.door.prefixes["bio"] = "bio"
        self.everybody = [
            Somebody(consumer, f"o{number}", f"sub{number}", f"s{number}", f"l{number}", f"m{number}@x")
            for consumer in ("default", "bio") for number in range(3)
        ]  # fmt: skip

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(
        number=st.integers(0, 5), version=st.sampled_from(["1.1", "1.3"]), says=st.sets(st.sampled_from(["sis", "login", "mail"])),
        claim=st.just(True),
    )  # fmt: skip
    def launch(self, number: int, version: str, says: set[str], claim: bool) -> None:
        who = self.everybody[number]
        id, id_11 = (who.id_11, "") if version == "1.1" else (who.sub, who.id_11)
        who.homes.add(self.door.launch(id, version, who.consumer, id_11, **{each: getattr(who, each) for each in says}))

    @rule(one=st.integers(0, 5), other=st.integers(0, 5), what=st.sampled_from(["sis", "login", "mail"]))
    def exchange(self, one: int, other: int, what: str) -> None:
        """A value is given to somebody else, and theirs to the first."""
        first, second = self.everybody[one], self.everybody[other]
        mine, theirs = getattr(first, what), getattr(second, what)
        setattr(first, what, theirs)
        setattr(second, what, mine)

    @rule(number=st.integers(0, 5), what=st.sampled_from(["sis", "login", "mail"]), value=st.integers(0, 9))
    def changes(self, number: int, what: str, value: int) -> None:
        setattr(self.everybody[number], what, f"{what}-{value}")

    @rule(key=st.sampled_from([SIS, LOGIN, MAIL, "user_id", "custom_other"]))
    def another_key(self, key: str) -> None:
        self.door.key = key

    @rule(prefix=st.sampled_from(["bio", "life", "b"]))
    def another_prefix(self, prefix: str) -> None:
        self.door.prefixes["bio"] = prefix

    @rule()
    def restart(self) -> None:
        self.door.people = People(self.door.path)

    @rule()
    def lose_the_file(self) -> None:
        self.door.path.unlink(missing_ok=True)

    @rule(adopt=st.booleans())
    def adopting(self, adopt: bool) -> None:
        self.door.rules["adopt"] = adopt

    @invariant()
    def nobody_shares_a_home_and_nobody_has_two(self) -> None:
        taken = [home for who in self.everybody for home in who.homes]
        assert len(taken) == len(set(taken)), self.everybody
        assert all(len(who.homes) <= 1 for who in self.everybody), self.everybody


class WithoutTheClaim(AnySequence):
    """An LMS that does not say in 1.3 what 1.1 called somebody: the SIS id says it, and is given to nobody else.

    Where the file is lost and every field is another, a person may have a second home; nobody is ever in another's.
    """

    @rule(
        number=st.integers(0, 5),
        version=st.sampled_from(["1.1", "1.3"]),
        says=st.sets(st.sampled_from(["login", "mail"])),
    )
    def launch(self, number: int, version: str, says: set[str]) -> None:  # type: ignore[override]
        who = self.everybody[number]
        said = {each: getattr(who, each) for each in {*says, "sis"}}
        who.homes.add(self.door.launch(who.id_11 if version == "1.1" else who.sub, version, who.consumer, **said))

    @rule()
    def exchange(self) -> None:  # type: ignore[override]
        pass

    @rule(number=st.integers(0, 5), what=st.sampled_from(["login", "mail"]), value=st.integers(0, 99))
    def changes(self, number: int, what: str, value: int) -> None:  # type: ignore[override]
        setattr(self.everybody[number], what, f"{number}-{what}-{value}")

    @rule()
    def another_key(self) -> None:  # type: ignore[override]
        pass


EXAMPLES = int(os.environ.get("HUBRUN_EXAMPLES", "25"))
_SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES == 25,
)
TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = _SETTINGS
TestWithoutTheClaim = WithoutTheClaim.TestCase
TestWithoutTheClaim.settings = _SETTINGS
