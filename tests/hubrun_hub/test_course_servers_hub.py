"""Servers of courses at a real hub, whose servers are small programs: which one a launch opens, for whom, and no others."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hubrun_hub.courses.servers import server_name
from hubrun_hub.lti import auth_request
from lti_hub import HOST, Browser, Hub, form, running_hub

pytestmark = [pytest.mark.hub, pytest.mark.timeout(180)]

SERVER = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
names = ("JUPYTERHUB_SERVER_NAME", "JUPYTERHUB_SERVICE_PREFIX", "MEM_LIMIT", "JUPYTERHUB_API_TOKEN")
with open("env-" + os.environ["JUPYTERHUB_USER"] + "-" + os.environ["JUPYTERHUB_SERVER_NAME"], "w") as file:
    json.dump({name: os.environ.get(name, "") for name in names}, file)
url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
ThreadingHTTPServer((url.hostname, url.port), Answer).serve_forever()
"""
SETTINGS = """
from jupyterhub.spawner import SimpleLocalProcessSpawner
from hubrun_hub.starting import newer_image
from hubrun_hub.starting.own_server import only_courses
from hubrun_hub.starting.spawner import LINE, Starting
from hubrun_hub.student_container import StudentContainer


class Docker(SimpleLocalProcessSpawner):
    image = "class"
    async def get_object(self): return {{"Image": "sha256:old"}}
    async def docker(self, call, image): return {{"Id": "sha256:" + (self.name or "own")}}


class Small(Starting, StudentContainer, Docker):
    site_file = "docker-filter.json"
    container_id = ""
    def make_preexec_fn(self, name): return None
    def user_env(self, env): return env
    def move_certs(self, paths): return paths


c.JupyterHub.spawner_class = Small
c.JupyterHub.extra_handlers = newer_image.ROUTES
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = only_courses
c.Spawner.cmd = [{python!r}, {server!r}]
LINE.memory = lambda: None
"""
SITE: dict[str, Any] = {
    "memory_mb": 1024, "cpus": 1.0, "processes": 512, "idle_minutes": 60,
    "course_settings": [
        {"course": "ML 2", "user_memory_mb": 512, "gpus": 1, "idle_minutes": 5},
        {"course": "BIO 101", "user_memory_mb": 2048},
        {"course": "GPU", "gpus": 2},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("courses")
    (folder / "server.py").write_text(SERVER)
    (folder / "hub").mkdir()
    (folder / "hub" / "docker-filter.json").write_text(json.dumps(SITE))
    settings = SETTINGS.format(python=sys.executable, server=str(folder / "server.py"))
    with running_hub(folder / "hub", settings) as hub:
        yield hub


def launch(browser: Browser, course: str, user: str = "ada", **fields: Any) -> str:
    """Launch from a course; where the hub sends the browser."""
    answer = browser.post("/hub/lti/launch", form(user, course=course, **fields))
    assert answer.status == 302, answer.response.text
    return str(answer.location)


def own(hub: Hub, course: str) -> str:
    """The name of a course's server: that of its group's folder."""
    (group,) = [
        group
        for group in hub.api("GET", "/groups")
        if group["properties"].get("lti_context") == course and not group["name"].endswith("-instructors")
    ]
    return server_name(group["properties"]["folder"], group["name"].removeprefix("course-"))


def started(hub: Hub, browser: Browser, path: str, name: str, user: str = "ada") -> dict[str, str]:
    """Follow to a server as the page that waits does; what its program was told."""
    deadline = time.monotonic() + 60
    while not hub.api("GET", f"/users/{user}")["servers"].get(name, {}).get("ready"):
        assert browser.get(path).status < 400
        assert time.monotonic() < deadline, hub.log[-3000:]
        time.sleep(0.3)
    return dict(json.loads((hub.folder / f"env-{user}-{name}").read_text()))


def test_each_launch_opens_the_server_of_its_course(hub: Hub) -> None:
    ada = Browser(hub)
    assert launch(ada, "BIO 101") == "/hub/"
    where = launch(ada, "ML 2", custom_next="/hub/user-redirect/lab/tree/a.ipynb")
    ml = own(hub, "ML 2")
    assert urlsplit(where).path == f"/hub/spawn/ada/{ml}"
    assert parse_qs(urlsplit(where).query) == {"next": [f"/user/ada/{ml}/lab/tree/a.ipynb"]}
    told = started(hub, ada, where, ml)
    assert (told["JUPYTERHUB_SERVICE_PREFIX"], told["MEM_LIMIT"]) == (f"/user/ada/{ml}/", str(512 * 2**20))
    told = started(hub, ada, "/hub/spawn", "")
    assert (told["JUPYTERHUB_SERVICE_PREFIX"], told["MEM_LIMIT"]) == ("/user/ada/", str(2048 * 2**20))
    servers = hub.api("GET", "/users/ada")["servers"]
    assert {name: each["user_options"] for name, each in servers.items()} == {
        "": {"hubrun_idle_minutes": 60},
        ml: {"hubrun_idle_minutes": 5},
    }
    for name in ("", ml):
        token = json.loads((hub.folder / f"env-ada-{name}").read_text())["JUPYTERHUB_API_TOKEN"]
        newer = httpx.get(
            f"http://127.0.0.1:{hub.port}/hub/hubrun-image", headers={"Authorization": f"token {token}"}, verify=False
        )
        assert newer.json() == {"newer": (name or "own")[:12]}, "each is told of its own image"
    # While it runs a launch leads to its page.
    assert ada.get(launch(ada, "ML 2")).location == f"/user/ada/{ml}/"
    assert launch(ada, "BIO 101") == "/hub/"
    page = ada.get("/hub/home").response.text
    assert "ML 2" in page and f'id="stop-{ml}"' in page and "new-server-name" not in page


def test_the_page_that_waits_starts_the_very_server_that_is_gone(hub: Hub) -> None:
    eve = Browser(hub)
    launch(eve, "ML 2", "eve")
    path = f"/user/eve/{own(hub, 'ML 2')}/lab"
    url = urlsplit(eve.get(f"/hub/lost{path}").location)
    assert (url.path, parse_qs(url.query)) == (f"/hub/spawn/eve/{own(hub, 'ML 2')}", {"next": [path]})
    assert urlsplit(eve.get("/hub/lost/user/eve/lab").location).path == "/hub/spawn"


def test_a_second_click_leads_to_the_same_server(hub: Hub) -> None:
    ada = Browser(hub)
    sent = form("ada", course="ML 2")
    first = ada.post("/hub/lti/launch", sent).location
    again = ada.post("/hub/lti/launch", sent)
    assert again.reason == "replayed"
    ticket = again.response.text.split("/hub/lti/again?ticket=")[1].split('"')[0].split("&")[0]
    assert ada.get(f"/hub/lti/again?ticket={ticket}&try=1").location == first


def test_nobody_makes_a_server_of_another_name(hub: Hub) -> None:
    uma = Browser(hub)
    launch(uma, "BIO 101", "uma")
    ml = own(hub, "ML 2")
    token = hub.api("POST", "/users/uma/tokens", json={"note": "hers"})["token"]
    for name in ("mine", ml):
        assert uma.get(f"/hub/spawn/uma/{name}").status == 403
        for method in ("POST", "PUT"):
            made = httpx.request(
                method, f"http://127.0.0.1:{hub.port}/hub/api/users/uma/servers/{name}",
                headers={"Authorization": f"token {token}"}, verify=False,
            )  # fmt: skip
            assert made.status_code == 403, made.text
    assert "mine" not in hub.api("GET", "/users/uma?include_stopped_servers")["servers"]


def test_a_course_server_is_its_owners_alone(hub: Hub) -> None:
    ada, eve = Browser(hub), Browser(hub)
    launch(ada, "ML 2")
    launch(eve, "ML 2", "eve")
    ml = own(hub, "ML 2")

    def passes(browser: Browser) -> int:
        cookie = f"{auth_request.COOKIE}={browser.cookies[auth_request.COOKIE]}"
        headers = {"Host": HOST, auth_request.HEADER: f"ada/{ml}", "Cookie": cookie}
        return httpx.get(f"http://127.0.0.1:{hub.port}/hub/gate-check", headers=headers, verify=False).status_code

    assert (passes(ada), passes(eve)) == (204, 401)
    assert eve.get(f"/hub/spawn/ada/{ml}").status in (403, 404)


def test_its_name_stays_and_who_left_the_course_cannot_start_it(hub: Hub) -> None:
    dan = Browser(hub)
    launch(dan, "GPU", "dan")
    gpu = own(hub, "GPU")
    token = hub.api("POST", "/users/dan/tokens", json={"note": "his"})["token"]

    def asks(method: str, **request: Any) -> int:
        return httpx.request(
            method, f"http://127.0.0.1:{hub.port}/hub/api/users/dan/servers/{gpu}",
            headers={"Authorization": f"token {token}"}, verify=False, **request,
        ).status_code  # fmt: skip

    assert asks("PATCH", json={"name": "mine"}) == 403
    hub.api("DELETE", "/groups/course-" + _course(hub, "GPU") + "/users", json={"users": ["dan"]})
    assert asks("POST") == 403
    assert launch(dan, "GPU", "dan", role="Observer") == "/hub/"


def _course(hub: Hub, context: str) -> str:
    found = (group for group in hub.api("GET", "/groups") if group["properties"].get("lti_context") == context)
    return str(next(found)["name"]).removeprefix("course-").removesuffix("-instructors")


def test_a_course_is_added_and_changed_while_the_hub_runs(hub: Hub) -> None:
    zoe = Browser(hub)
    assert launch(zoe, "ART", "zoe") == "/hub/"
    file = hub.folder / "docker-filter.json"
    file.write_text(json.dumps({**SITE, "course_settings": [*SITE["course_settings"], {"course": "ART", "gpus": 1}]}))
    try:
        assert urlsplit(launch(zoe, "ART", "zoe")).path == f"/hub/spawn/zoe/{own(hub, 'ART')}"
    finally:
        file.write_text(json.dumps(SITE))
    assert launch(zoe, "ART", "zoe") == "/hub/"
