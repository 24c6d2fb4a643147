"""`./hubrun people` without a server: what it prints, what it writes, and what it asks for."""

from __future__ import annotations

import csv
import io
from typing import Any

from hubrun.cli.people import _has, lines, table

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


def test_the_table_has_the_ids_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(table(PEOPLE))))
    assert (rows[0]["lti_user_id"], rows[0]["lti_sub"], rows[0]["sis_id"], rows[0]["since"]) == (
        "11",
        "s",
        "Ada",
        "2027-01-15",
    )
    assert rows[2]["sis_id"] == "'=cmd|x"
