"""A real browser between an LMS and a hub of this machine: double clicks, back, reload, two tabs in a cold start.

No Docker and no nginx: TLS ends in a small server here, which passes requests on to the hub, or to the person's own server
behind it, as nginx and the proxy do. The person's server has what the students' image has (`student_server`).
"""

from __future__ import annotations

import html
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from hub_front import FLAGS, Quiet, front, serve_tls
from hubrun.environment import PROJECT
from lti_hub import HOST, PUBLIC_URL, Hub, form, running_hub
from lti_platform import Platform
from own_certificate import write_certificate
from student_server import student_python

pytestmark = [pytest.mark.hub, pytest.mark.slow, pytest.mark.timeout(300)]

# Another site than the hub's to a browser.
LMS = "https://canvas.example.org"
COURSE = f"{LMS}/courses/101/external_content/success/external_tool_redirect"
CONFIG = """
c.JupyterHub.tornado_settings = {{"cookie_options": {{"samesite": "Lax", "secure": True}}}}
c.JupyterHub.oauth_require_pkce = True
c.Spawner.default_url = "/lab"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.port = {port}
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.Spawner.environment = {{"PYTHONPATH": {lib!r}, "JUPYTER_CONFIG_PATH": {extensions!r}, "JUPYTERHUB_PUBLIC_URL": ""}}
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
"""


def form_page(action: str, fields: dict[str, str], target: str = "", submit: bool = False) -> str:
    """A page with a form of hidden fields: for a click, into the window `target`, or on its way at once."""
    inputs = "".join(f'<input type="hidden" name="{n}" value="{html.escape(v)}">' for n, v in fields.items())
    script = "<script>document.forms[0].submit()</script>" if submit else ""
    return (
        f'<!doctype html><title>Canvas</title><form action="{html.escape(action)}" method="post" target="{target}">'
        f"{inputs}<button>Open JupyterHub</button></form>{script}"
    )


class Canvas:
    """The LMS: `/11` and `/13` show a page with a button that launches `person` to the hub's page `target`."""

    def __init__(self) -> None:
        self.person, self.target, self.window = "ada", "/hub/home", ""
        self.platform = Platform("https://canvas.instructure.com", "10000000000001", LMS)
        self.asked = 0

    def page(self, path: str, query: dict[str, str]) -> str:
        if path == "/11":
            launch = form(self.person, custom_next=self.target, launch_presentation_return_url=COURSE)
            return form_page(f"{PUBLIC_URL}hub/lti/launch", launch, self.window)
        if path == "/13":
            begin = {
                "iss": self.platform.issuer, "login_hint": self.person, "client_id": self.platform.client_id,
                "target_link_uri": self.platform.launch_url,
            }  # fmt: skip
            return form_page(f"{PUBLIC_URL}hub/lti13/oauth_login", begin, self.window)
        if path == "/authorize":
            self.asked += 1
            claims = self.platform.claims(
                query, self.person, custom={"next": self.target}, sub=f"sub-of-{self.person}",
                launch_presentation={"return_url": COURSE},
            )  # fmt: skip
            answer = {"id_token": self.platform.key.sign(claims), "state": query["state"]}
            return form_page(query["redirect_uri"], answer, submit=True)
        return "<!doctype html><title>Canvas</title>The course"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        canvas = self

        class Handler(Quiet):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                body = canvas.page(url.path, dict(parse_qsl(url.query))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def student_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, student_port: int) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("clicks")
    settings = CONFIG.format(
        python=str(student_python()), port=student_port, lib=str(PROJECT / "lib"), home=str(folder / "home"),
        extensions=str(PROJECT / "lib" / "hubrun_student" / "oauth"),
    )  # fmt: skip
    with running_hub(folder / "hub", settings) as hub:
        yield hub
        for user in hub.users():
            hub.api("DELETE", f"/users/{user}/server", timeout=60)


@pytest.fixture(scope="module")
def canvas(hub: Hub) -> Canvas:
    canvas = Canvas()
    settings = json.loads(canvas.platform.settings(jwks={"keys": [canvas.platform.key.jwk]}))
    del settings["jwks_url"]
    (hub.folder / "consumers.d" / "default.json").write_text(json.dumps(settings))
    return canvas


@pytest.fixture(scope="module")
def chromium(
    hub: Hub, canvas: Canvas, student_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "there is no Chromium (Debian: apt-get install chromium)"
    leaf = write_certificate(tmp_path_factory.mktemp("tls"), HOST.partition(":")[0], urlsplit(LMS).hostname or "")
    ours, theirs = serve_tls(front(hub.port, student_port), leaf), serve_tls(canvas.handler(), leaf)
    rules = (
        f"MAP {HOST} 127.0.0.1:{ours.server_port}, MAP {urlsplit(LMS).hostname}:443 127.0.0.1:{theirs.server_port}, "
        "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    )
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=[*FLAGS, f"--host-resolver-rules={rules}"])
        yield opened
        opened.close()
    for server in (ours, theirs):
        server.shutdown()
        server.server_close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(ignore_https_errors=True, viewport={"width": 1000, "height": 560})
    yield context
    context.close()


@pytest.fixture(autouse=True)
def _as_before(canvas: Canvas) -> Iterator[None]:
    yield
    canvas.person, canvas.target, canvas.window = "ada", "/hub/home", ""


@pytest.fixture(params=["11", "13"])
def button(request: pytest.FixtureRequest) -> str:
    """Where Canvas has a page with a button for this version of LTI."""
    return f"{LMS}/{request.param}"


HOME = f"{PUBLIC_URL}hub/home"


def cookies(context: BrowserContext) -> set[str]:
    return {cookie["name"] for cookie in context.cookies(HOME)}


def wait_for(page: Page, what: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        page.wait_for_timeout(50)


def click(page: Page, button: str, times: int = 1) -> None:
    page.goto(button)
    page.get_by_role("button").click(click_count=times)


def test_a_double_click_that_opens_two_tabs_ends_in_the_hub_twice(
    context: BrowserContext, canvas: Canvas, button: str, tmp_path: Path
) -> None:
    canvas.window = "_blank"
    page = context.new_page()
    click(page, button, times=2)
    wait_for(page, lambda: len(context.pages) == 3)
    tabs = [tab for tab in context.pages if tab is not page]
    assert len(tabs) == 2
    for number, tab in enumerate(tabs):
        tab.wait_for_url(HOME, timeout=20_000)
        tab.screenshot(path=tmp_path / f"{number}.png")


def test_a_double_click_in_one_window_ends_in_the_hub(context: BrowserContext, button: str) -> None:
    """A browser gives up the first of two requests: a login that was on its way to it is lost, and a page says what to do."""
    page = context.new_page()
    click(page, button, times=2)
    wait_for(page, lambda: page.url == HOME or page.url.endswith("&try=4"))
    if page.url != HOME:
        assert "reload the page there, and click the link again" in page.inner_text("body")
        click(page, button)
    page.wait_for_url(HOME, timeout=20_000)


def test_back_and_the_same_button_once_more(context: BrowserContext, button: str) -> None:
    """The page comes from the browser's memory, with the form of before."""
    page = context.new_page()
    click(page, button)
    page.wait_for_url(HOME, timeout=20_000)
    page.go_back()
    if page.url == HOME:  # the LMS's answer of LTI 1.3 posts itself again
        page.wait_for_url(HOME, timeout=20_000)
        return
    page.wait_for_timeout(300)
    if page.url.startswith(button):
        page.get_by_role("button").click()
    page.wait_for_url(HOME, timeout=20_000)


def test_a_launch_that_is_sent_again_goes_on_and_can_be_reloaded(context: BrowserContext, button: str) -> None:
    page = context.new_page()
    posts: list[tuple[str, str]] = []
    page.on(
        "request",
        lambda request: posts.append((request.url, request.post_data or "")) if request.method == "POST" else None,
    )
    click(page, button)
    page.wait_for_url(HOME, timeout=20_000)
    url, data = posts[-1]
    again = context.new_page()
    again.goto(f"{LMS}/course")
    again.set_content(form_page(url, dict(parse_qsl(data, keep_blank_values=True)), submit=True))
    again.wait_for_url(HOME, timeout=20_000)
    again.reload()
    assert again.url == HOME


def test_from_another_browser_the_same_launch_ends_on_a_page_with_one_button(
    chromium: Browser, context: BrowserContext, button: str, tmp_path: Path
) -> None:
    page = context.new_page()
    posts: list[tuple[str, str]] = []
    page.on(
        "request",
        lambda request: posts.append((request.url, request.post_data or "")) if request.method == "POST" else None,
    )
    click(page, button)
    page.wait_for_url(HOME, timeout=20_000)
    url, data = posts[-1]
    elsewhere = chromium.new_context(ignore_https_errors=True, viewport={"width": 390, "height": 800})
    thief = elsewhere.new_page()
    thief.goto(f"{LMS}/course")
    thief.set_content(form_page(url, dict(parse_qsl(data, keep_blank_values=True)), submit=True))
    thief.wait_for_url("**/hub/lti/again?*try=4", timeout=20_000)
    refused = thief.locator("#lti-refused")
    assert refused.get_attribute("data-reason") == "replayed"
    assert refused.get_by_role("link").count() == 1 and refused.get_by_role("link").is_visible()
    assert thief.evaluate("document.documentElement.scrollWidth") <= 390, "nothing to scroll sideways"
    thief.screenshot(path=tmp_path / "replayed.png")
    assert "jupyterhub-hub-login" not in cookies(elsewhere)
    elsewhere.close()


def test_a_bookmark_after_the_session_has_ended_leads_back_to_the_course(
    context: BrowserContext, button: str, tmp_path: Path
) -> None:
    page = context.new_page()
    click(page, button)
    page.wait_for_url(HOME, timeout=20_000)
    page.goto(f"{PUBLIC_URL}hub/lti/launch/")
    page.wait_for_url(f"{PUBLIC_URL}hub/**")
    assert page.locator("#lti-refused").count() == 0, "a bookmark of somebody who is logged in"
    context.clear_cookies(name="jupyterhub-hub-login")
    page.goto(f"{PUBLIC_URL}hub/lti/launch/")
    page.screenshot(path=tmp_path / "bookmark.png")
    page.get_by_role("link", name="Go to your course").click()
    page.wait_for_url(f"{LMS}/courses/101")


# ------------------------------------------------------------------------------------------------ two tabs, one server


def test_a_page_that_waits_goes_on_although_another_tab_has_renewed_the_session(
    context: BrowserContext, canvas: Canvas, hub: Hub
) -> None:
    """The address at which it asks for the progress is then refused, and no browser asks there again."""
    canvas.target = "/hub/user-redirect/lab"
    refused: list[str] = []

    def renew(route: Route) -> None:
        if not refused:
            refused.append(route.request.url)
            route.fulfill(status=403, body="{}")
        else:
            route.continue_()

    context.route("**/server/progress?**", renew)
    page = context.new_page()
    click(page, f"{LMS}/11")
    try:
        assert opened(page) == "JupyterLab" and refused
    finally:
        stop_server(hub, page)


def opened(page: Page) -> str:
    """How a tab ended: JupyterLab, or what the page says."""

    def is_lab() -> bool:
        # On the way, the address of the server shows the hub's page that it starts; a page that goes has no title.
        with suppress(PlaywrightError):
            return page.url.startswith(f"{PUBLIC_URL}user/ada/") and "JupyterLab" in page.title()
        return False

    wait_for(page, is_lab, 120)
    return "JupyterLab" if is_lab() else f"{page.title()}: {page.inner_text('body')[:80]}"


def stop_server(hub: Hub, page: Page) -> None:
    page.goto(f"{LMS}/course")  # or what it shows goes on asking
    hub.api("DELETE", "/users/ada/server", timeout=60)
    wait_for(page, lambda: not hub.api("GET", "/users/ada", timeout=60)["servers"])


def test_two_tabs_that_wait_for_one_server_both_get_in(
    context: BrowserContext, canvas: Canvas, hub: Hub, button: str, tmp_path: Path
) -> None:
    canvas.target = "/hub/user-redirect/lab"
    tabs = [context.new_page(), context.new_page()]
    for tab in tabs:
        tab.goto(button)
    for tab in tabs:
        tab.get_by_role("button").click(no_wait_after=True)
    try:
        ended = [opened(tab) for tab in tabs]
        tabs[1].screenshot(path=tmp_path / "lab.png")
        assert ended == ["JupyterLab", "JupyterLab"]
    finally:
        tabs[1].close()
        stop_server(hub, tabs[0])


def test_a_login_that_comes_back_with_another_state_begins_again_and_logs_nobody_in(
    context: BrowserContext, canvas: Canvas, hub: Hub, student_port: int
) -> None:
    canvas.target = "/hub/user-redirect/lab"
    page = context.new_page()
    click(page, f"{LMS}/11")
    try:
        assert opened(page) == "JupyterLab"
        # The page of before, from the browser's history, in which its cookies are gone; and one that somebody made up.
        context.clear_cookies(name="jupyterhub-user-ada")
        page.goto(f"{PUBLIC_URL}user/ada/oauth_callback?code=made-up&state=made-up")
        assert opened(page) == "JupyterLab", "by the hub's own session, not by the code"
        # Another browser, which is nobody's and keeps no cookies: sent round a few times, and then told.
        answers = [
            httpx.get(f"http://127.0.0.1:{student_port}/user/ada/oauth_callback?code=x&state=y", verify=False)
            for _ in range(8)
        ]
        assert {each.headers.get("location") for each in answers} == {"/user/ada/", None}
        assert (answers[0].status_code, answers[-1].status_code) == (302, 403)
        assert "did not keep the cookie" in answers[-1].text and '/hub/home"' in answers[-1].text
        assert not [each for each in answers if "jupyterhub-user-ada=" in each.headers.get("set-cookie", "")]
    finally:
        stop_server(hub, page)
