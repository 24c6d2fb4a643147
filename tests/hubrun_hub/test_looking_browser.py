"""A look in a real browser: a hub of this machine, a JupyterLab with what the students' image has, an address for each.

No Docker and no nginx (`test_clicks_browser`). Pictures of what teacher and student see are in the test's folder.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from hub_front import FLAGS, front, serve_tls
from hubrun.environment import PROJECT
from hubrun_hub.lti.user_hosts import host
from lti_hub import HOST, PUBLIC_URL, Hub, form, running_hub
from own_certificate import write_certificate
from student_server import student_python

pytestmark = [pytest.mark.hub, pytest.mark.slow, pytest.mark.timeout(600)]

LOOKS = PROJECT / "lib" / "hubrun_student" / "looks"
NAME, _, PORT = HOST.partition(":")
NAMES = (NAME, host("ada", NAME))
ADA = f"https://{NAMES[1]}:{PORT}/user/ada/"
SITE = {"course_settings": [{"course": "BIO", "staff_may_look": True}]}
LMS = "https://canvas.example.edu/courses/101"
CONFIG = """
from jupyterhub.spawner import SimpleLocalProcessSpawner
from hubrun_hub.looking import page
from hubrun_hub.looking.spawner import Looked
from hubrun_hub.lti.user_hosts import host

class Small(Looked, SimpleLocalProcessSpawner):
    site_file = "site.json"

page.Looks.site_file = "site.json"
c.JupyterHub.subdomain_host = "https://{host}"
c.JupyterHub.subdomain_hook = host
c.JupyterHub.cookie_host_prefix_enabled = True
c.JupyterHub.tornado_settings = {{"cookie_options": {{"samesite": "Lax", "secure": True}}}}
c.JupyterHub.oauth_require_pkce = True
c.JupyterHub.spawner_class = Small
c.JupyterHub.extra_handlers = page.ROUTES
c.Spawner.poll_interval = 2
c.Spawner.default_url = "/lab"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.port = {port}
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.Spawner.environment = {{"PYTHONPATH": {lib!r}, "JUPYTER_CONFIG_PATH": {extensions!r}, "JUPYTER_PATH": {jupyter!r}}}
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def student_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, student_port: int) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("look")
    shutil.copytree(LOOKS / "labextension", folder / "share" / "labextensions" / "hubrun-looks")
    (folder / "hub").mkdir()
    (folder / "hub" / "site.json").write_text(json.dumps(SITE))
    settings = CONFIG.format(
        host=HOST, python=str(student_python()), port=student_port, lib=str(PROJECT / "lib"), home=str(folder / "home"),
        extensions=os.pathsep.join(map(str, (LOOKS, LOOKS.parent / "oauth"))), jupyter=str(folder / "share"),
    )  # fmt: skip
    with running_hub(folder / "hub", settings) as hub:
        yield hub
        hub.api("DELETE", "/users/ada/server", timeout=60)


@pytest.fixture(scope="module")
def chromium(hub: Hub, student_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "there is no Chromium (Debian: apt-get install chromium)"
    ours = serve_tls(front(hub.port, student_port), write_certificate(tmp_path_factory.mktemp("tls"), *NAMES))
    rules = ", ".join(f"MAP {name}:{PORT} 127.0.0.1:{ours.server_port}" for name in NAMES)
    with sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=path,
            args=[*FLAGS, f"--host-resolver-rules={rules}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield opened
        opened.close()
    ours.shutdown()
    ours.server_close()


def launched(chromium: Browser, name: str, role: str, path: str) -> Page:
    """A browser of its own, in which somebody has launched from BIO."""
    context: BrowserContext = chromium.new_context(ignore_https_errors=True, viewport={"width": 1200, "height": 700})
    page = context.new_page()
    fields = form(name, course="BIO", role=role, custom_next=path, launch_presentation_return_url=LMS)
    inputs = "".join(f'<input type="hidden" name="{key}" value="{escape(value)}">' for key, value in fields.items())
    shown = f'<form method="post" action="{PUBLIC_URL}hub/lti/launch">{inputs}<button>Open</button></form>'
    page.route(f"{LMS}**", lambda route: route.fulfill(body=shown, content_type="text/html"))
    page.goto(LMS)
    page.get_by_role("button").click()
    return page


def terminal(port: int, token: str, name: str) -> socket.socket:
    """A websocket at a terminal of ada's server, with somebody's token."""
    opened = socket.create_connection(("127.0.0.1", port), 20)
    key = base64.b64encode(os.urandom(16)).decode()
    opened.sendall(
        f"GET /user/ada/terminals/websocket/{name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: token {token}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b"101" in opened.recv(4096).split(b"\r\n")[0]
    return opened


def is_closed(opened: socket.socket, seconds: float) -> bool:
    """Whether the other side ends it within this time, whatever else it sends."""
    opened.settimeout(seconds)
    try:
        while data := opened.recv(65536):
            if data[0] == 0x88:  # a frame that closes (RFC 6455, 5.2)
                return True
        return True
    except TimeoutError:
        return False


def reads_well(page: Page) -> None:
    """Nothing to scroll sideways on a phone, and nothing that axe calls serious."""
    before = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 760})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing to scroll sideways"
    grave = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in grave] == []
    assert before
    page.set_viewport_size(before)


def config_of(page: Page) -> dict[str, Any]:
    return dict(json.loads(page.locator("#jupyter-config-data").text_content() or "{}"))


def test_the_student_sees_who_looks_and_afterwards_who_did(
    hub: Hub, chromium: Browser, student_port: int, tmp_path: Path
) -> None:
    ada = launched(chromium, "ada", "Learner", "/hub/spawn")
    ada.wait_for_url(f"{ADA}lab**", timeout=120_000, wait_until="commit")
    expect(ada.locator("#jp-main-dock-panel")).to_be_visible(timeout=120_000)
    bar = ada.locator("#hubrun-looks")
    expect(bar).to_be_hidden()

    tea = launched(chromium, "tea", "Instructor", "/hub/looks")
    look = tea.get_by_role("button", name="Look", exact=True)
    expect(look).to_be_visible()
    tea.screenshot(path=tmp_path / "page.png")
    reads_well(tea)
    look.click()
    expect(tea.locator("body")).to_contain_text("Authorize", timeout=20_000)
    tea.screenshot(path=tmp_path / "asked.png")
    tea.get_by_role("button", name="Authorize").click()
    tea.wait_for_url(f"{ADA}lab**", timeout=60_000, wait_until="commit")
    expect(tea.locator("#hubrun-looks")).to_contain_text("teaches ada looks at this server: tea until", timeout=120_000)
    tea.screenshot(path=tmp_path / "teacher.png")
    expect(bar).to_contain_text("Somebody who teaches you looks at this server: tea until", timeout=20_000)
    ada.screenshot(path=tmp_path / "student.png")
    ada.set_viewport_size({"width": 390, "height": 760})
    ada.emulate_media(color_scheme="dark")
    box = bar.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 760
    ada.screenshot(path=tmp_path / "student-phone.png")
    ada.set_viewport_size({"width": 1200, "height": 700})

    hers, theirs = config_of(ada)["token"], config_of(tea)["token"]
    made = httpx.post(
        f"http://127.0.0.1:{student_port}/user/ada/api/terminals",
        headers={"Authorization": f"token {hers}"},
        verify=False,
    ).json()["name"]
    of_ada, of_tea = (terminal(student_port, token, made) for token in (hers, theirs))
    assert not is_closed(of_tea, 1)

    again = tea.context.new_page()
    again.goto(f"{PUBLIC_URL}hub/looks")
    again.screenshot(path=tmp_path / "page-then.png")
    again.get_by_role("button", name="Done").dblclick()
    expect(again.get_by_role("button", name="Done")).to_be_hidden()
    assert is_closed(of_tea, 5) and not is_closed(of_ada, 1)
    answer = httpx.get(
        f"http://127.0.0.1:{student_port}/user/ada/api/contents",
        headers={"Authorization": f"token {theirs}"},
        verify=False,
    )
    assert answer.status_code == 403
    again.goto(f"{ADA}lab")
    expect(again.locator("body")).to_contain_text("You do not have permission to access Server at /user/ada/")
    again.screenshot(path=tmp_path / "over.png")
    expect(bar).to_be_hidden(timeout=20_000)
    expect(ada.get_by_text("tea, who teaches you, looked at this server on")).to_be_visible(timeout=20_000)
    ada.screenshot(path=tmp_path / "afterwards.png")
    ada.goto(f"{PUBLIC_URL}hub/looks")
    expect(ada.locator("#looked")).to_contain_text("tea")
    ada.screenshot(path=tmp_path / "who.png")
    reads_well(ada)
