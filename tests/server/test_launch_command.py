"""hubrun as an LMS on a server that is set up: 06_verify for both versions of LTI, and `./hubrun launch` in a browser."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import Machine, hubrun, start
from playwright.sync_api import BrowserContext, Request, sync_playwright

from hubrun import params
from hubrun.desired.server import Server
from hubrun.lms import lti13_cases, temporary_consumer
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.lms.platform13 import Key, Lms, Person
from hubrun.sections.verify.verification import Verification

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(900)]

# Nobody has launched them before, whichever server this is.
STUDENT = f"lou{secrets.token_hex(3)}"
_LEFT = """
ls -A /etc/jupyterhub/consumers.d
docker ps -a --format '{{.Names}}' | grep hubruntest || true
docker volume ls --format '{{.Name}}' | grep hubruntest || true
/opt/jupyterhub/bin/python -c 'import sqlite3; hub = sqlite3.connect("/var/lib/jupyterhub/jupyterhub.sqlite")
for name, in hub.execute("SELECT name FROM users UNION SELECT name FROM groups"): print(name)' | grep hubruntest || true
"""


@pytest.fixture(scope="module")
def both(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The params file of the site with LTI 1.1 and 1.3 side by side, and one more consumer; 02 has set it up."""
    path = tmp_path_factory.mktemp("both") / "site.yaml"
    path.write_text(f"{Path(machine.site).read_text()}\nlti_version: both\nconsumers: [{{name: bio}}]\n")
    done = hubrun("install", path, "--only", "02")
    assert done.code == 0, done.tail
    yield path
    machine.run(
        f"docker rm -f $(docker ps -aq --filter volume=jupyterhub-user-{STUDENT}); docker volume rm -f jupyterhub-user-{STUDENT}"
    )
    done = hubrun("install", machine.site, "--only", "02")
    assert done.code == 0, done.tail


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield chromium.new_context(ignore_https_errors=True)
        chromium.close()


def left(machine: Machine) -> list[str]:
    return machine.run(_LEFT).split()


def test_both_launch_matrices_pass_and_nothing_is_left(machine: Machine, both: Path) -> None:
    done = hubrun("install", both, "--only", "06")
    assert done.code == 0, done.tail
    checks = [check for part in done.manifest["runbooks"] for step in part["steps"] for check in step["checks"]]
    launches = {check["check"]: check["came"] for check in checks if check["check"].startswith("LTI 1.")}
    assert len(launches) == 19 + 1 + 14
    assert {name: came for name, came in launches.items() if "no login cookie, nobody" not in came} == {
        "LTI 1.1: good": "302, login cookie, hubruntest3",
        "LTI 1.1: good, 150 s old": "302, login cookie, hubruntest3",
        "LTI 1.1: good, 9 minutes old": "302, login cookie, hubruntest3",
        "LTI 1.1: good, with a forged X-Forwarded-Host and -Proto": "302, login cookie, hubruntest3",
        "LTI 1.1: good, of consumer bio": "302, login cookie, bio__hubruntest3",
        "LTI 1.3: good": "302, login cookie, hubruntest__hubruntest3",
    }
    assert left(machine) == ["bio.env"]


def test_in_check_mode_it_leaves_no_trace(machine: Machine, both: Path) -> None:
    with machine.undisturbed():
        done = hubrun("plan", both, "--only", "06")
    assert done.code == 0, done.tail
    assert left(machine) == ["bio.env"]


def test_the_lms_is_shut_out_by_itself_when_whoever_started_it_was_killed(machine: Machine, both: Path) -> None:
    with Server.connect(params.load(both)) as server:
        key = Key("k")
        text = temporary_consumer.consumer("hubruntest", "id", [key.jwk], "http://127.0.0.1/authorize").encode()
        server.run(temporary_consumer.start_script(2), data=text)
        assert left(machine) == ["bio.env", "hubruntest.json"]
        time.sleep(3)
        route = Route.to(server.site)
        lms = Lms(f"{server.site.url}/hub/", temporary_consumer.ISSUER, "id", key)
        with Browser(route) as browser:
            launch = lti13_cases.launch(browser, lms, Person("ada", server.site.lti_username_key))
        assert (launch.user, launch.reason) == ("", "not-trusted")
        assert Verification(server).clean_up()[0].ok, "what is left of it goes with the next run"
    assert left(machine) == ["bio.env"]


@pytest.mark.parametrize(
    ("lti", "whose"), [("1.1", "The hub has no such user yet"), ("1.3", "what opens is their own home")]
)
def test_an_operator_sees_what_a_student_sees(
    machine: Machine, both: Path, browser: BrowserContext, lti: str, whose: str
) -> None:
    began = machine.run("date +%s").strip()
    running = start("launch", both, "--as", STUDENT.title(), "--lti", lti, "--no-browser")
    running.wait_for(r"^http://127\.0\.0\.1:\d+/\S+$", 30)
    assert whose in running.output
    url = re.findall(r"^http://\S+$", running.output, re.MULTILINE)[0]
    browser.clear_cookies()
    page = browser.new_page()
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.goto(url, wait_until="commit")
    page.locator("#jp-top-panel").wait_for(timeout=90_000)
    assert page.url == f"{machine.info['url'].rstrip('/')}/user/{STUDENT}/lab"
    posts = [each.url.partition("/hub/")[2] for each in asked if each.method == "POST" and each.is_navigation_request()]
    assert posts == (["lti/launch"] if lti == "1.1" else ["lti13/oauth_login", "lti13/oauth_callback"])
    page.close()
    done = running.end(60)
    assert done.code == 0, done.tail
    assert f"{STUDENT} is logged in." in done.output
    assert left(machine) == ["bio.env"]
    told = done.output + machine.run("journalctl --no-pager --since @$1", began)
    for secret in (machine.secret("/etc/jupyterhub/lti.env").splitlines()[1].partition("=")[2], "id_token=", "eyJ"):
        assert secret not in told


def test_ctrl_c_takes_the_lms_away(machine: Machine, both: Path) -> None:
    running = start("launch", both, "--as", STUDENT, "--consumer", "bio", "--no-browser")
    running.wait_for(r"^http://127\.0\.0\.1:", 30)
    assert f"user bio__{STUDENT}" in running.output
    os.kill(running.pid, signal.SIGINT)
    assert running.end(30).code == 130
    running = start("launch", both, "--as", STUDENT, "--lti", "1.3", "--no-browser")
    running.wait_for(r"^http://127\.0\.0\.1:", 30)
    assert left(machine) == ["bio.env", "hubruntest.json"]
    os.kill(running.pid, signal.SIGINT)
    done = running.end(30)
    assert (done.code, done.output.splitlines()[-1]) == (130, "hubrun: interrupted")
    assert left(machine) == ["bio.env"]
