"""A class at a real hub, whose servers are small programs: who waits, who comes in, and what the pages say."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from hub_front import FLAGS, front, serve_tls
from lti_hub import HOST, PUBLIC_URL, Browser, Hub, form, hub_python, running_hub
from own_certificate import write_certificate

pytestmark = pytest.mark.hub
expect.set_options(timeout=30_000)  # ms; see test_framed_browser

STUDENTS = 30
# What a student's server answers, as far as the hub asks; "ends" is whose server ends at once.
SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
if os.environ["JUPYTERHUB_USER"].startswith(("ends", "hubruntest")) and os.path.exists("broken"):
    sys.exit("start.sh: no such file")
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
ThreadingHTTPServer((url.hostname, url.port), Answer).serve_forever()
"""
SETTINGS = """
import asyncio
from pathlib import Path
from jupyterhub.spawner import SimpleLocalProcessSpawner
from hubrun_hub.starting.spawner import LINE, Starting


class Small(Starting, SimpleLocalProcessSpawner):
    container_id = ""
    def make_preexec_fn(self, name): return None
    def user_env(self, env): return env
    def move_certs(self, paths): return paths
    async def poll(self):
        if Path("hangs").exists():
            await asyncio.sleep(60)
        return await super().poll()


c.JupyterHub.spawner_class = Small
c.JupyterHub.concurrent_spawn_limit = 0
c.Spawner.cmd = [{python!r}, {server!r}]
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 1}}
LINE.most = 2
LINE.memory = lambda: int(Path("memory").read_text())
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("class")
    (folder / "server.py").write_text(SERVER)
    (folder / "hub").mkdir()
    (folder / "hub" / "memory").write_text("100000")
    settings = SETTINGS.format(python=sys.executable, server=str(folder / "server.py"))
    with running_hub(folder / "hub", settings) as hub:
        yield hub


def memory(hub: Hub, megabytes: int) -> None:
    (hub.folder / "memory").write_text(str(megabytes))


def launched(hub: Hub, name: str) -> Browser:
    browser = Browser(hub)
    assert browser.post("/hub/lti/launch", form(name)).response.status_code == 302
    return browser


def follow(browser: Browser, path: str) -> httpx.Response:
    """Go where the hub sends a browser, up to the student's own server, which is not the hub's to answer."""
    for _ in range(10):
        answer = browser.get(path).response
        if answer.status_code != 302 or answer.headers["location"].startswith("/user/"):
            return answer
        path = answer.headers["location"]
    raise AssertionError(f"too many redirects: {path}")


def waits(browser: Browser) -> httpx.Response:
    """Follow to the student's own server, as the page that waits does."""
    deadline = time.monotonic() + 120
    while True:
        answer = follow(browser, "/hub/spawn")
        assert answer.status_code < 400, answer.text
        if answer.status_code == 302 or time.monotonic() > deadline:
            return answer
        assert "hubrun-waiting" in answer.text
        time.sleep(0.5)


def progress(hub: Hub, name: str) -> list[dict[str, Any]]:
    """What the page that waits is told, up to the end."""
    url = f"http://127.0.0.1:{hub.port}/hub/api/users/{name}/server/progress"
    with httpx.stream("GET", url, headers={"Authorization": f"token {hub.token}"}, timeout=120) as told:
        return [json.loads(line.removeprefix("data: ")) for line in told.iter_lines() if line.startswith("data: ")]


def stop(hub: Hub, *names: str) -> None:
    for name in names:
        hub.api("DELETE", f"/users/{name}/server")


def test_a_class_comes_in_and_nobody_is_turned_away(hub: Hub) -> None:
    names = [f"s{number:02d}" for number in range(STUDENTS)]
    with ThreadPoolExecutor(STUDENTS) as pool:
        ends = list(pool.map(lambda name: waits(launched(hub, name)), names))
    assert [each.status_code for each in ends] == [302] * STUDENTS
    assert "Too many users" not in hub.log and "throttling" not in hub.log
    stop(hub, *names)


def test_who_waits_for_memory_reads_so_and_goes_on_when_there_is_some(hub: Hub) -> None:
    memory(hub, 300)
    try:
        ada = launched(hub, "ada")
        page = follow(ada, "/hub/spawn")
        assert page.status_code == 200 and 'role="status"' in page.text and "/server/progress" in page.text
        health = httpx.get(f"http://127.0.0.1:{hub.port}/hub/health", verify=False)
        assert health.status_code == 503 and "memory is short: 300 MB are left, and 1 people wait" in health.text
        assert "memory is short" in hub.log
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(progress, hub, "ada")
            time.sleep(1.5)
            memory(hub, 100000)
            events = told.result()
    finally:
        memory(hub, 100000)
    said = [event["message"] for event in events]
    assert "You are number 1 of 1 in line. The server's memory is in use" in said[1]
    assert events[-1]["ready"]
    assert httpx.get(f"http://127.0.0.1:{hub.port}/hub/health", verify=False).status_code == 200
    stop(hub, "ada")


def test_a_server_that_ends_at_once_gets_a_page_at_once(hub: Hub) -> None:
    (hub.folder / "broken").touch()
    began = time.monotonic()
    browser = launched(hub, "ends")
    page = follow(browser, "/hub/spawn")
    # Both reload themselves; the second is JupyterHub's own, while it clears up.
    while (
        any(said in page.text for said in ("hubrun-waiting", "Your server is stopping"))
        and time.monotonic() < began + 30
    ):
        time.sleep(0.3)
        page = follow(browser, str(page.url.path))
    assert time.monotonic() - began < 30
    assert "Your server ended at once" in page.text and "Your files are safe" in page.text, page.text
    assert re.search(r"<h1[^>]*>Your server d(id|oes) not start", page.text)
    assert "ends ended at its start" in hub.log


def test_a_server_that_ended_unseen_is_started_again_by_the_page_that_waits(hub: Hub) -> None:
    bob = launched(hub, "bob")
    waits(bob)
    pid = json.loads(json.dumps(hub.api("GET", "/users/bob?include_stopped_servers")))["servers"][""]["state"]["pid"]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    time.sleep(0.2)
    sent = bob.get("/hub/lost/user/bob/lab/tree/a%20b.ipynb?x=1").response
    assert sent.status_code == 302
    assert sent.headers["location"] == "/hub/spawn?next=%2Fuser%2Fbob%2Flab%2Ftree%2Fa%2520b.ipynb%3Fx%3D1"
    waits(bob)
    assert bob.get("/hub/lost/user/bob/lab").response.headers["location"] == "/user/bob/lab", "it runs: tried again"
    # Somebody else's is not looked at, and not started.
    assert bob.get("/hub/lost/user/s00/lab").response.headers["location"] == "/user/s00/lab"
    assert bob.get("/hub/lost//evil.example/x").response.status_code == 400
    assert Browser(hub).get("/hub/lost/user/bob/lab").response.status_code == 403
    # A launch looks, too.
    pid = hub.api("GET", "/users/bob")["servers"][""]["state"]["pid"]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    time.sleep(0.2)
    launched(hub, "bob")
    assert not hub.api("GET", "/users/bob")["servers"]


def test_a_docker_that_hangs_keeps_nobody_from_the_server_that_runs(hub: Hub) -> None:
    dan = launched(hub, "dan")
    waits(dan)
    (hub.folder / "hangs").touch()
    try:
        began = time.monotonic()
        assert dan.get("/hub/lost/user/dan/lab").response.headers["location"] == "/user/dan/lab"
        launched(hub, "dan")
        assert time.monotonic() - began < 15
    finally:
        (hub.folder / "hangs").unlink()
    stop(hub, "dan")


def test_two_clicks_that_a_busy_hub_reads_together_are_one_start(hub: Hub) -> None:
    names = [f"twice{number}" for number in range(3)]
    browsers = [launched(hub, name) for name in names]
    assert hub._process
    hub._process.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(9) as pool:
            clicks = [pool.submit(browser.get, "/hub/spawn") for browser in browsers for _ in range(3)]
            time.sleep(1)
            hub._process.send_signal(signal.SIGCONT)
            answers = [click.result().response for click in clicks]
    finally:
        hub._process.send_signal(signal.SIGCONT)
    assert [each.status_code for each in answers] == [302] * 9, hub.log[-3000:]
    for browser in browsers:
        waits(browser)
    stop(hub, *names)


def test_a_click_at_which_the_hub_ends_is_for_the_next_one(hub: Hub) -> None:
    memory(hub, 10)
    fay = launched(hub, "fay")
    assert hub._process
    with ThreadPoolExecutor(1) as pool:
        click = pool.submit(fay.get, "/hub/spawn")
        time.sleep(0.5)  # JupyterHub waits for a second whether the start fails
        hub.stop()
        try:
            answer = click.result().response
            assert (answer.status_code, answer.headers.get("location")) == (307, "/hub/spawn"), answer.text
        except httpx.TransportError:  # for which the proxy has the page that waits
            pass
    memory(hub, 100000)
    hub.start()
    waits(fay)
    stop(hub, "fay")


# The API of configurable-http-proxy, which forgets all when it ends.
PROXY = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
routes = {}
class Api(BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer(200, json.dumps(routes).encode())
    def do_POST(self):
        path = self.path.removeprefix("/api/routes") or "/"
        routes[path] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201)
    def do_DELETE(self):
        routes.pop(self.path.removeprefix("/api/routes"), None)
        self.answer(204)
    def log_message(self, *_): pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Api).serve_forever()
"""


def test_a_proxy_that_restarted_has_its_routes_at_once(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = f"""
from hubrun_hub.starting.proxy import WatchedProxy
c.JupyterHub.proxy_class = WatchedProxy
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{port}"
c.ConfigurableHTTPProxy.auth_token = "abc"
c.JupyterHub.last_activity_interval = 3600
"""

    def routes() -> set[str]:
        try:
            return set(httpx.get(f"http://127.0.0.1:{port}/api/routes", verify=False).json())
        except httpx.TransportError:
            return set()

    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "memory").write_text("100000")
    settings = SETTINGS.format(python=sys.executable, server=str(tmp_path / "server.py")) + settings
    proxy = subprocess.Popen([sys.executable, "-c", PROXY, str(port)])
    try:
        with running_hub(tmp_path / "hub", settings) as hub:
            waits(launched(hub, "ada"))
            for _ in range(2):
                assert routes() == {"/", "/user/ada"}
                proxy.kill()
                proxy.wait()
                proxy = subprocess.Popen([sys.executable, "-c", PROXY, str(port)])
                began = time.monotonic()
                while routes() != {"/", "/user/ada"} and time.monotonic() < began + 20:
                    time.sleep(0.1)
                assert time.monotonic() - began < 5, hub.log[-3000:]
            stop(hub, "ada")
    finally:
        proxy.kill()


def try_start(hub: Hub, image: str) -> subprocess.CompletedProcess[str]:
    """Runbook 04's try of an image. Docker is played: it knows one container, of the image that counts."""
    (hub.folder / "verify.env").write_text(f"HUBRUN_VERIFY_TOKEN={hub.token}\n")
    container = {
        "Config": {"Image": "counts", "Env": ["JUPYTERHUB_SERVICE_URL=http://0.0.0.0:8888/user/hubruntest1/"]},
        "NetworkSettings": {"Networks": {"jupyterhub": {"IPAddress": "127.0.0.1"}}},
    }
    docker = hub.folder / "docker"
    docker.write_text(f"#!/bin/sh\necho '{json.dumps([container])}'\n")
    docker.chmod(0o755)
    program = [hub_python(), "-I", "-B", hub.folder / "lib" / "hubrun_hub", "try_start"]
    return subprocess.run(
        [*program, hub.folder / "verify.env", f"http://127.0.0.1:{hub.port}", image], capture_output=True, text=True, timeout=60,
        env={"PATH": f"{hub.folder}:{os.defpath}"}, check=False,
    )  # fmt: skip


def test_runbook_04_tries_an_image_as_a_launch_does_and_leaves_nothing(hub: Hub) -> None:
    (hub.folder / "broken").touch()
    failed = try_start(hub, "counts")
    assert failed.returncode == 1 and "Spawn failed: Your server ended at once." in failed.stdout, failed.stderr
    assert "hubruntest1" not in hub.users()
    (hub.folder / "broken").unlink()
    other = try_start(hub, "candidate")
    assert other.returncode == 1 and "the hub started counts in place of candidate" in other.stdout, other.stderr
    # What is played here has no kernels; that a good one counts, tests/server/test_image.py shows.
    without = try_start(hub, "counts")
    assert without.returncode == 1 and "a server starts, but it starts no kernel" in without.stdout, without.stderr
    assert "hubruntest1" not in hub.users()


def test_whoever_waited_while_the_hub_restarted_comes_in_again_without_a_click(hub: Hub) -> None:
    memory(hub, 10)
    eve = launched(hub, "eve")
    page = follow(eve, "/hub/spawn")
    assert "hubrun-waiting" in page.text
    hub.stop()
    memory(hub, 100000)
    hub.start()
    page = follow(eve, "/hub/spawn-pending/eve")
    assert page.status_code == 200 and 'window.location.replace("/hub/spawn/eve"' in page.text
    waits(eve)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_a_browser_reads_its_place_outlives_a_restart_of_the_hub_and_gets_in_without_a_click(
    tmp_path: Path,
) -> None:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "there is no Chromium (Debian: apt-get install chromium)"
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "memory").write_text("300")
    port = free_port()
    settings = SETTINGS.format(python=sys.executable, server=str(tmp_path / "server.py"))
    settings += (
        f"c.Spawner.port = {port}\n"
        + 'c.JupyterHub.tornado_settings = {"cookie_options": {"samesite": "Lax", "secure": True}}\n'
    )
    with running_hub(tmp_path / "hub", settings) as hub, sync_playwright() as started:
        server = serve_tls(front(hub.port, port), write_certificate(tmp_path, HOST.partition(":")[0]))
        rules = f"MAP {HOST} 127.0.0.1:{server.server_port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        opened = started.chromium.launch(executable_path=path, args=[*FLAGS, f"--host-resolver-rules={rules}"])
        context = opened.new_context(ignore_https_errors=True, bypass_csp=True, viewport={"width": 390, "height": 700})
        page = context.new_page()
        page.set_content(
            f'<form action="{PUBLIC_URL}hub/lti/launch" method="post">'
            + "".join(
                f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
                for name, value in form("ada").items()
            )
            + "<button>Open</button></form>"
        )
        page.get_by_role("button").click()
        page.wait_for_url("**/hub/spawn-pending/ada**")
        page.goto(f"{PUBLIC_URL}hub/spawn?next=%2Fuser%2Fada%2Flab%3Fx%3D1")
        said = page.get_by_role("status")
        expect(said).to_contain_text("You are number 1 of 1 in line. The server's memory is in use", timeout=20_000)
        expect(page.get_by_role("heading", level=1)).to_have_text("Your server starts")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it fits a phone"
        assert no_grave_fault(page)
        page.get_by_text("Event log").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#progress-log")).to_contain_text("number 1 of 1")
        hub.stop()
        expect(page.get_by_role("heading", level=1)).to_have_text("One moment", timeout=60_000)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert no_grave_fault(page)
        hub.start()
        expect(page.get_by_role("heading", level=1)).to_have_text("Your server starts", timeout=60_000)
        expect(said).to_contain_text("number 1 of 1", timeout=20_000)
        memory(hub, 100000)
        page.wait_for_url("**/user/ada/lab?x=1", timeout=60_000)
        opened.close()
        server.shutdown()
        server.server_close()
        stop(hub, "ada")


def no_grave_fault(page: Page) -> bool:
    grave = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in grave] == []
    return True
