"""Staff look at a student's server on a site with an address for each person: who gets in, who is told, and how it ends."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from canvas import key_and_secret
from conftest import set_up
from machines import Machine, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun_hub.lti.user_hosts import host
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(1500)]

ON = {
    "subdomains": "true",
    "acme_dns": "rfc2136",
    "courses": json.dumps([{"course": "LOOK 1", "staff_may_look": True}]),
}
SET = [word for name, value in ON.items() for word in ("--set", f"{name}={value}")]
# Until the hub has seen that a look may not go on.
LATE_S = 45


def until(what: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(1)


class School:
    """The server, and people who launched from LOOK 1."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.site = machine, params.load(machine.site, ON)
        self.ada, self.eve = self.launched("ada"), self.launched("eve")
        self.launched("eve", course="OTHER")
        self.tea = self.launched("tea", "Instructor")
        self.other = self.launched("oth", "Instructor", "OTHER")
        for browser in (self.ada, self.eve):
            browser.start()

    def launched(self, name: str, role: str = "Learner", course: str = "LOOK 1") -> Browser:
        browser, site = Browser(Route.to(self.site)), self.site
        form = signed_form(site.launch_url, *key_and_secret(self.machine), name, course=course, role=role)
        assert browser.launch(site.launch_url, form).user == name
        return browser

    def at(self, path: str = "", name: str = "ada") -> str:
        port = urlsplit(self.site.url).port
        return f"https://{host(name, self.site.domain)}:{port}/user/{name}/{path}"

    def press(self, browser: Browser, what: str, owner: str = "ada") -> httpx.Response:
        """A button of the page; where it leads is not followed."""
        page = browser.get("/hub/looks")
        xsrf = re.search(r'xsrf_token: "([^"]+)"', page.text)
        sent = {"what": what, "user": owner, "server": "", "_xsrf": xsrf[1] if xsrf else ""}
        return self.sent(browser, "/hub/looks", sent)

    @staticmethod
    def sent(browser: Browser, path: str, form: dict[str, str]) -> httpx.Response:
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
        return browser._request("POST", path, data=form, headers=headers)

    def agree(self, browser: Browser) -> httpx.Response:
        """Open ada's JupyterLab, and answer JupyterHub's question whether her server may know who we are."""
        asked = browser.get(self.at("lab"))
        assert "Authorize access" in asked.text, asked.url
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', asked.text)
        sent = {
            "_xsrf": xsrf[1] if xsrf else "",
            **dict.fromkeys(re.findall(r'name="(scopes)"', asked.text), "identify"),
        }
        answer = self.sent(browser, str(asked.url), sent)
        return browser.get(str(answer.headers["Location"]))

    def told(self) -> list[bool]:
        """What ada's JupyterLab is told: of each look, whether it is on."""
        return [each["on"] for each in self.ada.get(self.at("hubrun-looks")).json()["looks"]]

    def said(self) -> str:
        return self.machine.run("journalctl -u jupyterhub -g look: -o cat")


@pytest.fixture(scope="module")
def school() -> Iterator[School]:
    for machine in set_up("look"):
        refused = hubrun("plan", machine.site, *SET[4:])
        assert refused.code != 0 and "staff_may_look needs subdomains: true" in refused.output
        for book in ("03", "04"):
            ended = hubrun("install", machine.site, *SET, "--only", book, seconds=900)
            assert ended.code == 0, ended.tail
        yield School(machine)


def test_the_image_has_the_banner(school: School) -> None:
    listed = school.machine.run(
        "docker run --rm $1 jupyter labextension list 2>&1", school.site.image_name, seconds=120
    )
    assert re.search(r"hubrun-looks v\S+.*enabled.*OK", listed), listed


def test_nobody_but_staff_of_all_courses_of_a_student_gets_in(school: School) -> None:
    for browser, owner in ((school.eve, "ada"), (school.other, "ada"), (school.other, "eve"), (school.tea, "eve")):
        assert school.press(browser, "open", owner).status_code == 403
    assert "oth may not look at the server of ada" in school.said()
    assert school.tea.get(school.at("lab")).status_code == 403 and school.told() == []


def test_staff_get_in_and_the_student_is_told(school: School) -> None:
    opened = school.press(school.tea, "open")
    assert (opened.status_code, opened.headers["Location"]) == (302, school.at())
    assert school.told() == [True]
    page = school.agree(school.tea)
    assert page.status_code == 200 and '"hubrunLooks": "on"' in page.text and "hubrun-looks" in page.text
    assert school.tea.get(school.at("api/contents")).status_code == 200
    assert re.search(r"look: tea looks at the server of ada until \S+ \S+ UTC", school.said())
    assert "<td>tea</td>" in school.ada.get("/hub/looks").text
    # From outside nobody has the server ask; and nobody else came in with it.
    assert school.sent(school.tea, school.at("hubrun-looks"), {}).status_code == 404
    for browser in (school.eve, school.other):
        assert browser.get(school.at("api/contents")).status_code == 403


def test_it_ends_at_once_when_staff_are_done(school: School) -> None:
    assert school.press(school.tea, "end").status_code == 302
    assert school.told() == [False] and school.tea.get(school.at("api/contents")).status_code == 403


def test_it_outlives_a_restart_of_the_hub_and_ends_with_the_membership(school: School) -> None:
    assert school.press(school.tea, "open").status_code == 302
    school.agree(school.tea)
    school.machine.run("systemctl restart jupyterhub", seconds=120)
    until(lambda: school.tea.get(school.at("api/contents")).status_code == 200, 60)
    # The LMS says that tea is a student now.
    school.launched("tea", "Learner")
    until(lambda: school.told()[-1] is False, LATE_S)
    assert school.tea.get(school.at("api/contents")).status_code == 403
    assert "tea looks no more at the server of ada: ada is in no course that you teach" in school.said()
    school.launched("tea", "Instructor")


def test_it_ends_with_the_server(school: School) -> None:
    assert school.press(school.tea, "open").status_code == 302
    school.ada.stop()
    school.ada.start()
    assert school.tea.get(school.at("api/contents")).status_code == 403
    assert "looks no more at the server of ada: the server ended" in school.said()
