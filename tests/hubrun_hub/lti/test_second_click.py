"""A second click, back, reload, bookmarks: the browser of that very person goes on into the hub, everybody else is refused."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import pytest

from hubrun_hub.lti import return_url
from lti_hub import LAUNCH_URL, Browser, Hub, form, running_hub
from lti_platform import Answer, Lms

pytestmark = [pytest.mark.hub, pytest.mark.timeout(120)]

CONFIG = """
c.JupyterHub.tornado_settings = {"cookie_options": {"samesite": "Lax", "secure": True}}
async def wait_for_patience(authenticator, handler, authentication):
    import asyncio
    if authentication["name"] == "patience":
        await asyncio.sleep(1)
    return authentication
c.Authenticator.post_auth_hook = wait_for_patience
"""
CANVAS = "https://canvas.example.edu/courses/101"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("clicks") / "hub", CONFIG) as hub:
        yield hub


@pytest.fixture(scope="module")
def lms(hub: Hub) -> Iterator[Lms]:
    lms = Lms()
    lms.write(hub.folder / "consumers.d")
    yield lms
    lms.close()


@pytest.fixture
def browser(hub: Hub) -> Browser:
    return Browser(hub)


def cross_site(browser: Browser, path: str, form: dict[str, str]) -> Answer:
    """Post as another site's page does: with those of the browser's cookies that come along (SameSite=None)."""
    kept, browser.cookies = browser.cookies, {
        name: value for name, value in browser.cookies.items() if browser.attributes[name]["samesite"] == "None"
    }  # fmt: skip
    answer = browser.post(path, form)
    browser.cookies = {**kept, **browser.cookies}
    return answer


def goes_on(browser: Browser, answer: Answer) -> Answer:
    """Follow what the page does by itself, until it ends: on a page of the hub, or on one that refuses."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', answer.response.text)
    assert found, answer.response.text
    answer = browser.get(unescape(found[1]))
    while "/hub/lti/again" in answer.location:
        answer = browser.get(answer.location)
    return answer


def button(answer: Answer) -> str:
    """Where the page's one button leads."""
    buttons = re.findall(r'class="btn btn-jupyter" id="lti-go" href="([^"]*)"', answer.response.text)
    assert len(buttons) == 1, answer.response.text
    return unescape(buttons[0])


# A click in the LMS with each version: what is posted, and where to, each time that somebody sends it.
Click = Callable[..., tuple[str, dict[str, str]]]


@pytest.fixture(params=["1.1", "1.3"])
def click(request: pytest.FixtureRequest, lms: Lms) -> Click:
    def click11(_: Browser, name: str = "ada", target: str = "/hub/home") -> tuple[str, dict[str, str]]:
        return "/hub/lti/launch", form(name, custom_next=target)

    def click13(browser: Browser, name: str = "ada", target: str = "/hub/home") -> tuple[str, dict[str, str]]:
        question = lms.begin(browser)
        claims = lms.claims(question, name, sub=f"sub-of-{name}", custom={"next": target})
        return "/hub/lti13/oauth_callback", {"id_token": lms.key.sign(claims), "state": question["state"]}

    return {"1.1": click11, "1.3": click13}[request.param]


def test_a_second_click_goes_on_into_the_hub(browser: Browser, click: Click) -> None:
    launch = click(browser)
    assert cross_site(browser, *launch).location == "/hub/home"
    for _ in range(2):
        again = cross_site(browser, *launch)
        assert (again.status, again.reason, again.logged_in) == (401, "replayed", False)
        ended = goes_on(browser, again)
        assert (ended.status, ended.location, ended.logged_in) == (302, "/hub/home", False)
    assert browser.user == "ada"


def test_a_launch_at_which_the_hub_ends_is_for_the_next_one(hub: Hub, browser: Browser, click: Click) -> None:
    path, sent = click(browser, "patience")
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(cross_site, browser, path, sent)
        time.sleep(0.5)
        hub.stop()
        answer = launch.result()
    assert (answer.status, answer.location, answer.logged_in) == (307, path, False)
    hub.start()
    assert cross_site(browser, path, sent).location == "/hub/home"
    assert browser.user == "patience"
    assert cross_site(Browser(hub), path, sent).reason == "replayed", "once, and no more"


def test_from_anywhere_else_it_stays_refused(hub: Hub, browser: Browser, click: Click) -> None:
    launch = click(browser)
    assert cross_site(browser, *launch).logged_in
    thief, other = Browser(hub), Browser(hub)
    other.post("/hub/lti/launch", form("eve"))
    for who in (thief, other):
        answer = cross_site(who, *launch)
        assert (answer.status, answer.reason, answer.logged_in) == (401, "replayed", False)
        ended = goes_on(who, answer)
        assert (ended.status, ended.reason, ended.logged_in) == (401, "replayed", False)
        assert "refresh" not in ended.response.text, "and there it ends"
    assert (thief.user, other.user) == ("", "eve")


def test_whoever_has_logged_out_does_not_come_in_by_going_back(browser: Browser, click: Click) -> None:
    launch = click(browser)
    cross_site(browser, *launch)
    token = re.search(r'name="_xsrf" value="([^"]*)"', browser.get("/hub/logout").response.text)
    assert token and browser.post("/hub/logout", {"_xsrf": token[1]}).status == 302
    assert goes_on(browser, cross_site(browser, *launch)).reason == "replayed"
    assert browser.user == ""


def test_a_page_of_somebody_elses_second_click_opens_nothing(hub: Hub, browser: Browser, click: Click) -> None:
    """Whoever has a ticket can send it to others; it is good for the person alone, and says what they launched."""
    launch = click(browser)
    cross_site(browser, *launch)
    page = cross_site(browser, *launch)
    victim = Browser(hub)
    victim.post("/hub/lti/launch", form("vera"))
    assert goes_on(victim, page).reason == "replayed"
    found = re.search(r"ticket=([^&]*)&", unescape(page.response.text))
    assert found
    for ticket in ("", "x", found[1][:-4] + "AAAA"):
        assert browser.get(f"/hub/lti/again?ticket={ticket}").location == "/hub/", "no ticket, and logged in"
        assert Browser(hub).get(f"/hub/lti/again?ticket={ticket}").reason == "replayed"


def test_the_log_says_nothing_of_the_ticket(hub: Hub, browser: Browser, click: Click) -> None:
    launch = click(browser)
    cross_site(browser, *launch)
    before = len(hub.log)
    goes_on(Browser(hub), cross_site(browser, *launch))
    assert "/hub/lti/again" in hub.log[before:] and "ticket" not in hub.log[before:]


def test_two_tabs_that_send_the_same_launch_at_once_both_go_in(hub: Hub, browser: Browser) -> None:
    """The second tab may ask before the first one's answer, with its cookie, has reached the browser."""
    launch = form(custom_next="/hub/home")
    first = Browser(hub)
    came = first.post("/hub/lti/launch", launch)
    second = browser.post("/hub/lti/launch", launch)
    assert came.logged_in and second.reason == "replayed"
    cookies = dict(first.cookies)

    def arrives() -> None:
        time.sleep(0.6)
        browser.cookies.update(cookies)

    late = threading.Thread(target=arrives)
    late.start()
    assert goes_on(browser, second).location == "/hub/home"
    late.join()


def test_it_goes_on_after_a_restart_of_the_hub_too(hub: Hub, lms: Lms, browser: Browser, click: Click) -> None:
    launch = click(browser)
    cross_site(browser, *launch)
    hub.stop()
    hub.start()
    assert goes_on(browser, cross_site(browser, *launch)).location == "/hub/home"


# ------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "path",
    ["/hub/lti/launch", "/hub/lti/launch/", "/hub/lti13/oauth_callback", "/hub/lti13/oauth_callback/", "/hub/lti13/oauth_login",
     "/hub/lti/confirm", "/hub/lti/again", "/hub/login"],
)  # fmt: skip
def test_an_address_that_is_opened_leads_to_the_hub_or_to_a_page_with_one_button(hub: Hub, path: str) -> None:
    stranger, ada = Browser(hub), Browser(hub)
    assert button(stranger.get(path)) == "/hub/"
    ada.post("/hub/lti/launch", form(launch_presentation_return_url=f"{CANVAS}/external_content/success"))
    assert ada.get(path).location.startswith("/hub/")
    left = Browser(hub, {return_url.COOKIE: ada.cookies[return_url.COOKIE]})  # the login's time is over
    assert button(left.get(path)) == CANVAS


def test_a_launch_to_the_address_with_a_slash_is_one(browser: Browser) -> None:
    assert browser.post("/hub/lti/launch/", form(url=f"{LAUNCH_URL}/")).logged_in
    assert browser.post("/hub/lti/launch/", form()).reason == "not-trusted", "signed for the other one"


def test_the_way_back_is_the_lmss_own(hub: Hub, browser: Browser) -> None:
    """What a link says of it does not count, nor a launch that let nobody in."""
    evil = "launch_presentation_return_url=https%3A%2F%2Fevil.example%2F"
    browser.post(f"/hub/lti/launch?{evil}", form(url=f"{LAUNCH_URL}?{evil}"))
    browser.post("/hub/lti/launch", form("mallory", launch_presentation_return_url="https://evil.example/"))
    assert return_url.COOKIE not in browser.cookies
    forged = Browser(hub, {return_url.COOKIE: "https://evil.example/"})
    assert button(forged.get("/hub/lti/launch")) == "/hub/"


def test_a_refused_launch_has_one_button_too(browser: Browser) -> None:
    for launch in ({"age_s": 660}, {"secret": "wrong"}, {"user_id": None}, {"lti_version": "LTI-2p0"}):
        assert button(browser.post("/hub/lti/launch", form(**launch))) == "/hub/"  # type: ignore[arg-type]
