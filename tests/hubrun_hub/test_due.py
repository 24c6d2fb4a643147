"""What is due when, and that what is taken is what stood there then: thirty homes, three times, one who saves at the last moment."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubrun.errors import BadInput
from hubrun.params import build
from hubrun.sections.hub import config
from hubrun_hub.courses import exam_schedule as schedule
from hubrun_hub.courses.due_dates import all_due
from hubrun_hub.courses.exam_schedule import Group
from hubrun_hub.docker_filter import folders
from hubrun_hub.exams import collect, servers
from hubrun_hub.programs import due

COURSE = {
    "course": "BIO", "due": {"ps1": "2026-12-01 23:59 Europe/Zurich"},
    "extensions": {"ps1": {"ben": "2026-12-03 23:59 Europe/Zurich"}},
}  # fmt: skip


def site_of(*courses: dict[str, Any]) -> dict[str, Any]:
    found = build({"site": "x", "domain": "hub.example.edu", "courses": list(courses)}, "here")
    return dict(json.loads(config.filter_settings(found)))


def groups(*names: str) -> list[Group]:
    return [(f"course-{name}", {"label": "BIO", "folder": "BIO 101"}) for name in names]


PEOPLE = {
    "ada": groups("bio"),
    "ben": groups("bio"),
    "tea": groups("bio", "bio-instructors"),
    "kim": [("course-chem", {"label": "CHEM"})],
}


def test_each_student_has_their_own_date_and_staff_have_none() -> None:
    found = all_due(site_of(COURSE), PEOPLE, {})
    assert [(each.user, each.assignment, each.at.isoformat(), each.folder) for each in found] == [
        ("ada", "ps1", "2026-12-01T23:59:00+01:00", "BIO 101"),
        ("ben", "ps1", "2026-12-03T23:59:00+01:00", "BIO 101"),
    ]


def test_an_exams_assignment_is_due_when_it_ends_also_where_staff_moved_that() -> None:
    exam = {"from": "2026-12-01 09:00 UTC", "until": "2026-12-01 11:00 UTC", "assignment": "midterm"}
    site = site_of({"course": "BIO", "exam": exam})
    found = [(each.user, each.assignment, each.at.isoformat()) for each in all_due(site, PEOPLE, {})]
    assert found == [(user, "midterm", "2026-12-01T11:00:00+00:00") for user in ("ada", "ben")]
    (key,) = (each.key for each in schedule.exams(site))
    moved = schedule.with_changes(site, {key: {"bio": {"until": "2026-12-01T11:10:00+00:00"}}})
    assert {each.at.isoformat() for each in all_due(moved, PEOPLE, {})} == {"2026-12-01T11:10:00+00:00"}
    longer = {"extra_minutes": {"ben": 25}}
    own = {
        each.user: each.at.isoformat()
        for each in all_due(site_of({"course": "BIO", "exam": exam | longer}), PEOPLE, {})
    }
    assert own == {"ada": "2026-12-01T11:00:00+00:00", "ben": "2026-12-01T11:25:00+00:00"}
    # Ended for everybody when ada had ended: her work is not due a second time.
    ended = schedule.with_changes(site, {key: {"bio": {**longer, "stopped": "2026-12-01T11:20:00+00:00"}}})
    own = {each.user: each.at.isoformat() for each in all_due(ended, PEOPLE, {})}
    assert own == {"ada": "2026-12-01T11:00:00+00:00", "ben": "2026-12-01T11:20:00+00:00"}
    assert all_due(site_of({"course": "BIO", "exam": exam | {"assignment": ""}}), PEOPLE, {}) == []


@pytest.mark.parametrize(
    ("file", "lms", "at"),
    [
        # What the file says of a person, what the LMS says of them, what the file says of all, what the LMS does.
        ({"due": "F", "people": {"ada": "f"}}, {"ada": "l", "": "L"}, "f"),
        ({"people": {"ada": "f"}}, {"ada": "l"}, "f"),
        ({"due": "F"}, {"ada": "l", "": "L"}, "l"),
        ({"due": "F", "people": {"ben": "f"}}, {"ben": "l", "": "L"}, "F"),
        ({"due": "F"}, {"ada": "", "": "L"}, "F"),
        ({"due": "F"}, {}, "F"),
        ({}, {"ben": "l", "": "L"}, "L"),
        ({}, {"ada": "", "": "L"}, "L"),
        ({}, {"ben": "l"}, None),
        ({"people": {"ben": "f"}}, {"ada": "", "": ""}, None),
    ],
)
def test_whose_word_counts(file: dict[str, Any], lms: dict[str, str], at: str | None) -> None:
    moments = {letter: f"2026-12-0{day}T12:00:00+00:00" for day, letter in enumerate("fFlL", 1)}
    people = {user: moments[each] for user, each in file.get("people", {}).items()}
    entry = {**({"due": moments[file["due"]]} if "due" in file else {}), "people": people}
    site = {"course_settings": [{"course": "BIO", **({"due": {"ps1": entry}} if file else {})}]}
    said = {
        "bio": {"ps1": {user: moments.get(each, "") for user, each in lms.items()}},
        "chem": {"ps1": {"ada": moments["f"]}},
    }
    found = {each.user: each.at.isoformat() for each in all_due(site, PEOPLE, said)}
    assert found.get("ada") == (moments[at] if at else None)
    assert "tea" not in found and "kim" not in found


def test_the_lms_moves_no_exam_and_needs_no_word_of_the_file() -> None:
    exam = {"from": "2026-12-01 09:00 UTC", "until": "2026-12-01 11:00 UTC", "assignment": "midterm"}
    said = {
        "bio": {"midterm": {"ada": "2026-12-05T00:00:00+00:00"}},
        "chem": {"lab": {"kim": "2026-12-06T00:00:00+00:00"}},
    }
    found = all_due(site_of({"course": "BIO", "exam": exam}), PEOPLE, said)
    assert [(each.user, each.assignment, each.at.day) for each in found] == [
        ("ada", "midterm", 1), ("ben", "midterm", 1), ("kim", "lab", 6),
    ]  # fmt: skip
    assert all_due({}, {"kim": PEOPLE["kim"]}, said) == found[2:]


LATE = {"late": {"percent_per_day": 10, "days": 3}}


def test_a_late_policy_is_that_of_its_course_and_never_an_exams() -> None:
    exam = {"from": "2026-12-01 09:00 UTC", "until": "2026-12-01 11:00 UTC", "assignment": "midterm"}
    said = {
        "bio": {"ps2": {"ada": "2026-12-05T00:00:00+00:00"}, "midterm": {"ada": "2026-12-05T00:00:00+00:00"}},
        "chem": {"lab": {"kim": "2026-12-06T00:00:00+00:00"}},
    }
    dates = {"ps1": "2026-12-01 23:59 Europe/Zurich", "midterm": "2026-12-02 11:00 UTC"}
    found = all_due(site_of(COURSE | LATE | {"exam": exam, "due": dates}), PEOPLE, said)
    assert {(each.user, each.assignment, each.terms()) for each in found} == {
        ("ada", "ps1", ".late.1796165940.10.3"), ("ben", "ps1", ".late.1796338740.10.3"),
        ("ada", "ps2", ".late.1796428800.10.3"), ("ada", "midterm", ""), ("ben", "midterm", ""), ("kim", "lab", ""),
    }  # fmt: skip
    assert {each.terms() for each in all_due(site_of(COURSE), PEOPLE, said)} == {""}
    assert "late" not in site_of(COURSE)["course_settings"][0]


@pytest.mark.parametrize(
    "late",
    [{"percent_per_day": -1, "days": 3}, {"percent_per_day": 101, "days": 3}, {"percent_per_day": 10, "days": 0},
     {"percent_per_day": 10, "days": 101}, {"percent_per_day": 1.5, "days": 3}, {"days": 3}, {"percent_per_day": 10},
     {"percent_per_day": 10, "days": 3, "hours": 1}],
)  # fmt: skip
def test_a_late_policy_that_is_none_is_refused(late: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"courses\[0\]\.late"):
        site_of(COURSE | {"late": late})


def test_a_late_policy_without_anything_that_is_due_is_refused() -> None:
    with pytest.raises(BadInput, match="late needs something that is due"):
        site_of({"course": "BIO"} | LATE)
    services = {"site": "x", "domain": "hub.example.edu", "lti_services": True}
    assert build({**services, "courses": [{"course": "BIO"} | LATE]}, "here").courses[0].late


def test_a_moment_without_an_offset_is_none() -> None:
    site = {"course_settings": [{"course": "BIO", "due": {"ps1": {"due": "2026-12-02T00:00:00"}}}]}
    with pytest.raises(ValueError, match="no offset"):
        all_due(site, PEOPLE, {})


@pytest.mark.parametrize(
    "changes",
    [{"extensions": {"ps2": {"ada": "2026-12-03 23:59 UTC"}}}, {"due": {"../x": "2026-12-01 23:59 UTC"}}, {"due": {"ps1": "2026-12-01"}},
     {"extensions": {"ps1": {"ada": "tomorrow"}}}],
)  # fmt: skip
def test_dates_that_are_none_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"courses\[0\]"):
        site_of(COURSE | changes)


def test_an_extension_of_what_the_lms_says_needs_no_date_here() -> None:
    own = {"course": "BIO", "extensions": {"ps2": {"ada": "2026-12-03 23:59 UTC"}}}
    services = {"site": "x", "domain": "hub.example.edu", "lti_services": True}
    found = json.loads(config.filter_settings(build({**services, "courses": [own]}, "here")))
    assert found["lms_dates"] and found["course_settings"] == [
        {"course": "BIO", "due": {"ps2": {"people": {"ada": "2026-12-03T23:59:00+00:00"}}}}
    ]
    assert build(services, "here").due_dates and not build({**services, "nbgrader": False}, "here").due_dates
    assert "lms_dates" not in site_of(COURSE)


def test_without_nbgrader_nothing_is_due() -> None:
    with pytest.raises(BadInput, match="need nbgrader"):
        build({"site": "x", "domain": "hub.example.edu", "nbgrader": False, "courses": [COURSE]}, "here")


class Server:
    """Homes in folders, and the program as the timer starts it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.site, self.people = folder, {}, dict[str, list[Group]]()
        monkeypatch.setattr(due, "ROOT", str(folder / "courses"))
        monkeypatch.setattr(due.settings, "read", lambda _: self.site)
        monkeypatch.setattr(servers, "people", lambda: self.people)
        monkeypatch.setattr(
            collect, "home_of", lambda user, _: path if (path := folder / "homes" / user).is_dir() else None
        )

    def person(self, user: str, at: datetime, text: str) -> Path:
        """Somebody whose work is due at `at`; their notebook."""
        self.people[user] = groups("bio")
        dates = self.site.setdefault(
            "course_settings", [{"course": "BIO", "due": {"ps1": {"due": at.isoformat(), "people": {}}}}]
        )
        dates[0]["due"]["ps1"]["people"][user] = at.isoformat()
        (self.folder / "courses/bio/inbound" / user).mkdir(parents=True)
        book = self.folder / "homes" / user / "BIO 101/ps1/ps1.ipynb"
        book.parent.mkdir(parents=True)
        book.write_text(text)
        return book

    def digests(self) -> dict[str, list[str]]:
        """User → digests of what was taken, the first one first."""
        found: dict[str, list[str]] = {}
        for user in sorted(self.people):
            taken = sorted(
                (path.parent for path in (self.folder / "courses/bio/inbound" / user).glob(f"{user}+ps1+*/ps1.ipynb")),
                key=lambda path: path.name,
            )
            found[user] = [hashlib.sha256((path / "ps1.ipynb").read_bytes()).hexdigest() for path in taken]
        return found


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.slow
def test_what_is_taken_is_what_stood_there_when_it_was_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, monkeypatch)
    now = datetime.now(UTC)
    # One due an hour ago, while the server was off; two times that come while the program runs; one far away.
    times = [now - timedelta(hours=1), now + timedelta(seconds=2), now + timedelta(seconds=4), now + timedelta(hours=1)]
    books = {
        f"s{number:02}": server.person(f"s{number:02}", times[number % 3], f"work of {number}") for number in range(30)
    }
    server.person("later", times[3], "not yet")
    server.people["absent"] = groups("bio")

    def write(user: str, at: datetime, text: str) -> None:
        time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
        books[user].write_text(text)

    last, late = times[1] - timedelta(seconds=0.2), times[1] + timedelta(seconds=1)
    writers = [
        threading.Thread(target=write, args=("s01", *each))
        for each in ((last, "at the last moment"), (late, "too late"))
    ]
    for writer in writers:
        writer.start()
    assert due.main() == 0
    for writer in writers:
        writer.join()
    expected = {f"s{number:02}": [digest(f"work of {number}")] for number in range(30)} | {
        "s01": [digest("at the last moment")],
        "later": [],
        "absent": [],
    }
    assert server.digests() == expected
    # Once more, and nothing is taken twice; who gets an extension afterwards is taken again then.
    assert due.main() == 0 and server.digests() == expected
    server.site["course_settings"][0]["due"]["ps1"]["people"]["s01"] = (
        datetime.now(UTC) + timedelta(seconds=1)
    ).isoformat()
    assert due.main() == 0
    assert server.digests()["s01"] == [digest("at the last moment"), digest("too late")]
    said = {
        user: list(json.loads((tmp_path / "courses/bio/due" / user).read_text()).values()) for user in ("s01", "absent")
    }
    # Who never started a server in the course cannot hand in afterwards as if in time either.
    (left,) = (tmp_path / "courses/bio/inbound/absent").iterdir()
    assert left.name.startswith("absent+ps1+") and not list(left.iterdir())
    assert [words.partition(" as ")[0] for words in said["s01"]] == ["taken", "taken"] and said["absent"] == [
        "there is none"
    ]
    folders.remove(tmp_path / "courses", "s01")
    assert not (tmp_path / "courses/bio/due/s01").exists() and (tmp_path / "courses/bio/due/s02").exists()


def test_what_was_taken_is_taken_again_for_a_later_moment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path, monkeypatch)
    now = datetime.now(UTC)
    book = server.person("ada", now - timedelta(hours=2), "in time")
    said: dict[str, dict[str, dict[str, str]]] = {"bio": {"ps1": {}}}
    file = tmp_path / "lti_services.sqlite"
    monkeypatch.setattr(due.lms_dates, "FILE", file)
    monkeypatch.setattr(due.lms_dates, "read", lambda path: said if path == file else {})
    del server.site["course_settings"][0]["due"]["ps1"]["people"]["ada"]
    # hours before now, and what is there then; what the LMS says counts where the site has it say something.
    for hours, switched_on, expected in (
        (1, False, ["in time"]), (1, True, ["in time", "1"]), (2, True, ["in time", "1"]), (1, True, ["in time", "1"]),
        (0.5, True, ["in time", "1", "0.5"]), (3, True, ["in time", "1", "0.5"]), (-3, True, ["in time", "1", "0.5"]),
    ):  # fmt: skip
        server.site["lms_dates"] = switched_on
        said["bio"]["ps1"]["ada"] = (now - timedelta(hours=hours)).isoformat()
        if server.digests()["ada"]:
            book.write_text(str(hours))
        assert due.main() == 0
        assert sorted(server.digests()["ada"]) == sorted(map(digest, expected)), hours


def test_what_is_taken_says_what_may_come_later_and_so_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path, monkeypatch)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(due, "_now", lambda: at + timedelta(seconds=1))
    server.person("ada", at, "work")
    shutil.rmtree(server.person("ben", at, "").parent)
    server.site["course_settings"][0] |= LATE
    assert due.main() == 0
    for user, there in (("ada", True), ("ben", False)):
        (left,) = (tmp_path / "courses/bio/inbound" / user).iterdir()
        assert left.name.endswith(f".late.{at.timestamp():.0f}.10.3") and bool(list(left.iterdir())) is there


def test_one_whose_work_cannot_be_taken_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, monkeypatch)
    at = datetime.now(UTC) - timedelta(seconds=1)
    big = server.person("big", at, "")
    with big.open("wb") as file:
        file.truncate(1 << 40)
    server.person("tiny", at, "work")
    assert due.main() == 0
    assert server.digests() == {"big": [], "tiny": [digest("work")]}
    assert "not taken: more than" in (tmp_path / "courses/bio/due/big").read_text()
    (left,) = (tmp_path / "courses/bio/inbound/big").iterdir()
    assert left.name.startswith("big+ps1+") and not list(left.iterdir()), "by which later ones are known to be late"


def test_what_passes_is_tried_again_and_nobody_is_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, monkeypatch)
    at = datetime.now(UTC) - timedelta(seconds=1)
    for user in ("ada", "ben", "cleo"):
        server.person(user, at, f"work of {user}")
    home_of, take = collect.home_of, collect.take

    def without_docker(user: str, homes: str) -> Path | None:
        if user == "ada":
            raise OSError("docker volume: Cannot connect to the Docker daemon")
        return home_of(user, homes)

    def full(home: Path, inside: tuple[str, ...], inbound: Path, user: str, terms: str) -> Path | None:
        if user == "ben":
            raise OSError(errno.ENOSPC, "No space left on device")
        return take(home, inside, inbound, user, terms)

    monkeypatch.setattr(collect, "home_of", without_docker)
    monkeypatch.setattr(collect, "take", full)
    for _ in range(2):
        assert due.main() == 1
        assert server.digests() == {"ada": [], "ben": [], "cleo": [digest("work of cleo")]}
    monkeypatch.setattr(collect, "home_of", home_of)
    monkeypatch.setattr(collect, "take", take)
    assert due.main() == 0
    assert server.digests() == {user: [digest(f"work of {user}")] for user in ("ada", "ben", "cleo")}
