"""The page of a real hub by which staff begin and end their course's exam."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubrun.params import build
from hubrun.sections.hub import config
from hubrun_hub.courses import exam_changes
from hubrun_hub.courses import exam_schedule as schedule
from hubrun_hub.courses.exam_changes import change, extra, possible
from hubrun_hub.exams import servers
from hubrun_hub.lti.groups import course_name
from lti_hub import Browser, Hub, form, running_hub

pytestmark = pytest.mark.hub


def zone(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


NOW = datetime.now(UTC)
COURSES = [
    {"course": "BIO", "exam": {"from": zone(NOW + timedelta(hours=1)), "until": zone(NOW + timedelta(hours=2)), "hosts": ["canvas.example.edu"], "extra_minutes": {"zoe": 20}}},
    {"course": "CHEM", "exam": {"from": zone(NOW + timedelta(hours=1)), "until": zone(NOW + timedelta(hours=2))}},
]  # fmt: skip
COURSE = course_name("BIO")
SETTINGS = """
from pathlib import Path
from hubrun_hub.courses import exam_changes
from hubrun_hub.exams import page
page.Exams.site_file, page.Exams.changes_file = Path("site.json"), Path("exams.json")
exam_changes.FILE = Path("exams.json")
c.JupyterHub.extra_handlers = page.ROUTES
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    yield from run(tmp_path_factory.mktemp("exams") / "hub")


@pytest.fixture
def exam_hub(tmp_path: Path) -> Iterator[Hub]:
    """One of a test's own: an exam ends once."""
    yield from run(tmp_path / "hub")


def run(folder: Path) -> Iterator[Hub]:
    site = build({"site": "x", "domain": "hub.example.edu", "courses": COURSES}, "here")
    folder.mkdir()
    (folder / "site.json").write_text(config.filter_settings(site))
    with running_hub(folder, SETTINGS) as found:
        yield found


def came(hub: Hub, name: str, course: str, role: str, **more: str) -> Browser:
    browser = Browser(hub)
    assert browser.post("/hub/lti/launch", form(name, course=course, role=role, **more)).logged_in
    return browser


def press(browser: Browser, what: str, key: str = "", xsrf: bool = True, **more: str) -> Any:
    page = browser.get("/hub/exams").response.text
    sent = {
        "what": what,
        "course": COURSE,
        "exam": key or re.findall(r'name="exam" value="([0-9a-f]+)"', page)[0],
        **more,
    }
    if xsrf:
        sent["_xsrf"] = browser.cookies["_xsrf"]
    headers = {"Origin": "https://hub.example.edu", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    return browser.post("/hub/exams", sent, headers=headers).response


def exam(hub: Hub, course: str = "") -> schedule.Exam:
    """The exam as the hub has it; of the course to which the launches belong, where no other is meant."""
    site = json.loads((hub.folder / "site.json").read_text())
    site = schedule.with_changes(site, exam_changes.read(hub.folder / "exams.json"))
    found = schedule.exam_of(site, {"label": "BIO"}, course or COURSE)
    assert found
    return found


def test_staff_begin_prolong_and_end_their_courses_exam_and_students_do_not(hub: Hub) -> None:
    key, planned = exam(hub).key, exam(hub).ends
    student, chemist = came(hub, "ada", "BIO", "Learner"), came(hub, "cho", "CHEM", "Instructor")
    assert "No course that you teach" in student.get("/hub/exams").response.text
    teacher = came(hub, "tea", "BIO", "Instructor")
    assert "BIO" in (page := teacher.get("/hub/exams").response.text) and "CHEM" not in page
    for browser in (student, chemist):
        refused = press(browser, "begin", key)
        assert refused.status_code == 403 and "XSRF" not in refused.text
    refused = press(teacher, "begin", xsrf=False)
    assert refused.status_code == 403 and "_xsrf" in refused.text and not exam(hub).is_on(datetime.now(UTC))
    assert press(teacher, "begin").status_code == 302
    assert exam(hub).is_on(datetime.now(UTC)) and (exam(hub).key, exam(hub).ends) == (key, planned)
    assert press(teacher, "more").status_code == 302 and exam(hub).ends == planned + timedelta(minutes=10)
    assert press(teacher, "end").status_code == 302
    assert not exam(hub).is_on(datetime.now(UTC)) and exam(hub).key == key
    assert "cannot be done now" in press(teacher, "end", key).text
    assert "exam of BIO: end is done by tea" in hub.log
    assert "cannot be done now" in press(teacher, "extra", key, user="ada", minutes="30").text, (
        "what is over stays over"
    )


# Two hours of the exam of two people, who have until 11:00, and until 11:30.
EXAM = schedule.Exam(
    "k", "BIO", datetime(2026, 12, 1, 9, tzinfo=UTC), datetime(2026, 12, 1, 11, tzinfo=UTC), (), "", {"ben": 30}
)
STOPPED = replace(EXAM, ends=datetime(2026, 12, 1, 10, tzinfo=UTC), stopped=datetime(2026, 12, 1, 10, tzinfo=UTC))


def at(time: str) -> datetime:
    return datetime.fromisoformat(f"2026-12-01T{time}:00+00:00")


@pytest.mark.parametrize(
    ("exam", "now", "expected"),
    [
        (EXAM, "08:59", ["begin", "extra"]), (EXAM, "09:00", ["more", "end", "extra"]), (EXAM, "10:59", ["more", "end", "extra"]),
        (EXAM, "11:00", ["end", "extra"]), (EXAM, "11:29", ["end", "extra"]), (EXAM, "11:30", []), (STOPPED, "10:01", []),
    ],
)  # fmt: skip
def test_what_staff_can_do_when(exam: schedule.Exam, now: str, expected: list[str]) -> None:
    assert possible(exam, at(now)) == expected
    for what in ("begin", "more", "end", "extra", "other"):
        if what not in expected or what == "extra":
            with pytest.raises(ValueError):
                change(exam, what, at(now))
        else:
            change(exam, what, at(now))


@pytest.mark.parametrize(
    ("user", "minutes", "now", "may"),
    [
        ("ada", "30", "08:00", True), ("ada", "30", "10:59", True), ("ada", "0", "10:00", True), ("ada", "1440", "10:00", True),
        ("ada", "30", "11:00", False), ("ada", "1441", "10:00", False), ("ada", "-1", "10:00", False), ("ada", "", "10:00", False),
        ("ada", "1e3", "10:00", False), ("ada", "٣", "10:00", False), ("ada", "30.5", "10:00", False),
        ("ben", "45", "11:29", True), ("ben", "45", "11:30", False), ("ben", "16", "11:15", True),
        ("ben", "15", "11:15", False), ("ben", "0", "11:15", False),
    ],
)  # fmt: skip
def test_more_time_is_given_to_who_still_sits_in_the_exam_and_leaves_no_end_in_the_past(
    user: str, minutes: str, now: str, may: bool
) -> None:
    if may:
        assert extra(EXAM, user, minutes, at(now)) == {user: int(minutes)}
        return
    with pytest.raises(ValueError):
        extra(EXAM, user, minutes, at(now))


def test_staff_of_the_course_give_one_person_more_time(exam_hub: Hub) -> None:
    hub = exam_hub
    key, planned = exam(hub).key, exam(hub).ends
    student, chemist = came(hub, "ada", "BIO", "Learner"), came(hub, "cho", "CHEM", "Instructor")
    came(hub, "kim", "CHEM", "Learner")
    teacher = came(hub, "tea", "BIO", "Instructor")
    page = teacher.get("/hub/exams").response.text
    assert 'value="ada"' in page and 'value="kim"' not in page and 'value="tea"' not in page
    assert "zoe" in page and "knows no such student" in page, "whom the parameters name, and nobody knows"
    for browser in (student, chemist):
        assert press(browser, "extra", key, user="ada", minutes="60").status_code == 403
    for nobody in ("kim", "tea", "none", ""):
        assert press(teacher, "extra", user=nobody, minutes="60").status_code == 403, nobody
    assert press(teacher, "extra", "0" * 16, user="ada", minutes="60").status_code == 403, "an exam that was before"
    # A friend's course of the same label, where both are what they like.
    came(hub, "ada", "SANDBOX", "Learner", context_label="BIO")
    friend, theirs = came(hub, "eve", "SANDBOX", "Instructor", context_label="BIO"), course_name("SANDBOX")
    assert press(friend, "extra", key, user="ada", minutes="600").status_code == 403
    assert press(friend, "extra", key, course=theirs, user="ada", minutes="600").status_code == 302
    assert press(friend, "begin", key, course=theirs).status_code == 302
    assert exam(hub).of("ada").ends == planned and not exam(hub).is_on(datetime.now(UTC))
    assert exam(hub, theirs).of("ada").ends == planned + timedelta(minutes=600)
    assert press(teacher, "begin").status_code == 302
    assert press(teacher, "extra", user="ada", minutes="30").status_code == 302
    assert press(teacher, "more").status_code == 302
    assert exam(hub).of("ada").ends == planned + timedelta(minutes=40) and exam(hub).ends == planned + timedelta(
        minutes=10
    )
    assert f'exam-until">{exam(hub).until}<' in (page := teacher.get("/hub/exams").response.text)
    assert f"<td>30</td><td>{exam(hub).of('ada').until}</td>" in page
    assert "extra is done by tea: {'ada': 30}" in hub.log
    hub.api("DELETE", "/users/ada")
    assert "ada" not in (hub.folder / "exams.json").read_text(), "who is removed is not named in it any more"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        {"KEY": 1},
        {"KEY": {"bio": 1}},
        {"KEY": {"bio": {"until": "tomorrow"}}},
        None,
        {"KEY": {"bio": {"until": "2026-12-01T10:00:00"}}},
        {"KEY": {"bio": {"extra_minutes": {"ada": -1, "ben": "5", "kim": None}}}},
        {"KEY": {"bio": {"extra_minutes": [["ada", 5]]}}},
    ],
)
def test_what_is_no_change_counts_for_nothing(hub: Hub, tmp_path: Path, changes: Any) -> None:
    site = json.loads((hub.folder / "site.json").read_text())
    key = schedule.exams(site)[0].key
    (tmp_path / "exams.json").write_text(json.dumps(changes).replace("KEY", key))
    read = exam_changes.read(tmp_path / "exams.json")
    assert set(map(repr, schedule.exams(schedule.with_changes(site, read)))) == set(map(repr, schedule.exams(site)))
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert exam_changes.read(tmp_path / "link") == {} == exam_changes.read(tmp_path / "none")


def test_root_reads_from_the_hubs_database_who_sits_where(hub: Hub) -> None:
    came(hub, "ada", "BIO", "Learner")
    came(hub, "tea", "BIO", "Instructor")
    site = json.loads((hub.folder / "site.json").read_text())
    people = servers.people(hub.folder / "jupyterhub.sqlite")
    now = NOW + timedelta(minutes=90)
    sits = {user: schedule.sits_in(site, groups, user, now) for user, groups in people.items()}
    assert sits["ada"] and sits["ada"][0].course == "BIO" and sits["tea"] is None
