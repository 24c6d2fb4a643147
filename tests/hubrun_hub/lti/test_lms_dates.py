"""When an LMS says that work is due: what counts as a date, whose date a launch moves, and what root reads of it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.lti.roles import Part
from hubrun_hub.lti.services import lms_dates
from hubrun_hub.lti.services.lms_dates import LmsDate
from hubrun_hub.lti.services.service_file import ServiceFile
from hubrun_hub.removing import people

DUE, OWN = "2026-12-08T22:59:59+00:00", "2026-12-10T22:59:59+00:00"
VARIABLE = "$ResourceLink.submission.endDateTime"


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-12-08T22:59:59.000Z", DUE),  # Canvas
        ("2026-12-08T22:59:59Z", DUE),  # Blackboard
        ("2026-12-08T23:59:59+01:00", DUE),
        ("2026-12-08T23:59:59.9999999+0100", DUE),
        ("2026-12-08T22:59Z", "2026-12-08T22:59:00+00:00"),
        (" 2026-12-08T22:59:59,5Z ", DUE),
        (VARIABLE, ""),
        ("", ""),
        (None, ""),
        (7, ""),
        ("2026-12-08T22:59:59", ""),  # of which zone?
        ("2026-12-08", ""),
        ("2026-13-08T22:59:59Z", ""),
        ("2026-12-08T22:59:59+99:00", ""),
        ("0001-01-01T00:00:00+14:00", ""),
        ("٢٠٢٦-12-08T22:59:59Z", ""),
        ("2026-12-08T22:59:59Z; drop", ""),
    ],
)
def test_a_date_is_a_moment_with_its_zone(written: object, at: str) -> None:
    assert lms_dates.said({"assignment": "ps1", "due": written}, 5.0) == LmsDate("ps1", at, "", 5.0)
    assert lms_dates.said({"assignment": "ps1", "due": "", "due_own": written}, 5.0) == LmsDate("ps1", "", at, 5.0)


@pytest.mark.parametrize(
    "custom",
    [
        {}, {"due": DUE}, {"assignment": "ps1"}, {"assignment": "", "due": DUE}, {"assignment": "../ps1", "due": DUE},
        {"assignment": "ps1/x", "due": DUE}, {"assignment": ".ps1", "due": DUE}, {"assignment": "a+b", "due": DUE},
        {"assignment": "x" * 101, "due": DUE}, {"assignment": "a\n", "due": DUE}, {"assignment": ["ps1"], "due": DUE},
    ],
)  # fmt: skip
def test_a_launch_of_another_link_says_nothing(custom: dict[str, Any]) -> None:
    assert lms_dates.said(custom, 5.0) is None


def date(at: str = DUE, own: str = "", signed: float = 100) -> LmsDate:
    return LmsDate("ps1", at, own, signed)


@pytest.mark.parametrize(
    ("launches", "kept"),
    [
        # Each moves the date of its own person, by what the LMS says of them.
        ([("ada", Part.STUDENT, date())], {"ada": DUE}),
        ([("ada", Part.STUDENT, date(own=OWN))], {"ada": OWN}),
        ([("ada", Part.STUDENT, date()), ("ben", Part.STUDENT, date(OWN))], {"ada": DUE, "ben": OWN}),
        # One of staff, that of all others; who has no part in the course, none.
        ([("ada", Part.STUDENT, date()), ("tea", Part.STAFF, date(OWN, own="x"))], {"ada": DUE, "": OWN}),
        ([("eve", Part.NONE, date())], {}),
        # The latest word counts, whatever it says; one that was signed before it does not.
        ([("ada", Part.STUDENT, date()), ("ada", Part.STUDENT, date(OWN, signed=101))], {"ada": OWN}),
        ([("ada", Part.STUDENT, date(OWN)), ("ada", Part.STUDENT, date(signed=101))], {"ada": DUE}),
        ([("ada", Part.STUDENT, date(OWN)), ("ada", Part.STUDENT, date(signed=99))], {"ada": OWN}),
        ([("ada", Part.STUDENT, date()), ("ada", Part.STUDENT, date(OWN, signed=99))], {"ada": DUE}),
        ([("tea", Part.STAFF, date()), ("eva", Part.STAFF, date(OWN, signed=99))], {"": DUE}),
        # That there is no date is a word too.
        ([("ada", Part.STUDENT, date()), ("ada", Part.STUDENT, date("", signed=101))], {"ada": ""}),
        ([("ada", Part.STUDENT, date("", signed=101)), ("ada", Part.STUDENT, date())], {"ada": ""}),
    ],
)  # fmt: skip
def test_whose_date_a_launch_moves(
    tmp_path: Path, launches: list[tuple[str, Part, LmsDate]], kept: dict[str, str]
) -> None:
    path = tmp_path / "services.sqlite"
    file = ServiceFile(path)
    for user, part, said in launches:
        file.note_date("bio", user, part, said)
    assert lms_dates.read(path) == ({"bio": {"ps1": kept}} if kept else {})
    file.note_date("chem", "ada", Part.STUDENT, date(OWN, signed=1))
    assert lms_dates.read(path).get("bio", {}) == ({"ps1": kept} if kept else {}), "another course's is another date"
    file.forget("ada")
    assert "ada" not in lms_dates.read(path).get("bio", {}).get("ps1", {})


@pytest.mark.parametrize(("users", "courses", "left"), [(["ada"], [], {"ben"}), ([], ["course-bio"], set())])
def test_who_is_removed_and_a_course_that_is_leave_no_date(
    tmp_path: Path, users: list[str], courses: list[str], left: set[str]
) -> None:
    path = tmp_path / "services.sqlite"
    for user in ("ada", "ben"):
        ServiceFile(path).note_date("bio", user, Part.STUDENT, date())
    people._forget(path, users, "", [], courses)
    assert lms_dates.read(path).get("bio", {}).get("ps1", {}).keys() == left


def test_root_reads_the_hubs_file_and_nothing_that_stands_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "services.sqlite"
    assert lms_dates.read(path) == {} and not path.exists()
    path.touch()  # as it is for a moment, before the hub wrote into it
    assert lms_dates.read(path) == {}
    ServiceFile(path).note_date("bio", "ada", Part.STUDENT, date())
    path.chmod(0o400)
    before = path.read_bytes()
    assert lms_dates.read(path) == {"bio": {"ps1": {"ada": DUE}}}
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == (before, [path])
    other = path.rename(tmp_path / "other.sqlite")
    path.symlink_to(other)
    with pytest.raises(OSError, match="not a file"):
        lms_dates.read(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a file"):
        lms_dates.read(path)
    path.unlink()
    path.write_text("no database, and long enough to be one" * 100)
    with pytest.raises(sqlite3.Error):
        lms_dates.read(path)
