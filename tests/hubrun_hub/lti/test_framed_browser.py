"""Launches into a frame in Chromium: from the LMS's page to JupyterLab, whatever the browser does with cookies.

A real hub and a real JupyterLab on this machine, with TLS before them. The pictures go to HUBRUN_PICTURES if it is set.
"""

from __future__ import annotations

import html
import json
import os
import random
import shutil
import site as python_site
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, FrameLocator, Page, Playwright, Route, expect, sync_playwright

from lms_site import Site, TlsFront, form_page, serving_site
from lti_hub import KEY, SECRET, Hub, hub_python
from lti_platform import Platform, signed_form

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]
expect.set_options(timeout=30_000)  # ms; on a machine that does other things a page takes longer than 5 s

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP, PHONE = {"width": 1000, "height": 700}, {"width": 390, "height": 760}
# Chromium's preferences (components/content_settings): what a person chooses in its settings.
KEEPS: dict[str, dict[str, Any]] = {
    "all cookies": {"cookie_controls_mode": 0, "block_third_party_cookies": False},
    "no third-party cookies": {"cookie_controls_mode": 1, "block_third_party_cookies": True},
    "no cookies": {"default_content_setting_values": {"cookies": 2}},
}
SETTINGS = """
c.JupyterHub.public_url = {url!r}
c.JupyterHub.tornado_settings = {{"cookie_options": {{"samesite": "Lax", "secure": True}}}}
c.JupyterHub.cookie_max_age_days = 7
c.Spawner.port = {port}
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.args = ["--allow-root", "--ServerApp.jpserver_extensions=jupyterlab=True"]
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.Spawner.default_url = "/lab"
# JupyterLab is in the environment of the tests.
c.Spawner.environment = {{
    "PYTHONPATH": {packages!r}, "JUPYTER_PATH": "{home}/share/jupyter", "JUPYTERLAB_DIR": "{home}/share/jupyter/lab",
}}
"""


@dataclass
class World:
    """An LMS's site, whose pages /lti11 and /lti13 show the hub in a frame, the hub, and two other sites."""

    lms: Site
    hub: str
    platform: Platform
    evil: Site
    learning: Site

    def form(self, username: str = "ada", secret: str = SECRET) -> dict[str, str]:
        return signed_form(
            f"{self.hub}/hub/lti/launch", KEY, secret, username, launch_presentation_return_url=f"{self.lms.url}/course",
            launch_presentation_document_target="iframe", custom_next="/hub/user-redirect/lab",
        )  # fmt: skip

    def authorize(self, question: dict[str, str]) -> str:
        shown = {"document_target": "iframe", "return_url": f"{self.lms.url}/course"}
        claims = self.platform.claims(
            question, "ada", launch_presentation=shown, custom={"next": "/hub/user-redirect/lab"}
        )
        fields = {"id_token": self.platform.key.sign(claims), "state": question["state"]}
        return form_page(question["redirect_uri"], fields, submit=True)


def frame_page(address: str) -> str:
    """A page of a course, in the way of Moodle, with a frame in it."""
    return (
        '<!doctype html><meta name="viewport" content="width=device-width"><title>Course</title><h1>Biology 101</h1>'
        f'<iframe src="{html.escape(address)}" style="width:100%;height:420px;border:1px solid #999"></iframe>'
    )


def free_port() -> int:
    """A port that no connection gets by chance before the server takes it (ip(7), ip_local_port_range)."""
    for port in random.sample(range(20_000, 30_000), 50):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("framed")
    port = free_port()
    hub = Hub(folder / "hub")
    front = TlsFront("hub.localhost", folder, lambda path: port if path.startswith("/user/") else hub.port)
    packages = next(path for path in python_site.getsitepackages() if (Path(path) / "jupyterlab").exists())
    config = hub.folder / "jupyterhub_config.py"
    config.write_text(
        config.read_text()
        + SETTINGS.format(
            url=f"{front.url}/", port=port, packages=packages, singleuser=str(hub_python().with_name("jupyterhub-singleuser")),
            home=sys.prefix,
        )
    )  # fmt: skip
    hub.consumer("default", KEY, SECRET)
    with (
        serving_site("lms.localhost", folder) as lms,
        serving_site("evil.localhost", folder) as evil,
        serving_site("learning.localhost", folder) as learning,
    ):
        platform = Platform(lms.url, "tool-1", lms.url, f"{front.url}/")
        settings = json.loads(platform.settings(jwks={"keys": [platform.key.jwk]}, prefix=""))
        del settings["jwks_url"]
        (hub.folder / "consumers.d" / "default.json").write_text(json.dumps(settings))
        with config.open("a") as settings_file:
            settings_file.write(f"c.LaunchAuthenticator.frame_ancestors = [{learning.url!r}]\n")
        hub.start()
        world = World(lms, front.url, platform, evil, learning)
        learning.pages = {"/": lambda _: frame_page(f"{lms.url}/lti11")}
        begin = {"iss": lms.url, "client_id": "tool-1", "login_hint": "hint", "target_link_uri": platform.launch_url}
        lms.pages = {
            "/lti11": lambda _: frame_page(f"{lms.url}/launch"),
            "/launch": lambda _: form_page(f"{front.url}/hub/lti/launch", world.form(), submit=True),
            "/lti13": lambda _: frame_page(f"{front.url}/hub/lti13/oauth_login?{urlencode(begin)}"),
            "/authorize": world.authorize,
        }
        try:
            yield world
        finally:
            hub.stop()
    front.close()


@pytest.fixture(scope="module")
def started() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def browser(started: Playwright, tmp_path: Path) -> Callable[..., Any]:
    """Starts a Chromium with the cookies that somebody chose."""

    @contextmanager
    def start(keeps: str = "no third-party cookies", screen: dict[str, int] = DESKTOP) -> Iterator[BrowserContext]:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        assert path, "there is no Chromium (Debian: apt-get install chromium)"
        profile = tmp_path / keeps.replace(" ", "-")
        (profile / "Default").mkdir(parents=True, exist_ok=True)
        (profile / "Default" / "Preferences").write_text(json.dumps({"profile": KEEPS[keeps]}))
        phone = screen is PHONE
        context = started.chromium.launch_persistent_context(
            profile, executable_path=path, args=list(FLAGS), ignore_https_errors=True, viewport=screen,  # type: ignore[arg-type]
            is_mobile=phone, has_touch=phone, color_scheme="light",
        )  # fmt: skip
        try:
            yield context
        finally:
            context.close()

    return start


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Page, str], None]:
    folder = Path(os.environ.get("HUBRUN_PICTURES", tmp_path))
    return lambda page, name: page.screenshot(path=folder / f"framed-{name}.png") and None


def open_frame(context: BrowserContext, address: str) -> tuple[Page, FrameLocator]:
    page = context.new_page()
    page.goto(address)
    return page, page.frame_locator("iframe")


def click_open(context: BrowserContext, frame: FrameLocator) -> Page:
    with context.expect_page() as opened:
        frame.get_by_role("button", name="Open JupyterHub").click()
    return opened.value


def see_lab(tab: Page, world: World) -> None:
    tab.wait_for_url(f"{world.hub}/user/ada/lab**", timeout=100_000)
    tab.get_by_role("main").get_by_text("Notebook", exact=True).first.wait_for(timeout=100_000)


@pytest.mark.parametrize(
    ("keeps", "screen"),
    [("all cookies", DESKTOP), ("no third-party cookies", DESKTOP), ("no third-party cookies", PHONE)],
    ids=["cookies", "no third-party cookies", "phone"],
)
@pytest.mark.parametrize("version", ["lti11", "lti13"])
def test_a_button_in_the_frame_opens_jupyterlab_in_a_tab(
    browser: Any, world: World, picture: Any, version: str, keeps: str, screen: dict[str, int]
) -> None:
    name = f"{version}-{keeps.replace(' ', '-')}-{screen['width']}"
    with browser(keeps, screen) as context:
        page, frame = open_frame(context, f"{world.lms.url}/{version}")
        expect(frame.get_by_role("heading", name="Open JupyterHub in a new tab")).to_be_visible()
        picture(page, f"{name}-1-frame")
        inner = page.frames[1]
        assert inner.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing to scroll sideways"
        tab = click_open(context, frame)
        see_lab(tab, world)
        picture(tab, f"{name}-2-lab")
        expect(frame.get_by_text("JupyterHub opens in a new tab.")).to_be_visible()
        picture(page, f"{name}-3-frame-then")
        assert tab.evaluate("window.opener === null")
        tab.reload()
        see_lab(tab, world)
        if version == "lti11" and keeps == "no third-party cookies":
            cookies = {cookie["name"] for cookie in context.cookies(f"{world.hub}/hub/")}
            assert "jupyterhub-hub-login" in cookies


def test_third_party_cookies_are_blocked_where_a_test_says_so(browser: Any, world: World) -> None:
    for keeps, kept in (("all cookies", True), ("no third-party cookies", False)):
        with browser(keeps) as context:
            _, frame = open_frame(context, f"{world.lms.url}/lti13")
            expect(frame.get_by_role("button", name="Open JupyterHub")).to_be_visible()
            # The cookie of the login is gone at its end; what is seen is whether one could have been set in that frame.
            sent = frame.locator("body").evaluate(
                "() => { document.cookie = 'probe=1; SameSite=None; Secure; path=/'; return document.cookie.includes('probe') }"
            )
            assert sent == kept, keeps


def test_a_double_click_and_a_second_tab_end_in_jupyterlab(browser: Any, world: World, picture: Any) -> None:
    with browser() as context:
        page, frame = open_frame(context, f"{world.lms.url}/lti11")
        warm = click_open(context, frame)
        see_lab(warm, world)  # their server runs from then on
        warm.close()
        page.reload()
        button = frame.get_by_role("button", name="Open JupyterHub")
        before = context.pages
        # Faster than the page can take its button away: the form is sent twice.
        with context.expect_page() as opened:
            button.evaluate("button => { button.form.submit(); button.form.submit() }")
        first = opened.value
        page.wait_for_timeout(3000)
        tabs = [tab for tab in context.pages if tab not in before]  # that both come to the hub is waited for below
        assert len(tabs) == 2 and first in tabs
        for tab in tabs:
            see_lab(tab, world)
    with browser("all cookies") as context:
        _, frame = open_frame(context, f"{world.lms.url}/lti11")
        with context.expect_page() as opened:
            frame.get_by_role("button", name="Open JupyterHub").dblclick()
        see_lab(opened.value, world)
        opened.value.wait_for_timeout(1000)
        assert len([tab for tab in context.pages if tab.url.startswith(world.hub)]) == 1


def test_back_and_reload_in_the_course_bring_a_button_again(browser: Any, world: World) -> None:
    with browser() as context:
        page, frame = open_frame(context, f"{world.lms.url}/lti11")
        see_lab(click_open(context, frame), world)
        page.bring_to_front()
        page.reload()
        see_lab(click_open(context, frame), world)
        page.bring_to_front()
        page.goto(f"{world.lms.url}/lti13")
        expect(frame.get_by_role("button", name="Open JupyterHub")).to_be_visible()
        page.go_back()
        page.reload()
        tab = click_open(context, frame)
        see_lab(tab, world)
        tab.go_back()
        assert tab.url == "about:blank" or tab.url.startswith(f"{world.hub}/user/ada/lab")


@pytest.mark.parametrize("version", ["lti11", "lti13"])
def test_a_browser_that_keeps_no_cookies_is_told_so(browser: Any, world: World, picture: Any, version: str) -> None:
    with browser("no cookies") as context:
        _, frame = open_frame(context, f"{world.lms.url}/{version}")
        tab = click_open(context, frame)
        expect(tab.get_by_text("Your browser keeps no cookies of this site")).to_be_visible()
        picture(tab, f"{version}-no-cookies")
        asked = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.wait_for_timeout(1500)
        assert not [url for url in asked if "/hub/l" in url], "and stays there"


def test_a_button_that_is_over_says_so_and_works_no_more(browser: Any, world: World, picture: Any) -> None:
    with browser(screen=PHONE) as context:
        page = context.new_page()
        page.clock.install()
        page.goto(f"{world.lms.url}/lti11")
        frame = page.frame_locator("iframe")
        expect(frame.get_by_role("button", name="Open JupyterHub")).to_be_visible()
        page.clock.fast_forward(61_000)
        expect(frame.get_by_text("This button was good for one minute.")).to_be_visible()
        expect(frame.get_by_role("button")).to_have_count(0)
        picture(page, "over")


def test_a_help_page_is_seen_in_the_frame(browser: Any, world: World, picture: Any) -> None:
    for screen in (DESKTOP, PHONE):
        with browser(screen=screen) as context:
            world.lms.pages["/bad"] = lambda _: form_page(
                f"{world.hub}/hub/lti/launch", world.form(secret="wrong"), submit=True
            )
            world.lms.pages["/refused"] = lambda _: frame_page(f"{world.lms.url}/bad")
            page, frame = open_frame(context, f"{world.lms.url}/refused")
            expect(frame.get_by_role("heading", name="This launch is not trusted")).to_be_visible()
            picture(page, f"refused-{screen['width']}")


def test_another_site_cannot_show_the_button_of_a_students_own_launch(browser: Any, world: World) -> None:
    with browser("all cookies") as context:
        world.evil.pages = {
            "/": lambda _: frame_page(f"{world.evil.url}/send"),
            "/send": lambda _: form_page(f"{world.hub}/hub/lti/launch", world.form("mallory2"), submit=True),
            "/top": lambda _: form_page(f"{world.hub}/hub/lti/launch", world.form("mallory2"), submit=True),
            "/around": lambda _: frame_page(f"{world.lms.url}/lti11"),
        }
        for path in ("/", "/around"):
            page, frame = open_frame(context, f"{world.evil.url}{path}")
            page.wait_for_timeout(1500)
            expect(frame.get_by_role("button", name="Open JupyterHub")).to_have_count(0)
        page = context.new_page()
        page.goto(f"{world.evil.url}/top")
        expect(page.get_by_role("heading", name="Is this you?")).to_be_visible()


def test_an_lms_that_is_in_a_frame_itself_works_where_the_operator_names_the_site(browser: Any, world: World) -> None:
    """Open edX: the learning pages have a host of their own, and show the LMS in a frame."""
    with browser() as context:
        _, frame = open_frame(context, world.learning.url)
        see_lab(click_open(context, frame.frame_locator("iframe")), world)


def without_metadata(context: BrowserContext, world: World) -> None:
    """Make it an older browser: one that does not say where a page goes."""

    def strip(route: Route) -> None:
        headers = route.request.headers.items()
        route.continue_(headers={name: value for name, value in headers if not name.startswith("sec-fetch-")})

    context.route(f"{world.hub}/hub/lti/launch", strip)


def test_an_older_browser_in_a_tab_of_its_own_goes_on_by_itself(browser: Any, world: World) -> None:
    """Where the LMS calls each launch framed, as Canvas does."""
    with browser() as context:
        without_metadata(context, world)
        page = context.new_page()
        page.goto(f"{world.lms.url}/launch")
        see_lab(page, world)


def test_the_page_can_be_read_by_everybody(browser: Any, world: World) -> None:
    with browser(screen=PHONE) as context:
        page, frame = open_frame(context, f"{world.lms.url}/lti11")
        expect(frame.get_by_role("button", name="Open JupyterHub")).to_be_visible()
        violations = Axe().run(page.frames[1]).response["violations"]
        grave = [each for each in violations if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in grave] == []
