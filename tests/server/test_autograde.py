"""Work that is due on a server is collected and autograded there by itself: nobody clicks anything.

ada and ben are students of bio-g, tea teaches it. ada solves what there is and does not submit it, ben leaves it as it was.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from canvas import key_and_secret
from machines import Machine, hubrun
from test_nbgrader import Person, assignment, good, solve

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(1500)]

PEOPLE = {"ada": "Learner", "ben": "Learner", "tea": "Instructor"}
COURSE = "/srv/nbgrader/bio-g"
# The timers of both, the start of a container, and two submissions on a slow machine.
WAIT_S = 300


@pytest.fixture(scope="module")
def people(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Person]]:
    """Everybody, after the assignment was released and solved; it is due some minutes later."""
    site = params.load(machine.site)
    now = datetime.fromtimestamp(float(machine.run("date +%s.%N")[:17]), UTC)
    at = (now + timedelta(minutes=5)).replace(second=0, microsecond=0)
    course = {"course": "BIO-G", "due": {"ps1": f"{at:%Y-%m-%d %H:%M} UTC"}, "autograde": "feedback"}
    file = tmp_path_factory.mktemp("autograde") / "site.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(machine.site.read_text()) | {"courses": [course]}))
    ended = hubrun("install", file, "--only", "04")
    assert ended.code == 0, ended.tail
    found = {}
    for name, role in PEOPLE.items():
        browser = Browser(Route.to(site))
        form = signed_form(
            site.launch_url, *key_and_secret(machine), name, user_id=f"opaque-{name}", course="bio-g", role=role, context_label="BIO-G",
        )  # fmt: skip
        assert browser.launch(site.launch_url, form).user == name
        browser.start(120)
        found[name] = Person(name, browser)
    found["tea"].write("~/courses/BIO-G/source/ps1/ps1.ipynb", assignment("BIO-G"))
    found["tea"].run("cd ~/courses/BIO-G && nbgrader generate_assignment ps1 && nbgrader release_assignment ps1")
    for name in ("ada", "ben"):
        found[name].run("nbgrader fetch_assignment ps1 --course BIO-G")
    solve(found["ada"], "BIO-G", good("ada"))
    assert float(machine.run("date +%s.%N")[:17]) < at.timestamp(), "the server was too slow for this test"
    yield found
    for name, person in found.items():
        person.browser.stop()
        machine.run("docker volume rm -f $1", f"jupyterhub-user-{name}")
    machine.run("systemctl disable --now hubrun-autograde.timer hubrun-due.timer; rm -rf $1", COURSE)
    assert hubrun("install", machine.site, "--only", "04").code == 0


def test_it_is_graded_by_itself_in_a_container_that_reaches_nothing(
    machine: Machine, people: dict[str, Person]
) -> None:
    seen: list[dict[str, Any]] = []
    until = time.monotonic() + 360 + WAIT_S
    graded = f"cat {COURSE}/graded/ada {COURSE}/graded/ben 2>/dev/null || true"
    while machine.run(graded).count('"done": true') < 4:  # each of both, and their feedback
        assert time.monotonic() < until, machine.run("journalctl -u hubrun-autograde -u hubrun-due -n 50 --no-pager")
        if not seen:
            seen = json.loads(machine.run("docker inspect hubrun-autograde 2>/dev/null || true") or "[]")
        time.sleep(1)
    assert seen, "its container was not seen"
    host = seen[0]["HostConfig"]
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert {each["Source"] for each in seen[0]["Mounts"]} == {
        f"{COURSE}/{each}" for each in ("course", "inbound", "feedback")
    }
    until = time.monotonic() + 30  # it ends behind its last word
    while machine.run("docker ps -aq --filter name=hubrun-autograde").strip():
        assert time.monotonic() < until, "its container stays"
        time.sleep(1)
    people["tea"].run("cd ~/courses/BIO-G && nbgrader export --to /tmp/grades.csv")
    rows = csv.DictReader(io.StringIO(people["tea"].run("cat /tmp/grades.csv")))
    scores = {row["student_id"]: float(row["score"]) for row in rows if row["student_id"] in ("ada", "ben")}
    assert scores == {"ada": 3.0, "ben": 0.0}
    assert "not_autograded" not in machine.run("ls $1/course", COURSE)


def test_its_feedback_comes_to_its_student(people: dict[str, Person]) -> None:
    people["ada"].run("nbgrader fetch_feedback ps1 --course BIO-G")
    assert "by ada" in people["ada"].run("cat ~/BIO-G/ps1/feedback/*/*.html")


def test_a_teacher_grades_by_hand_as_ever(people: dict[str, Person]) -> None:
    people["tea"].run("cd ~/courses/BIO-G && nbgrader collect ps1 --update && nbgrader autograde ps1 --force")
