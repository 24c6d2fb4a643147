"""`./hubrun people` without a server: what it prints, what it writes, and what it asks for."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hubrun.cli import people as command
from hubrun.cli.people import _has, lines, table
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CommandFailed

DAY = 1_800_000_000.0


def person(user: str, sis: str, *ids: list[str]) -> dict[str, Any]:
    field = ["default", "lis_person_sourcedid", sis, sis.lower(), DAY]
    return {"user": user, "since": DAY, "ids": list(ids), "fields": [field]}


PEOPLE = [
    person("ada", "Ada", ["default", "1.1", "user_id", "11"], ["default", "1.3", "sub", "s"]),
    person("ada--x", "ada", ["default", "1.1", "user_id", "12"]),
    person("eve", "=cmd|x"),
]


def test_each_person_has_a_line_and_who_has_the_same_value_is_named() -> None:
    said = lines(PEOPLE[:1], PEOPLE)
    assert said[0] == "ada  lis_person_sourcedid=Ada  user_id=11  sub=s"
    assert "the same lis_person_sourcedid: ada--x" in said[1] and len(said) == 2


def test_a_person_is_found_by_whatever_is_known() -> None:
    assert [each["user"] for each in PEOPLE if _has(each, "12")] == ["ada--x"]
    assert [each["user"] for each in PEOPLE if _has(each, "ADA")] == ["ada", "ada--x"]


def test_what_the_lms_says_of_somebody_makes_no_line_of_its_own() -> None:
    eve = person("eve", "x\nada  user_id=11")
    assert len(lines([eve], [eve])[0].splitlines()) == 1


def test_the_table_has_what_each_consumer_says() -> None:
    both = person("ada", "Ada")
    both["fields"].append(["bio", "lis_person_sourcedid", "A-7", "a-7", DAY])
    [row] = csv.DictReader(io.StringIO(table([both])))
    assert row["sis_id"] == "Ada A-7"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`./hubrun people` on a site with PEOPLE; its server is played."""
    site = tmp_path / "site.yaml"
    site.write_text("site: bio\ndomain: hub.example.edu\n")
    monkeypatch.setattr(Server, "connect", lambda _: nullcontext())
    monkeypatch.setattr(command, "ask", lambda server, *words: {"people": PEOPLE, "unowned": ["guest"]})
    return lambda *words: CliRunner().invoke(command.people, [str(site), *words], standalone_mode=False)


def test_who_is_not_there_is_said(run: Callable[..., Result]) -> None:
    found = run("zoe")
    assert (found.return_value, found.output) == (1, "nobody has zoe in a name or an id\n")
    assert run("guest").output == "users whom nobody owns: guest\n"


def test_a_table_that_cannot_be_written_is_one_clear_error(run: Callable[..., Result], tmp_path: Path) -> None:
    assert isinstance(run("--csv", str(tmp_path / "no" / "people.csv")).exception, BadInput)
    (tmp_path / "people.csv.new").mkdir()
    assert isinstance(run("--csv", str(tmp_path / "people.csv")).exception, CommandFailed)
    assert isinstance(run("join", "ada--x", "ada", "--csv", str(tmp_path / "people.csv")).exception, BadInput)


def test_the_table_has_the_ids_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(table(PEOPLE))))
    assert (rows[0]["lti_user_id"], rows[0]["lti_sub"], rows[0]["sis_id"], rows[0]["since"]) == (
        "11",
        "s",
        "Ada",
        "2027-01-15",
    )
    assert rows[2]["sis_id"] == "'=cmd|x"
