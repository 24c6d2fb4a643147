"""Whom a list of the LMS's names before they ever came: the user that their first launch gives them, or nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hubrun_hub.lti.people import Rules, Seen
from hubrun_hub.lti.user_names import hub_name
from lti_people import LOGIN, MAIL, SIS, Door

CANVAS_ID = "custom_canvas_user_id"
NOBODY = ""


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "people.sqlite")


def foretell(door: Door, id: str = "", id_11: str = "", **fields: str) -> str:
    said = {SIS: fields.pop("sis", ""), LOGIN: fields.pop("login", ""), MAIL: fields.pop("mail", ""), **fields}
    ids = [("sub", id)] if id else []
    said = {name: value for name, value in said.items() if value}
    seen = Seen("default", door.prefixes["default"], "1.3" if id else "1.1", ids, said, door.key, id_11, door.lms)
    (user,) = door.people.foretell([seen], Rules(door.prefixes, **door.rules), door.hub)
    return user


def kept(door: Door) -> list[str]:
    with closing(sqlite3.connect(door.path)) as db:
        return list(db.iterdump())


# What was before; what the list says; the user that it names. Where that is somebody, their first launch is tried too.
BEFORE: dict[str, tuple[Callable[[Door], object], dict[str, str], str]] = {
    "a new person": (lambda door: None, {"id": "s1", "sis": "ada"}, "ada"),
    "whose name is not plain": (lambda door: None, {"id": "s1", "sis": "Ada@Example.edu"}, hub_name("Ada@Example.edu")),
    "of whom the key is not said": (lambda door: None, {"id": "s1", "mail": "ada@example.edu"}, NOBODY),
    "who came": (lambda door: door.launch("s1", "1.3", sis="ada"), {"id": "s1", "sis": "ada"}, "ada"),
    "who came, and is called otherwise now": (lambda door: door.launch("s1", "1.3", sis="ada"), {"id": "s1", "sis": "ada.king"}, "ada"),
    "who came, and of whom nothing is said": (lambda door: door.launch("s1", "1.3", sis="ada"), {"id": "s1"}, "ada"),
    "whose name another person has": (lambda door: door.launch("s2", "1.3", sis="ada"), {"id": "s1", "sis": "ada"}, NOBODY),
    "whose name a user of the hub has": (lambda door: door.hub.users.update(ada=True), {"id": "s1", "sis": "ada"}, NOBODY),
    "whose name is in admin_users, and nobody's": (lambda door: door.hub.users.update(ada=False), {"id": "s1", "sis": "ada"}, "ada"),
    "who came by LTI 1.1, by that id": (lambda door: door.launch("u1", sis="ada"), {"id": "s1", "id_11": "u1", "sis": "x"}, "ada"),
    "who came by LTI 1.1, by the key": (lambda door: door.launch("u1", sis="ada"), {"id": "s1", "sis": "ada"}, "ada"),
    "who may have come by LTI 1.1": (lambda door: door.launch("u1", sis="old"), {"id": "s1", "sis": "ada"}, NOBODY),
    "who did not come by LTI 1.1": (lambda door: door.launch("u1", sis="old"), {"id": "s1", "id_11": "u2", "sis": "ada"}, "ada"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "said", "user"), BEFORE.values(), ids=BEFORE.keys())
def test_a_member_has_the_user_that_their_first_launch_gives(
    door: Door, before: Callable[[Door], object], said: dict[str, str], user: str
) -> None:
    before(door)
    unchanged = kept(door) if door.path.exists() else None
    assert foretell(door, **said) == user
    assert unchanged in (None, kept(door)) and not door.people.pending, "to look at a list changes nothing"
    if user:
        fields = {"id_11": said.get("id_11", ""), "sis": said.get("sis", "")}
        assert door.launch(said["id"], "1.3", **fields) == user


# As a file out of Canvas has them: without the ids of a launch.
LISTED: dict[str, tuple[Callable[[Door], object], dict[str, str], str]] = {
    "a new person": (lambda door: None, {CANVAS_ID: "7", "sis": "ada", "login": "al"}, "ada"),
    "without the key": (lambda door: None, {CANVAS_ID: "7", "login": "al"}, NOBODY),
    "who came": (lambda door: door.launch("u1", sis="ada", login="al", **{CANVAS_ID: "7"}), {CANVAS_ID: "7", "sis": "ada", "login": "al"}, "ada"),
    "who came, without the key now": (lambda door: door.launch("u1", sis="ada", **{CANVAS_ID: "7"}), {CANVAS_ID: "7"}, "ada"),
    "who came when Canvas said less": (lambda door: door.launch("u1", sis="ada"), {CANVAS_ID: "7", "sis": "ada"}, "ada"),
    "who came, and is called otherwise now": (lambda door: door.launch("u1", sis="ada", **{CANVAS_ID: "7"}), {CANVAS_ID: "7", "sis": "ada.king"}, NOBODY),
    "who has what another had": (lambda door: door.launch("u1", sis="ada", **{CANVAS_ID: "6"}), {CANVAS_ID: "7", "sis": "ada"}, NOBODY),
    "whose name a user of the hub has": (lambda door: door.hub.users.update(ada=True), {CANVAS_ID: "7", "sis": "ada"}, NOBODY),
}  # fmt: skip


@pytest.mark.parametrize(("before", "said", "user"), LISTED.values(), ids=LISTED.keys())
def test_who_is_in_a_file_has_the_user_that_their_first_launch_gives(
    door: Door, before: Callable[[Door], object], said: dict[str, str], user: str
) -> None:
    before(door)
    assert foretell(door, **said) == user
    if user:
        fields = {name: value for name, value in said.items() if value}
        assert door.launch("u1", **fields) == user


def test_a_field_that_anybody_may_write_names_nobody_who_came(door: Door) -> None:
    door.key = MAIL
    door.launch("u1", mail="ada@example.edu")
    assert foretell(door, **{CANVAS_ID: "7"}, mail="ada@example.edu") == NOBODY
    assert foretell(door, **{CANVAS_ID: "8"}, mail="ben@example.edu") == hub_name("ben@example.edu")


def test_a_prefix_counts(door: Door) -> None:
    door.prefixes["default"] = "bio"
    assert foretell(door, id="s1", sis="ada") == "bio__ada" == door.launch("s1", "1.3", sis="ada")
