"""The pages for who teaches, in Chromium as a person uses them: what a link opens, grades, exams. Desktop and phone, light
and dark, keyboard alone, a double click, back and reload.

A real hub with TLS before it, and an LMS whose pages show it in a frame. Pictures go to HUBRUN_PICTURES if it is set.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Frame, Page, Route, expect, sync_playwright

from hub_front import FLAGS
from hubrun.params import build
from hubrun.sections.hub import config
from hubrun_hub.gradebooks.serve import serve
from lms_site import Site, TlsFront, form_page, serving_site
from lti_hub import KEY, SECRET, Hub
from lti_hub import Browser as Visitor
from lti_platform import MEMBERSHIP
from lti_services import ServicesLms
from nbgrader_book import Book

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]
expect.set_options(timeout=60_000)  # ms; a page goes between two servers on a machine that does other things

DESKTOP, PHONE = {"width": 1000, "height": 760}, {"width": 390, "height": 760}
LOOKS = [(DESKTOP, "light"), (PHONE, "dark")]
DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
COURSE = {"id": "bio", "label": "BIO 101", "title": "Biology for the second year: from cells to ecosystems"}
ASSIGNMENTS = ["ps1", "homework-02-enzymes-and-metabolism", *(f"lab{number}" for number in range(3, 13))]
SETTINGS = """
from pathlib import Path
from hubrun_hub.exams import page
page.Exams.site_file, page.Exams.changes_file = Path("site.json"), Path("exams.json")
c.JupyterHub.extra_handlers = page.ROUTES
c.JupyterHub.public_url = {url!r}
c.JupyterHub.tornado_settings = {{"cookie_options": {{"samesite": "Lax", "secure": True}}}}
c.LaunchAuthenticator.services = True
c.LaunchAuthenticator.inner_addresses = True
c.LaunchAuthenticator.gradebook_socket = {socket!r}
"""


def zone(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def exams() -> str:
    """One in an hour, for which an address and an assignment are given."""
    now = datetime.now(UTC)
    exam = {
        "from": zone(now + timedelta(hours=1)), "until": zone(now + timedelta(hours=3)),
        "hosts": ["canvas.example.edu", "docs.python.org", "biology-dictionary.example.org"], "assignment": "midterm",
    }  # fmt: skip
    site = build(
        {"site": "x", "domain": "hub.example.edu", "courses": [{"course": COURSE["id"], "exam": exam}]}, "here"
    )
    return config.filter_settings(site)


@dataclass
class World:
    """An LMS with its course and its gradebook, and the hub at `url`."""

    site: Site
    lms: ServicesLms
    hub: Hub
    url: str
    book: Book

    def begin(self, name: str) -> str:
        """Where a click in the LMS leads; `name`: user, and what is launched."""
        said = {"iss": self.lms.issuer, "client_id": self.lms.client_id, "login_hint": name}
        return f"{self.url}/hub/lti13/oauth_login?{urlencode(said | {'target_link_uri': self.lms.launch_url})}"

    def authorize(self, question: dict[str, str]) -> str:
        """The LMS's answer to the hub, which a form of its page sends."""
        name, _, going_on = question["login_hint"].partition(" ")
        staff = {"roles": [f"{MEMBERSHIP}#Instructor"]} if name == "tea" else {}
        if going_on == "pick":
            back = {"deep_link_return_url": f"{self.site.url}/picked", "accept_types": ["ltiResourceLink"]}
            said = self.lms.claims(
                question, name, context=COURSE, message_type="LtiDeepLinkingRequest", resource_link=None, **staff
            ) | {f"{DL}deep_linking_settings": back}
        else:
            said = (
                self.lms.claims(question, name, context=COURSE, custom={"next": going_on}, **staff)
                | self.lms.services()
            )
            said |= {"name": f"{name.title()} Lovelace-Featherstonehaugh"}
        return form_page(
            question["redirect_uri"], {"id_token": self.lms.key.sign(said), "state": question["state"]}, submit=True
        )

    def class_of(self) -> None:
        """Students who launched from the course, and what they handed in: grades of each kind."""
        for name in ("ada", "bob", "cho", "dan", "eve", "gus"):
            self.lms.students[name] = (f"{name.title()} Lovelace", "Learner", "Inactive" if name == "gus" else "Active")
            self.came(name)
        self.lms.students["new"] = ("Newton", "Learner", "Active")
        for name in ASSIGNMENTS:
            self.book.assignment(name)
        for name, points in (("ada", 2.0), ("bob", 1.0), ("cho", 2.0), ("gus", 0.5), ("stranger", 2.0)):
            self.book.submit("ps1", name, points)
        self.book.submit("ps1", "dan", 1.0, waits=True)

    def came(self, *names: str) -> None:
        """These launched, without a browser's window."""
        for name in names:
            visitor = Visitor(self.hub)
            question = {
                key: values[0] for key, values in parse_qs(urlsplit(visitor.get(self.begin(name)[len(self.url) :]).location).query).items()
            }  # fmt: skip
            fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', self.authorize(question)))
            assert visitor.post(
                urlsplit(question["redirect_uri"]).path, {k: html.unescape(v) for k, v in fields.items()}
            ).logged_in


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("staff")
    (folder / "hub").mkdir()
    (folder / "hub" / "site.json").write_text(exams())
    path, book = str(folder / "socket"), Book(folder / "courses", COURSE["id"])
    lms, hub = ServicesLms(KEY, SECRET), Hub(folder / "hub")
    front = TlsFront("hub.localhost", folder, lambda _: hub.port)
    lms.launch_url = f"{front.url}/hub/lti/launch"
    with socket.socket(socket.AF_UNIX) as listener, serving_site("lms.localhost", folder) as site:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=_answer, args=(listener, folder / "courses"), daemon=True).start()
        with (hub.folder / "jupyterhub_config.py").open("a") as settings:
            settings.write(SETTINGS.format(url=f"{front.url}/", socket=path))
        given = lms.settings(token_url=lms.token_url, prefix="", authorize_url=f"{site.url}/authorize")
        (hub.folder / "consumers.d" / "default.json").write_text(given)
        world = World(site, lms, hub, front.url, book)
        site.pages = {
            "/authorize": world.authorize,
            "/modules": lambda _: (
                '<!doctype html><meta name="viewport" content="width=device-width"><title>Canvas</title><h1>Add an item</h1>'
                f'<iframe title="JupyterHub" src="{html.escape(world.begin("tea pick"))}" style="width:100%;height:600px"></iframe>'
            ),
        }
        hub.start()
        try:
            world.class_of()
            yield world
        finally:
            hub.stop()
            listener.shutdown(socket.SHUT_RDWR)
    front.close()
    lms.close()
    assert lms.broken == []


def _answer(listener: socket.socket, courses: Path) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        serve(connection, courses)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "there is no Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def window(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a window of a browser of its own."""
    opened: list[BrowserContext] = []

    def open_one(screen: dict[str, int] = DESKTOP, theme: Any = "light") -> Page:
        phone = screen is PHONE
        opened.append(
            chromium.new_context(
                ignore_https_errors=True, viewport=screen, color_scheme=theme, is_mobile=phone, has_touch=phone  # type: ignore[arg-type]
            )
        )  # fmt: skip
        opened[-1].set_default_timeout(60_000)
        return opened[-1].new_page()

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Page, str], None]:
    folder = Path(os.environ.get("HUBRUN_PICTURES", tmp_path))
    return lambda page, name: page.screenshot(path=folder / f"staff-{name}.png", full_page=True) and None


def reads_well(page: Page, frame: Frame | None = None) -> None:
    """Nothing to scroll sideways, and nothing that axe calls serious."""
    shown = frame or page.main_frame
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it is wider than the window"
    grave = [each for each in Axe().run(shown).response["violations"] if each["impact"] in ("serious", "critical")]  # type: ignore[arg-type]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in grave] == []


# -- what a link opens


def picker(page: Page, world: World) -> Frame:
    page.goto(f"{world.site.url}/modules")
    expect(page.frame_locator("iframe").get_by_role("heading", name="What does the link open?")).to_be_visible()
    return page.frames[1]


def know_the_tool(world: World) -> None:
    """The LMS fetches the tool's keys, as LMSs do when they do not know one."""
    world.lms.tool_keys = Visitor(world.hub).get("/hub/lti13/jwks").response.json()["keys"]


def taken(page: Page, world: World) -> list[dict[str, Any]]:
    """What the LMS gets from here on: the content item of each answer."""
    got: list[dict[str, Any]] = []

    def take(route: Route) -> None:
        know_the_tool(world)  # the hub made its key to sign this
        said = world.lms.verified(parse_qs(route.request.post_data or "")["JWT"][0])
        assert said is not None
        got.extend(said[f"{DL}content_items"])
        route.fulfill(content_type="text/html", body="<!doctype html><title>Canvas</title><p>The item is added.</p>")

    page.route(f"{world.site.url}/picked", take)
    return got


@pytest.mark.parametrize(("screen", "theme"), LOOKS)
def test_the_picker_can_be_read_in_the_lms_on_every_screen(
    world: World, window: Any, picture: Any, screen: dict[str, int], theme: str
) -> None:
    page = window(screen, theme)
    frame = picker(page, world)
    name = f"{screen['width']}-{theme}"
    picture(page, f"pick-{name}-1")
    frame.get_by_label("A notebook from git").check()
    picture(page, f"pick-{name}-2-git")
    reads_well(page, frame)
    frame.get_by_label("An nbgrader assignment of this course").check()
    picture(page, f"pick-{name}-3-assignment")
    reads_well(page, frame)
    frame.get_by_label("A notebook from git").check()
    frame.get_by_label("Address of the repository").fill("https://127.0.0.1:9/school/course")
    frame.get_by_role("button", name="Use this").click()
    expect(frame.get_by_role("alert")).to_contain_text("cannot be reached")
    picture(page, f"pick-{name}-4-wrong")
    reads_well(page, frame)


def test_the_picker_works_by_keyboard_alone_after_a_reload_and_with_a_double_click(
    world: World, window: Any, picture: Any
) -> None:
    page = window()
    items = taken(page, world)
    frame = picker(page, world)
    frame.get_by_label("JupyterHub itself").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(frame.get_by_label("An nbgrader assignment of this course")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("ps1")
    page.keyboard.press("Tab")
    page.keyboard.type("20")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(frame.get_by_label("Take each student's work when it is due")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("The first lab")
    page.keyboard.press("Enter")
    expect(page.frame_locator("iframe").get_by_text("The item is added.")).to_be_visible()
    assert [(each["title"], each["lineItem"]["label"], each["lineItem"]["scoreMaximum"]) for each in items] == [
        ("The first lab", "ps1", 20.0)
    ]
    assert items[0]["custom"]["assignment"] == "ps1" and items[0]["custom"]["due"].startswith("$ResourceLink")
    picker(page, world)
    page.reload()
    shown = page.frame_locator("iframe")
    expect(shown.locator("#lti-pick, #lti-refused")).to_be_visible()
    picture(page, "pick-reload")
    picker(page, world).get_by_role("button", name="Use this").dblclick()
    expect(shown.get_by_text("The item is added.")).to_be_visible()
    assert items[-1]["title"] == "JupyterHub"


# -- grades


def grades(page: Page, world: World) -> None:
    page.goto(world.begin(f"tea /hub/lti/grades/{COURSE['id']}?assignment=ps1"))
    expect(page.get_by_role("heading", name="Grades of")).to_be_visible()


@pytest.mark.parametrize(("screen", "theme"), LOOKS)
def test_the_preview_of_grades_can_be_read_on_every_screen(
    world: World, window: Any, picture: Any, screen: dict[str, int], theme: str
) -> None:
    know_the_tool(world)
    page = window(screen, theme)
    grades(page, world)
    picture(page, f"grades-{screen['width']}-{theme}")
    reads_well(page)
    page.goto(f"{world.url}/hub/lti/grades")
    picture(page, f"grades-courses-{screen['width']}-{theme}")
    reads_well(page)


def test_a_double_click_on_send_sends_once_and_says_so(world: World, window: Any, picture: Any) -> None:
    page = window()
    grades(page, world)
    page.get_by_role("button", name="Send grades").dblclick()
    expect(page.get_by_role("status")).to_have_text("3 of 3 grades arrived.")
    picture(page, "grades-sent")
    assert sorted(each["userId"] for each in world.lms.posted) == ["ada", "bob", "cho"]
    page.reload()
    expect(page.get_by_role("status")).to_have_text("3 of 3 grades arrived.")
    page.go_back()
    page.get_by_role("button", name="Send grades").click()
    # Whether a browser kept the page as it was, or fetched it anew.
    expect(page.get_by_role("status")).to_have_text(re.compile("Nothing was sent|There was nothing to send"))
    assert len(world.lms.posted) == 3
    world.lms.by_hand("c1", "ada", 9.0)
    world.book.submit("ps1", "bob", 2.0)
    grades(page, world)
    page.get_by_text("What was sent").click()
    picture(page, "grades-by-hand")
    reads_well(page)
    page.get_by_label("somebody changed it").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("2 of 2 grades arrived.")
    assert sorted(each["userId"] for each in world.lms.posted[3:]) == ["ada", "bob"]


# -- exams


@pytest.mark.parametrize(("screen", "theme"), LOOKS)
def test_the_page_of_exams_can_be_read_on_every_screen(
    world: World, window: Any, picture: Any, screen: dict[str, int], theme: str
) -> None:
    page = window(screen, theme)
    page.goto(world.begin("tea /hub/exams"))
    expect(page.get_by_role("heading", name="Exams of your courses")).to_be_visible()
    picture(page, f"exams-{screen['width']}-{theme}")
    reads_well(page)
    page.goto(f"{world.url}/hub/home")
    picture(page, f"home-{screen['width']}-{theme}")
    reads_well(page)


def test_an_exam_begins_and_ends_by_keyboard_and_not_by_a_slip(world: World, window: Any, picture: Any) -> None:
    student = window(PHONE)
    student.goto(world.begin("ada /hub/exams"))
    expect(student.get_by_text("No course that you teach has an exam.")).to_be_visible()
    picture(student, "exams-student")
    page = window()
    page.goto(world.begin("tea /hub/exams"))
    page.get_by_role("button", name="Begin now").dblclick()
    expect(page.get_by_text("It is to come")).to_be_visible()  # not before it is ticked
    page.get_by_label("The exam begins for everybody.").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="10 minutes more")).to_be_visible()
    picture(page, "exams-now")
    page.reload()
    until = datetime.strptime((page.locator(".exam-until").text_content() or "")[-5:], "%H:%M") + timedelta(minutes=10)
    page.get_by_role("button", name="10 minutes more").dblclick()
    expect(page.locator(".exam-until")).to_have_text(re.compile(f"{until:%H:%M}$"))
    picture(page, "exams-more")
    page.get_by_label("The exam ends for everybody, and for good.").check()
    page.get_by_role("button", name="End it now").click()
    expect(page.get_by_text("It is over")).to_be_visible()
    picture(page, "exams-over")
    reads_well(page)
