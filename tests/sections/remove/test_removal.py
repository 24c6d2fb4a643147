"""What 15_remove asks for by its parameters: one thing, after a yes to exactly that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

import pytest

from hubrun import params
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.removed import CourseArchive, Removed, size
from hubrun.sections.remove import removal

PART = {"what": "files of homes", "where": "Docker's volumes", "number": 1200, "size": 3_500_000}
ADA = {
    "state": "there",
    "confirm": "ada",
    "name": "ada",
    "parts": [PART],
    "archive": {},
    "backups": "there are none",
    "healthy": True,
}
BIO = {**ADA, "confirm": "bio/34", "name": "bio"}
RECEIPT = {
    "removed": [PART],
    "at": "2026-11-26T10:00:00+00:00",
    "by": "op",
    "backups": "until 2027-11-09",
    "logs": "until x",
    "named_in": 0,
    "archive": {},
    "file": "/var/lib/hubrun/removed/x.json",
}


@dataclass
class Answer:
    stdout: str
    exit_code: int = 0


@dataclass
class Played:
    site: Site
    says: dict[str, Any] | str
    check_mode: bool = False
    pending: tuple[str, ...] = ()

    def probe(self, *scripts: str) -> list[Answer]:
        if isinstance(self.says, str):
            return [Answer(self.says, 1) for _ in scripts]
        return [Answer(json.dumps(self.says)) for _ in scripts]


def server(says: dict[str, Any] | str, check: bool = False, **changes: Any) -> Server:
    site = params.build({"site": "bio", "domain": "hub.example.edu", **changes}, "here")
    return cast(Server, Played(site, says, check))


@pytest.mark.parametrize("changes", [{}, {"remove_person": "ada", "remove_course": "bio"}])
def test_it_is_one_thing(changes: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="one thing"):
        removal.asked(server({}, **changes).site)


@pytest.mark.parametrize("changes", [{"remove_course": "../x"}, {"remove_consumer": "x;y"}, {"remove_person": "a\nb"}])
def test_names_that_cannot_be_right_are_refused_before_anything_is_connected_to(changes: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="remove_"):
        server({}, **changes)


def test_without_a_yes_a_person_stays_and_the_run_does_not_look_like_a_removal() -> None:
    one = server(ADA, remove_person="ada")
    removal.show(one)
    with pytest.raises(BadInput, match="remove_confirm=ada") as caught:
        removal.removed(one)
    assert caught.value.exit_code == 2
    (planned,) = removal.removed(server(ADA, check=True, remove_person="ada"))
    assert "remove the person ada for good" in planned.plan(json.dumps(ADA))[0].title


def test_without_a_yes_a_course_is_archived_and_stays() -> None:
    one = server(BIO, remove_course="bio")
    (archive,) = removal.archived(one.site)
    assert isinstance(archive, CourseArchive) and len(archive.plan(json.dumps(BIO))) == 1
    assert (
        removal.removed(one) == []
        and removal.archived(server(BIO, remove_course="bio", remove_confirm="bio/34").site) == []
    )
    kept = {**BIO, "archive": {"file": "/x", "size": 5, "sha256": "y"}}
    assert archive.plan(json.dumps(kept)) == []


def test_a_yes_to_something_else_stops_it_in_a_plan_too() -> None:
    with pytest.raises(BadInput, match="and not to what would go"):
        removal.show(server(BIO, check=True, remove_course="bio", remove_confirm="bio/33"))


def test_what_the_server_cannot_find_is_its_own_line() -> None:
    with pytest.raises(BadInput, match="2 people are 'ada'"):
        removal.show(server("2 people are 'ada'\n", remove_person="ada"))


def test_with_a_yes_it_is_planned_with_all_that_goes_and_once_it_is_done_there_is_nothing_to_do() -> None:
    one = server(ADA, remove_person="ada", remove_confirm="ada")
    (gone,) = removal.removed(one)
    assert isinstance(gone, Removed)
    (action,) = gone.plan(json.dumps(ADA))
    assert "files of homes (Docker's volumes): 1 200, 3.5 MB" in action.title
    assert "begun before" in gone.plan(json.dumps({**ADA, "state": "begun"}))[0].title
    done = {"state": "done", "receipt": RECEIPT}
    assert gone.plan(json.dumps(done)) == []
    removal.show(server(done, remove_person="ada"))
    removal.show_receipt(server(done, remove_person="ada", remove_confirm="ada"))
    unknown = {"state": "done", "receipt": {**RECEIPT, "named_in": None}}
    removal.show_receipt(server(unknown, remove_person="ada", remove_confirm="ada"))
    assert len(removal.removed(server(done, remove_person="ada"))) == 1


def test_sizes_are_for_people() -> None:
    assert size({"number": 3, "size": 0}) == "3"
    assert size({"number": 3, "size": -1}).startswith("3, too many")
