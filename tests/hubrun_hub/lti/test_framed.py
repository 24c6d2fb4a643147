"""Launches into a frame, on a JupyterHub of this machine: the page with the button, and what others could do with it.

In a browser they are in test_framed_browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hubrun_hub.lti import framed
from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.cross_site import lms_hosts
from hubrun_hub.lti.launch import Launch
from lti_hub import HOST, LAUNCH_URL, Browser, Hub, form, running_hub
from lti_platform import Answer, Lms

LMS, SCHOOL = "https://lms.example.edu", "https://lms.example.edu/courses/1"
EVIL = "https://evil.example"
HERE = f"https://{HOST}"


# ------------------------------------------------------------------------------------------------ without a hub


@pytest.mark.parametrize(
    ("browser", "lms", "so"),
    [
        ("iframe", "", True), ("iframe", "window", True), ("frame", "", True), ("embed", "", True), ("object", "", True),
        ("document", "", False), ("document", "iframe", False), ("empty", "iframe", False),
        (None, "iframe", True), ("", "frame", True), (None, "window", False), (None, "", False), (None, "overlay", False),
    ],
)  # fmt: skip
def test_what_the_browser_says_of_a_frame_counts_before_what_the_lms_says(
    browser: str | None, lms: str, so: bool
) -> None:
    assert framed.is_framed(browser, lms) == so


@pytest.mark.parametrize(
    "host",
    ["*", "*.example", "a;script-src *", "a b", "a,b", "'self'", "", "a'", "lms.example/x", "a:b", "[::1]", "a\nb", "ä.example"],
)  # fmt: skip
def test_no_host_becomes_more_than_a_host_in_the_policy(host: str) -> None:
    assert framed.policy([host], [], "n").startswith("frame-ancestors 'none'; ")


def test_the_policy_names_whom_it_should() -> None:
    sites = ["https://learning.example.edu", "https://*.example.org", "http://plain.example", "https://*", "data:"]
    assert framed.policy(["lms.example.edu:8443"], sites, "n").startswith(
        "frame-ancestors https://*.example.org https://learning.example.edu https://lms.example.edu:8443; default-src 'none'; "
    )


@pytest.mark.parametrize(
    ("form", "hosts"),
    [
        ({"launch_presentation_return_url": SCHOOL, "tool_consumer_instance_url": EVIL}, {"lms.example.edu"}),
        ({"launch_presentation_return_url": "", "lis_outcome_service_url": f"{LMS}:444/x"}, {"lms.example.edu:444"}),
        ({"launch_presentation_return_url": " ", "tool_consumer_instance_url": LMS}, {"lms.example.edu"}),
        ({"launch_presentation_return_url": "javascript:1", "tool_consumer_instance_url": EVIL}, set()),
        ({}, set()),
    ],
)
def test_the_lms_is_named_by_its_return_url_and_by_others_only_without_it(
    form: dict[str, str], hosts: set[str]
) -> None:
    assert lms_hosts(form) == hosts


def launch_of(user: str, prefix: str = "") -> Launch:
    return Launch(Consumer("default", prefix), user, (), None, "")


def test_a_ticket_is_good_once_and_for_a_minute() -> None:
    tickets = framed.Tickets()
    tickets.put("a", launch_of("ada"), False, 100.0)
    tickets.put("b", launch_of("ada"), False, 100.0)
    assert tickets.take("nobody's", 100.0) is None
    for now, good in ((159.9, True), (159.9, False), (161.0, False)):
        found = tickets.take("a", now)
        assert found and found[1] == good
    late = tickets.take("b", 160.0)
    assert late and not late[1] and late[0].launch.user == "ada"
    assert tickets.take("b", 761.0) is None
    tickets.put("c", launch_of("ben"), False, 800.0)
    assert len(tickets) == 1, "what is over is forgotten"


def test_nobody_pushes_out_anothers_ticket() -> None:
    tickets = framed.Tickets()
    tickets.put("ada's", launch_of("ada"), False, 0.0)
    for number in range(1000):
        tickets.put(str(number), launch_of("mallory"), False, 1.0)
    assert tickets.take("ada's", 2.0) and len(tickets) == 9
    newest = tickets.take("999", 2.0)
    assert newest and newest[1]


@pytest.mark.parametrize("lms", ["canvas", "moodle", "openedx", "sakai", "blackboard", "brightspace", "another"])
def test_the_page_tells_teachers_how_to_do_without_it(lms: str) -> None:
    assert "new" in framed.page(lms).help and framed.page(lms).help.startswith("Teachers: ")


# ------------------------------------------------------------------------------------------------ with a hub

pytest_hub = [pytest.mark.hub, pytest.mark.timeout(120)]
SETTINGS = """
c.JupyterHub.tornado_settings = {"cookie_options": {"samesite": "Lax", "secure": True}}
c.LaunchAuthenticator.frame_ancestors = ["https://learning.example.edu"]
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("framed") / "hub", SETTINGS) as hub:
        yield hub


@pytest.fixture(scope="module")
def moodle(hub: Hub) -> Iterator[Lms]:
    lms = Lms(LMS, "tool-1")
    lms.write(hub.folder / "consumers.d", "moodle", authorize_url=f"{LMS}/auth", prefix="")
    yield lms
    lms.close()


def into_frame(
    browser: Browser, name: str = "ada", origin: str = LMS, dest: str | None = "iframe", query: str = "", **launch: Any
) -> Answer:
    """A launch of LTI 1.1, posted into a frame by a page of `origin`."""
    launch = {"launch_presentation_return_url": SCHOOL, **launch}
    headers = {"Origin": origin} | ({"Sec-Fetch-Dest": dest} if dest else {})
    return browser.post(f"/hub/lti/launch{query}", form(name, **launch), headers=headers)


def into_frame_13(browser: Browser, lms: Lms, name: str = "ada", origin: str = LMS, **claims: Any) -> Answer:
    """A launch of LTI 1.3 in a frame, whose browser keeps no cookie there."""
    question = moodle_begin(browser)
    browser.cookies.clear()
    token = lms.key.sign(lms.claims(question, name, **claims))
    return browser.post(
        "/hub/lti13/oauth_callback",
        {"id_token": token, "state": question["state"]},
        headers={"Origin": origin, "Sec-Fetch-Dest": "iframe"},
    )


def button(answer: Answer) -> str:
    """Where the button of a page leads."""
    assert (answer.status, answer.reason, answer.logged_in) == (200, "framed", False), answer.response.text
    found = re.search(r'<form action="([^"]*)" method="post" target="_blank"', answer.response.text)
    assert found
    return found[1]


def click(browser: Browser, address: str, origin: str | None = HERE, dest: str = "document") -> Answer:
    headers = {"Sec-Fetch-Dest": dest} | ({"Origin": origin} if origin else {})
    return browser._send("POST", address, headers=headers)


def ancestors(answer: Answer) -> list[str]:
    """Who may frame a page."""
    [policy] = answer.response.headers.get_list("content-security-policy")
    found = re.search("frame-ancestors ([^;]*)", policy)
    assert found
    return found[1].split()


OURS = ["https://learning.example.edu", LMS]


class TestHub:
    pytestmark = pytest_hub

    def test_a_launch_into_a_frame_gets_a_button_that_logs_in_in_a_tab(self, hub: Hub) -> None:
        browser = Browser(hub)
        answer = into_frame(browser, custom_next="/hub/home")
        assert ancestors(answer) == OURS and not browser.cookies.get("jupyterhub-hub-login")
        assert answer.response.headers["cache-control"] == "no-store"
        assert "ada" not in answer.response.text, "whose it is, is nothing for another's page"
        opened = click(browser, button(answer))
        assert (opened.status, opened.location, opened.logged_in) == (302, "/hub/home", True)
        assert browser.user == "ada" and "course-bio-101--" in " ".join(hub.groups("ada"))

    def test_so_does_a_launch_of_which_the_lms_says_it_from_an_older_browser(self, hub: Hub) -> None:
        answer = into_frame(Browser(hub), dest=None, launch_presentation_document_target="iframe")
        assert button(answer) and ancestors(answer) == OURS

    def test_canvas_says_frame_of_every_launch_and_a_tab_is_a_tab_all_the_same(self, hub: Hub) -> None:
        answer = into_frame(Browser(hub), dest="document", launch_presentation_document_target="iframe")
        assert answer.logged_in and answer.status == 302

    def test_lti_1_3_needs_no_cookie_in_a_frame(self, hub: Hub, moodle: Lms) -> None:
        browser = Browser(hub)
        answer = into_frame_13(browser, moodle, launch_presentation={"return_url": SCHOOL, "document_target": "iframe"})
        assert ancestors(answer) == OURS
        assert click(browser, button(answer)).logged_in and browser.user == "ada"

    def test_lti_1_3_with_its_cookie_in_a_frame(self, hub: Hub, moodle: Lms) -> None:
        browser = Browser(hub)
        question = moodle_begin(browser)
        token = moodle.key.sign(moodle.claims(question, "ada"))
        answer = browser.post(
            "/hub/lti13/oauth_callback", {"id_token": token, "state": question["state"]},
            headers={"Origin": "null", "Sec-Fetch-Dest": "iframe"},
        )  # fmt: skip
        assert click(browser, button(answer)).logged_in

    def test_without_its_cookie_lti_1_3_works_in_frames_only(self, hub: Hub, moodle: Lms) -> None:
        """Else whoever has a token of their own could post it into another's browser."""
        for dest in ("document", None):
            browser = Browser(hub)
            question = moodle_begin(browser)
            browser.cookies.clear()
            headers = {"Origin": LMS} | ({"Sec-Fetch-Dest": dest} if dest else {})
            token = moodle.key.sign(moodle.claims(question, "ada"))
            answer = browser.post(
                "/hub/lti13/oauth_callback", {"id_token": token, "state": question["state"]}, headers=headers
            )
            assert (answer.reason, answer.logged_in) == ("no-cookie", False)

    # -------------------------------------------------------------------------------------------- clicks

    def test_a_second_click_leads_on_and_logs_nobody_in(self, hub: Hub) -> None:
        browser = Browser(hub)
        address = button(into_frame(browser, custom_next="/hub/home"))
        first, second = click(browser, address), click(browser, address)
        assert (first.logged_in, second.logged_in) == (True, False)
        assert first.location == second.location == "/hub/home"
        # The other click of a double one, which left before the cookie was there.
        early = click(Browser(hub), address)
        assert (early.location, early.logged_in) == ("/hub/home", False)
        assert Browser(hub).get(address).reason == "late-click", "and by a link nobody gets anywhere"

    def test_the_same_launch_again_in_the_frame_leads_whoever_is_in_on(self, hub: Hub) -> None:
        browser, headers = Browser(hub), {"Origin": LMS, "Sec-Fetch-Dest": "iframe"}
        fields = form("ada", custom_next="/hub/home", launch_presentation_return_url=SCHOOL)
        click(browser, button(browser.post("/hub/lti/launch", fields, headers=headers)))
        answer = browser.post("/hub/lti/launch", fields, headers=headers)
        assert (answer.reason, ancestors(answer), answer.logged_in) == ("replayed", OURS, False)
        way = re.search(r'<a class="[^"]*" href="([^"]*)" target="_blank"', answer.response.text)
        assert way
        on = browser.get(unescape(way[1]))
        assert (on.status, on.location, on.logged_in) == (302, "/hub/home", False)
        assert not Browser(hub).get(unescape(way[1])).logged_in

    def test_a_ticket_of_nobody_says_so(self, hub: Hub) -> None:
        for address in ("/hub/lti/open", "/hub/lti/open?ticket=", "/hub/lti/open?ticket=x", "/hub/lti/open?ticket=%ff"):
            answer = click(Browser(hub), address)
            assert answer.status == 400 and not answer.logged_in

    def test_a_button_that_stays_in_its_frame_says_that_it_needs_a_tab(self, hub: Hub) -> None:
        browser = Browser(hub)
        address = button(into_frame(browser))
        inside = click(browser, address, dest="iframe")
        assert (inside.reason, inside.logged_in) == ("in-a-frame", False)
        assert click(browser, address).logged_in, "and is as good as before"

    # -------------------------------------------------------------------------------------------- attacks

    def test_a_consumer_that_is_shut_out_is_so_before_the_click_too(self, hub: Hub, moodle: Lms) -> None:
        browser = Browser(hub)
        address = button(into_frame_13(browser, moodle))
        path = hub.folder / "consumers.d/moodle.json"
        kept = path.read_text()
        path.unlink()
        try:
            answer = click(browser, address)
            assert (answer.reason, answer.logged_in) == ("not-trusted", False)
        finally:
            path.write_text(kept)

    @pytest.mark.parametrize(
        "origin", [EVIL, "null", None, f"https://{HOST}.evil.example", "http://hub.example.edu:8443"]
    )
    def test_whoever_gets_a_ticket_from_somebody_else_is_asked(self, hub: Hub, origin: str | None) -> None:
        """A student sends their own ticket to a victim, who must not work in the student's account unawares."""
        address = button(into_frame(Browser(hub), "mallory2"))
        victim = Browser(hub)
        asked = click(victim, address, origin)
        assert not asked.logged_in and "<strong>mallory2</strong>" in asked.response.text and victim.user == ""
        assert ancestors(asked) == ["'none'"]

    def test_a_ticket_as_a_link_asks_too_and_can_be_answered(self, hub: Hub) -> None:
        """An app that opens the address in a browser of its own leaves the form behind."""
        address = button(into_frame(Browser(hub), "mallory2"))
        victim = Browser(hub)
        asked = victim.get(address, headers={"Sec-Fetch-Dest": "document"})
        assert not asked.logged_in and "<strong>mallory2</strong>" in asked.response.text
        ticket = re.search(r'name="ticket" value="([^"]*)"', asked.response.text)
        assert ticket and victim.post("/hub/lti/confirm", {"ticket": ticket[1]}).logged_in
        assert click(Browser(hub), address).logged_in is False, "it was used up by that"

    def test_another_site_can_not_show_the_button_of_its_own_launch(self, hub: Hub, moodle: Lms) -> None:
        sent = into_frame(Browser(hub), "mallory2", origin=EVIL)
        assert ancestors(sent) == OURS
        victim = Browser(hub)
        asked = click(victim, button(sent))
        assert not asked.logged_in and victim.user == "", "and were it shown, the click would be asked about"
        sent = into_frame_13(Browser(hub), moodle, "mallory2", origin=EVIL)
        assert ancestors(sent) == OURS and not click(Browser(hub), button(sent)).logged_in

    @pytest.mark.parametrize(
        "query",
        ["", "?launch_presentation_return_url=x", "?tool_consumer_instance_url=https%3A%2F%2Fevil.example%2F",
         "?launch_presentation_return_url=https%3A%2F%2Fevil.example%2F&launch_presentation_return_url=x"],
    )  # fmt: skip
    @pytest.mark.parametrize("dest", ["iframe", "document"])
    def test_a_student_can_not_name_their_own_site_as_the_lms(self, hub: Hub, query: str, dest: str) -> None:
        """Canvas copies the query of any link that a student launches into the form that it signs, where it has no such
        field itself; and whoever sends the form can send it with another query, or with none."""
        url = f"{LAUNCH_URL}?tool_consumer_instance_url=https%3A%2F%2Fevil.example%2F"
        sent = into_frame(Browser(hub), "mallory2", origin=EVIL, dest=dest, query=query, url=url)
        assert not sent.logged_in
        if dest == "iframe":
            assert ancestors(sent) == OURS
            sent = click(Browser(hub), button(sent))
            assert not sent.logged_in
        assert "<strong>mallory2</strong>" in sent.response.text

    def test_a_field_that_is_moved_into_the_query_names_the_lms_still(self, hub: Hub) -> None:
        fields = form(
            "mallory2", url=f"{LAUNCH_URL}?tool_consumer_instance_url={EVIL}", launch_presentation_return_url=SCHOOL
        )
        del fields["launch_presentation_return_url"]
        query = "?launch_presentation_return_url=https%3A%2F%2Flms.example.edu%2Fcourses%2F1"
        sent = Browser(hub).post(
            f"/hub/lti/launch{query}", fields, headers={"Origin": EVIL, "Sec-Fetch-Dest": "iframe"}
        )
        assert ancestors(sent) == OURS and not click(Browser(hub), button(sent)).logged_in

    def test_an_lms_that_does_not_say_where_it_is_has_each_click_asked_about(self, hub: Hub) -> None:
        sent = into_frame(Browser(hub), launch_presentation_return_url=None)
        assert ancestors(sent) == OURS
        asked = click(Browser(hub), button(sent))
        assert not asked.logged_in and "<strong>ada</strong>" in asked.response.text

    def test_no_policy_is_written_by_a_launch(self, hub: Hub) -> None:
        for address in ("https://*/", "https://a;script-src%20*/", "https://a b/", "https://'unsafe-inline'/"):
            sent = into_frame(Browser(hub), launch_presentation_return_url=address)
            assert ancestors(sent) == ["https://learning.example.edu"], address

    # -------------------------------------------------------------------------------------------- pages that help

    @pytest.mark.parametrize(
        ("launch", "reason"),
        [({"secret": "wrong"}, "not-trusted"), ({"age_s": 100_000}, "expired"), ({"custom_next": EVIL}, "bad-link")],
    )
    def test_a_refusal_in_a_frame_is_seen_there(self, hub: Hub, launch: dict[str, Any], reason: str) -> None:
        browser = Browser(hub)
        browser.post("/hub/lti/launch", form("ada"))
        answer = into_frame(browser, **launch)
        assert (answer.reason, ancestors(answer)) == (reason, OURS)
        assert "ada" not in answer.response.text and "<a " not in answer.response.text, (
            "of nobody, and nothing to click"
        )
        assert "<form" not in answer.response.text and "<script" not in answer.response.text
        top = into_frame(Browser(hub), dest="document", **launch)
        assert (top.reason, ancestors(top)) == (reason, ["'none'"])

    def test_a_launch_of_the_lms_that_another_site_sends_is_not_shown_there(self, hub: Hub) -> None:
        assert ancestors(into_frame(Browser(hub), origin=EVIL, age_s=100_000)) == ["https://learning.example.edu"]

    @pytest.mark.parametrize("path", ["/hub/lti/launch", "/hub/login", "/hub/lti13/oauth_login"])
    def test_an_address_that_somebody_frames_by_hand_says_what_to_do(self, hub: Hub, path: str) -> None:
        headers = {"Sec-Fetch-Dest": "iframe", "Referer": f"{LMS}/"}
        answer = Browser(hub).get(path, headers=headers)
        assert answer.reason and ancestors(answer) == OURS

    def test_no_other_page_of_the_hub_may_be_framed(self, hub: Hub) -> None:
        browser = Browser(hub)
        browser.post("/hub/lti/launch", form("ada"))
        for path in ("/hub/home", "/hub/token", "/hub/logout", "/hub/spawn", "/hub/404", "/hub/gate/user/ben/"):
            for dest in ("document", "iframe"):
                answer = browser.get(path, headers={"Sec-Fetch-Dest": dest, "Referer": f"{LMS}/"})
                assert ancestors(answer) == ["'none'"], (path, dest)

    def test_no_ticket_is_in_the_log(self, hub: Hub) -> None:
        browser = Browser(hub)
        address = button(into_frame(browser))
        click(browser, address)
        assert "came into a frame" in hub.log and address.partition("=")[2] not in hub.log


def moodle_begin(browser: Browser) -> dict[str, str]:
    """The click in the LMS, and the question that the hub asks it then."""
    answer = browser.get(f"/hub/lti13/oauth_login?iss={LMS}&client_id=tool-1&login_hint=x")
    return dict(parse_qsl(urlsplit(answer.location).query))
