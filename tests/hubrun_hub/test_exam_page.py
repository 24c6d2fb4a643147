"""The page of a real hub by which staff begin and end their course's exam."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubrun.params import build
from hubrun.sections.hub import config
from hubrun_hub.courses import exam_schedule as schedule
from hubrun_hub.exams import servers
from lti_hub import Browser, Hub, form, running_hub

pytestmark = pytest.mark.hub


def zone(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


NOW = datetime.now(UTC)
COURSES = [
    {"course": "BIO", "exam": {"from": zone(NOW + timedelta(hours=1)), "until": zone(NOW + timedelta(hours=2)), "hosts": ["canvas.example.edu"]}},
    {"course": "CHEM", "exam": {"from": zone(NOW + timedelta(hours=1)), "until": zone(NOW + timedelta(hours=2))}},
]  # fmt: skip
SETTINGS = """
from pathlib import Path
from hubrun_hub.exams import page
page.Exams.site_file, page.Exams.changes_file = Path("site.json"), Path("exams.json")
c.JupyterHub.extra_handlers = page.ROUTES
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("exams") / "hub"
    site = build({"site": "x", "domain": "hub.example.edu", "courses": COURSES}, "here")
    folder.mkdir()
    (folder / "site.json").write_text(config.filter_settings(site))
    with running_hub(folder, SETTINGS) as found:
        yield found


def came(hub: Hub, name: str, course: str, role: str) -> Browser:
    browser = Browser(hub)
    assert browser.post("/hub/lti/launch", form(name, course=course, role=role)).logged_in
    return browser


def press(browser: Browser, what: str, key: str = "", xsrf: bool = True) -> Any:
    page = browser.get("/hub/exams").response.text
    sent = {"what": what, "exam": key or re.findall(r'name="exam" value="([0-9a-f]+)"', page)[0]}
    if xsrf:
        sent["_xsrf"] = browser.cookies["_xsrf"]
    headers = {"Origin": "https://hub.example.edu", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    return browser.post("/hub/exams", sent, headers=headers).response


def exam(hub: Hub) -> schedule.Exam:
    site = json.loads((hub.folder / "site.json").read_text())
    return schedule.exams(schedule.with_changes(site, schedule.read_changes(hub.folder / "exams.json")))[0]


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
    assert "cannot be done any more" in press(teacher, "end", key).text
    assert "exam of BIO: end is done by tea" in hub.log


@pytest.mark.parametrize(
    "changes", [[], {"KEY": 1}, {"KEY": {"until": "tomorrow"}}, {"KEY": {"until": "2026-12-01T10:00:00"}}, None]
)
def test_what_is_no_change_counts_for_nothing(hub: Hub, tmp_path: Path, changes: Any) -> None:
    site = json.loads((hub.folder / "site.json").read_text())
    key = schedule.exams(site)[0].key
    (tmp_path / "exams.json").write_text(json.dumps(changes).replace("KEY", key))
    read = schedule.read_changes(tmp_path / "exams.json")
    assert schedule.exams(schedule.with_changes(site, read)) == schedule.exams(site)
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert schedule.read_changes(tmp_path / "link") == {} == schedule.read_changes(tmp_path / "none")


def test_root_reads_from_the_hubs_database_who_sits_where(hub: Hub) -> None:
    came(hub, "ada", "BIO", "Learner")
    came(hub, "tea", "BIO", "Instructor")
    site = json.loads((hub.folder / "site.json").read_text())
    people = servers.people(hub.folder / "jupyterhub.sqlite")
    now = NOW + timedelta(minutes=90)
    sits = {user: schedule.sits_in(site, groups, now) for user, groups in people.items()}
    assert sits["ada"] and sits["ada"][0].course == "BIO" and sits["tea"] is None
