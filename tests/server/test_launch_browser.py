"""A launch in Chromium, from another site to the open JupyterLab, with both versions of LTI; and each page that helps.

With HUBRUN_PICTURES a picture of those pages goes into that folder (docs/pictures.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from canvas import Consumers, consumers, key_and_secret, settings, stop_at_home
from conftest import first
from machines import CHROMIUM_FLAGS, Machine
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from lms_site import Site, form_page, serving_site
from lti_platform import Platform, signed_form

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(900)]
expect.set_options(timeout=30_000)  # ms; see test_framed_browser

# Another site than hub.NAME.localhost to a browser, whose sites are the last two labels of a name here.
HOST = "canvas.localhost"
STUDENT = "ivy"
# Somebody whom Canvas does not know, and an LMS that does not publish its keys.
NOT_LOGGED_IN = "nobody"
SILENT = "https://silent.example.edu"
SCREEN = {"width": 1000, "height": 560}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving_site(HOST, tmp_path_factory.mktemp("canvas")) as site:
        yield site


@dataclass
class Canvas:
    """A Canvas on its own site, and the hub with which it has LTI 1.1 and 1.3."""

    site: Site
    root: str
    key: str
    secret: str = field(repr=False)
    platform: Platform
    others: Consumers

    def form(self, username: str = STUDENT, **launch: Any) -> dict[str, str]:
        url = f"{self.root}/hub/lti/launch"
        return signed_form(**{"url": url, "key": self.key, "secret": self.secret, "username": username, **launch})

    def begin(self, **changes: str) -> dict[str, str]:
        """What Canvas posts to the hub to begin a launch of LTI 1.3."""
        return {
            "iss": self.platform.issuer, "login_hint": "hint", "client_id": self.platform.client_id,
            "target_link_uri": self.platform.launch_url, "lti_message_hint": "message hint", **changes,
        }  # fmt: skip

    def authorize(self, question: dict[str, str]) -> str:
        """The page that answers the hub's question, by a form that posts itself."""
        if question["login_hint"] == NOT_LOGGED_IN:
            refused = {"error": "login_required", "state": question["state"]}
            return form_page(question["redirect_uri"], refused, submit=True)
        token = self.platform.key.sign(self.platform.claims(question, STUDENT))
        return form_page(question["redirect_uri"], {"id_token": token, "state": question["state"]}, submit=True)


@pytest.fixture(scope="module")
def canvas(machine: Machine, site: Site) -> Iterator[Canvas]:
    root = machine.info["url"].rstrip("/")
    platform = Platform("https://canvas.instructure.com", "10000000000001", site.url, f"{root}/")
    with settings(machine, 'c.LaunchAuthenticator.blocked_users = {"ned"}\n'), consumers(machine) as others:
        others.admit("default", platform)
        others.admit("silent", platform, issuer=SILENT, jwks_url="http://127.0.0.1:9/")
        canvas = Canvas(site, root, *key_and_secret(machine), platform, others)
        site.pages = {
            "/lti11": lambda _: form_page(f"{root}/hub/lti/launch", canvas.form(), target="_blank"),
            "/lti13": lambda _: form_page(f"{root}/hub/lti13/oauth_login", canvas.begin(), target="_blank"),
            "/authorize": canvas.authorize,
            "/framed11": lambda _: f'<iframe src="{site.url}/launch" width="900" height="400"></iframe>',
            "/launch": lambda _: form_page(
                f"{root}/hub/lti/launch", canvas.form(launch_presentation_return_url=f"{site.url}/"), submit=True
            ),
            "/framed13": lambda _: f'<iframe src="{site.url}/begin" width="900" height="400"></iframe>',
            "/begin": lambda _: form_page(f"{root}/hub/lti13/oauth_login", canvas.begin(), submit=True),
        }
        yield canvas
        # The hub, which restarts now, sees that the server is gone.
        machine.run(
            f"docker rm -f $(docker ps -aq --filter volume=jupyterhub-user-{STUDENT}); docker volume rm -f jupyterhub-user-{STUDENT}"
        )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "there is no Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A student's browser. Neither site's certificate is one that Chromium knows."""
    context = chromium.new_context(ignore_https_errors=True, viewport=SCREEN, color_scheme="light")
    yield context
    context.close()


@pytest.mark.parametrize("version", ["lti11", "lti13"])
def test_a_click_on_another_site_opens_jupyterlab_in_a_new_tab(
    context: BrowserContext, canvas: Canvas, tmp_path: Path, version: str
) -> None:
    requests: list[Request] = []
    context.on("request", lambda request: requests.append(request))
    page = context.new_page()
    page.goto(f"{canvas.site.url}/{version}")
    with context.expect_page() as opened:
        page.get_by_role("button").click()
    lab = opened.value
    lab.wait_for_url(f"{canvas.root}/user/{STUDENT}/lab**", timeout=60_000)
    lab.get_by_role("main").get_by_text("Notebook", exact=True).wait_for(timeout=60_000)
    lab.screenshot(path=tmp_path / f"{version}.png")
    assert page.url == f"{canvas.site.url}/{version}", "Canvas is still open"
    launches = [each for each in requests if each.method == "POST" and "/hub/lti" in each.url]
    said = [each.all_headers().get("sec-fetch-site") for each in launches]
    assert said == ["cross-site"] * {"lti11": 1, "lti13": 2}[version], "to Chromium, Canvas is another site"
    cookies = {cookie["name"]: cookie for cookie in context.cookies(f"{canvas.root}/hub/")}
    assert cookies["jupyterhub-hub-login"]["secure"] and cookies["jupyterhub-hub-login"]["sameSite"] != "None"
    assert not [name for name in cookies if name.startswith("__Host-lti13-")], "those of the launch are gone"


# ------------------------------------------------------------------------------------------------ clicks


@pytest.mark.parametrize("version", ["lti11", "lti13"])
def test_a_double_click_back_and_reload_end_in_the_hub(context: BrowserContext, canvas: Canvas, version: str) -> None:
    page = context.new_page()
    page.goto(f"{canvas.site.url}/{version}")
    page.get_by_role("button").dblclick()
    end = time.monotonic() + 20
    while len(context.pages) < 3 and time.monotonic() < end:
        page.wait_for_timeout(100)
    tabs = [tab for tab in context.pages if tab is not page]
    assert len(tabs) == 2
    for tab in tabs:
        tab.wait_for_url(f"{canvas.root}/user/{STUDENT}/lab**", timeout=60_000)
        expect(tab).to_have_title(re.compile("JupyterLab"), timeout=60_000)  # it loads once more, under its workspace
    with context.expect_page() as opened:
        page.get_by_role("button").click()  # once more, with the launch of before
    opened.value.wait_for_url(f"{canvas.root}/user/{STUDENT}/lab**", timeout=60_000)
    with contextlib.suppress(PlaywrightError):  # ERR_ABORTED: the page that comes back leads on by itself
        tabs[0].go_back()
    tabs[0].wait_for_load_state()
    tabs[0].reload()
    assert tabs[0].locator("#lti-refused").count() == 0


def stop_server(context: BrowserContext, canvas: Canvas) -> None:
    """Stop the student's server at the hub's own page, where it runs; and forget who that was."""
    home = canvas.form(custom_next="/hub/home")
    canvas.site.pages["/home"] = lambda _: form_page(f"{canvas.root}/hub/lti/launch", home, submit=True)
    page = context.new_page()
    page.goto(f"{canvas.site.url}/home")
    page.wait_for_url(f"{canvas.root}/hub/home")
    stop_at_home(page)
    page.close()
    context.clear_cookies()


@pytest.mark.parametrize("version", ["lti11", "lti13"])
@pytest.mark.parametrize("number", first(1, range(3)))
def test_two_tabs_during_a_cold_start_both_end_in_jupyterlab(
    context: BrowserContext, canvas: Canvas, version: str, number: int
) -> None:
    stop_server(context, canvas)
    pages = [context.new_page(), context.new_page()]
    for page in pages:
        page.goto(f"{canvas.site.url}/{version}")
        page.evaluate("document.forms[0].target = ''")
    for page in pages:
        page.get_by_role("button").click(no_wait_after=True)
    for page in pages:
        page.wait_for_url(f"{canvas.root}/user/{STUDENT}/**", timeout=120_000)
        page.wait_for_url(f"{canvas.root}/user/{STUDENT}/lab**", timeout=60_000)
        expect(page).to_have_title(re.compile("JupyterLab"), timeout=60_000)


@pytest.mark.parametrize("version", ["framed11", "framed13"])
def test_a_launch_into_a_frame_opens_jupyterlab_by_a_button(
    context: BrowserContext, canvas: Canvas, version: str
) -> None:
    """Through nginx and its gate. What browsers do without cookies, and what others could do: test_framed_browser."""
    page = context.new_page()
    page.goto(f"{canvas.site.url}/{version}")
    with context.expect_page() as opened:
        page.frame_locator("iframe").get_by_role("button", name="Open JupyterHub").click()
    opened.value.wait_for_url(f"{canvas.root}/user/{STUDENT}/lab**", timeout=60_000)
    opened.value.get_by_role("main").get_by_text("Notebook", exact=True).wait_for(timeout=60_000)


# ------------------------------------------------------------------------------------------------ pages that help


@dataclass(frozen=True)
class Help:
    """A page that helps: its word and status, what it tells people to do, and how somebody gets there.

    That is by a form (`times`, each time but the first in a browser that knows nothing of the others), or by opening the
    address when there is none.
    """

    reason: str
    status: int
    advice: str
    path: str = "/hub/lti/launch"
    form: Callable[[Canvas], dict[str, str]] | None = None
    times: int = 1


AGAIN = "Go back to your course in Canvas, reload the page there, and click the link again."
HELP = [
    Help("no-session", 403, "Go to your course in Canvas and click the link to JupyterHub.", "/hub/login"),
    Help("not-launched", 405, "Go to your course in Canvas and click the link to JupyterHub."),
    Help("no-launch", 400, AGAIN, form=lambda _: {}),
    Help(
        "wrong-message", 400, "add JupyterHub to your course as a plain link",
        form=lambda canvas: canvas.form(lti_message_type="ContentItemSelectionRequest"),
    ),
    Help("not-trusted", 401, AGAIN, form=lambda canvas: canvas.form(secret="no-such-secret")),
    Help("expired", 401, AGAIN, form=lambda canvas: canvas.form(age_s=660)),
    Help("clock", 401, AGAIN, form=lambda canvas: canvas.form(age_s=-660)),
    Help(
        "signature-method", 400, "trying again does not help",
        form=lambda canvas: {**canvas.form(), "oauth_signature_method": "HMAC-SHA256"},
    ),
    Help("lti-version", 400, "trying again does not help", form=lambda canvas: canvas.form(lti_version="LTI-2p0")),
    Help("replayed", 401, AGAIN, form=lambda canvas: canvas.form(custom_next="/hub/home"), times=2),
    Help("no-name", 400, "Log in to Canvas, go back to your course", form=lambda canvas: canvas.form(user_id="")),
    Help(
        "bad-link", 400, "Tell your teacher; trying again does not help.",
        form=lambda canvas: canvas.form(custom_next="https://evil.example/"),
    ),
    Help(
        "no-cookie", 400, "Allow cookies for this site", "/hub/lti13/oauth_callback",
        lambda _: {"state": "of another browser", "id_token": "x"},
    ),
    Help(
        "lms-error", 403, "Log in to Canvas again.", "/hub/lti13/oauth_login",
        lambda canvas: canvas.begin(login_hint=NOT_LOGGED_IN),
    ),
    Help(
        "no-keys", 503, "Try again in a minute.", "/hub/lti13/oauth_login", lambda canvas: canvas.begin(iss=SILENT)
    ),
    Help("not-admitted", 403, "Tell your teacher, or whoever runs this hub.", form=lambda canvas: canvas.form("ned")),
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[dict[str, bytes]]:
    """The pages by their words, as they are seen; at the end, all of them on one sheet."""
    seen: dict[str, bytes] = {}
    yield seen
    folder = (
        Path(os.environ["HUBRUN_PICTURES"]) if "HUBRUN_PICTURES" in os.environ else tmp_path_factory.mktemp("pages")
    )
    shown = "".join(f'<img src="data:image/png;base64,{b64encode(each).decode()}">' for each in seen.values())
    style = "body{margin:8px;display:grid;grid-template-columns:1fr 1fr 1fr;gap:8px;background:#bbb}img{width:100%}"
    page = chromium.new_page(viewport={"width": 1400, "height": 600})
    page.set_content(f"<style>{style}</style>{shown}")
    page.screenshot(path=folder / "launch-pages.png", full_page=True)


def refused(context: BrowserContext, canvas: Canvas, help: Help) -> tuple[Page, Response]:
    """The page that helps, and the answer of the hub with which it came."""
    page = context.new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if answer.request.is_navigation_request() else None)
    address = canvas.root + help.path
    if help.form:
        fields = help.form(canvas)
        canvas.site.pages["/refused"] = lambda _: form_page(canvas.root + help.path, fields)
        address = f"{canvas.site.url}/refused"
    for _ in range(help.times):
        context.clear_cookies()
        page.goto(address)
        if help.form:
            page.get_by_role("button").click()
    if help.times > 1:
        page.wait_for_url("**/hub/lti/again?*try=4", timeout=20_000)  # the browser looks whether it is that person's
    page.locator("#lti-refused").wait_for(timeout=20_000)
    return page, answers[-1]


@pytest.mark.parametrize("help", HELP, ids=lambda help: help.reason)
def test_a_launch_that_is_refused_ends_on_a_page_that_helps(
    context: BrowserContext, canvas: Canvas, pictures: dict[str, bytes], help: Help
) -> None:
    page, answer = refused(context, canvas, help)
    shown = page.locator("#lti-refused")
    assert (shown.get_attribute("data-reason"), answer.status) == (help.reason, help.status)
    assert urlsplit(answer.url).netloc == urlsplit(canvas.root).netloc
    assert shown.get_by_role("heading").is_visible() and shown.get_by_text(help.advice).is_visible()
    assert shown.get_by_role("link").count() == 1, "one button"
    assert "jupyterhub-hub-login" not in {cookie["name"] for cookie in context.cookies()}
    pictures[help.reason] = page.screenshot()


def test_a_page_that_helps_can_be_read_by_everybody(context: BrowserContext, canvas: Canvas) -> None:
    [longest] = [help for help in HELP if help.reason == "no-name"]
    page, _ = refused(context, canvas, longest)
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "nothing to scroll sideways"
    grave = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in grave] == []
