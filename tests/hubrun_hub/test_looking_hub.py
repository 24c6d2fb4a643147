"""Looks at a real hub, whose servers are small programs: who gets in, what that opens, when it ends, and who is told."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from lti_hub import Browser, Hub, form, running_hub
from lti_platform import Answer

pytestmark = [pytest.mark.hub, pytest.mark.timeout(180)]

# It takes note of looks as hubrun_student/looks does, but for those whose name says otherwise.
SERVER = """
import json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
name, token = os.environ["JUPYTERHUB_USER"], os.environ["JUPYTERHUB_API_TOKEN"]
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        assert self.path.endswith("/hubrun-looks"), self.path
        if name == "hangs":
            time.sleep(60)
        if name == "leads":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            return
        url = os.environ["JUPYTERHUB_API_URL"].removesuffix("/api") + "/hubrun-looks"
        asked = Request(url, headers={"Authorization": "token " + token})
        with urlopen(asked) as answer, open("told-" + name, "wb") as file:
            file.write(answer.read())
        self.send_response(200 if name == "old" else 204)
        self.end_headers()
    def log_message(self, *_): pass
with open("token-" + name, "w") as file:
    file.write(token)
url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
ThreadingHTTPServer((url.hostname, url.port), Answer).serve_forever()
"""
SETTINGS = """
from jupyterhub.spawner import SimpleLocalProcessSpawner
from hubrun_hub.looking import page
from hubrun_hub.looking.spawner import Looked
from hubrun_hub.lti.user_hosts import host

class Small(Looked, SimpleLocalProcessSpawner):
    site_file = "site.json"
    def make_preexec_fn(self, name): return None
    def user_env(self, env): return env

page.Looks.site_file = "site.json"
c.JupyterHub.subdomain_host = "https://hub.example.edu"
c.JupyterHub.subdomain_hook = host
c.JupyterHub.spawner_class = Small
c.JupyterHub.extra_handlers = page.ROUTES
c.JupyterHub.template_vars = {{"looks": True}}
c.JupyterHub.cleanup_servers = False
c.Spawner.poll_interval = 1
c.Spawner.cmd = [{python!r}, {server!r}]
"""
SITE: dict[str, Any] = {"course_settings": [{"course": "BIO", "staff_may_look": True}]}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("looks")
    (folder / "server.py").write_text(SERVER)
    (folder / "hub").mkdir()
    (folder / "hub" / "site.json").write_text(json.dumps(SITE))
    with running_hub(folder / "hub", SETTINGS.format(python=sys.executable, server=str(folder / "server.py"))) as hub:
        yield hub
        for name in hub.users():
            hub.api("DELETE", f"/users/{name}/server", timeout=60)


def came(hub: Hub, name: str, role: str = "Learner", course: str = "BIO") -> Browser:
    browser = Browser(hub)
    assert browser.post("/hub/lti/launch", form(name, course=course, role=role)).logged_in
    return browser


def works(hub: Hub, name: str, course: str = "BIO") -> Browser:
    """A student whose server runs."""
    browser = came(hub, name, course=course)
    if not hub.api("GET", f"/users/{name}")["server"]:
        hub.api("POST", f"/users/{name}/server", timeout=60)
        wait_for(lambda: hub.api("GET", f"/users/{name}")["servers"].get("", {}).get("ready"))
    return browser


def wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def press(
    browser: Browser, what: str, user: str, server: str = "", xsrf: bool = True, page: str = "/hub/looks"
) -> Answer:
    browser.get("/hub/looks")
    sent = {"what": what, "user": user, "server": server, **({"_xsrf": browser.cookies["_xsrf"]} if xsrf else {})}
    headers = {"Origin": "https://hub.example.edu", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    return browser.post(page, sent, headers=headers)


def shared(hub: Hub, owner: str) -> list[str]:
    """With whom the server is shared, and that nothing but access to it is."""
    found = hub.api("GET", f"/shares/{owner}/")["items"]
    assert all(each["scopes"] == [f"access:servers!server={owner}/"] for each in found)
    return [each["user"]["name"] for each in found]


def told(hub: Hub, owner: str) -> list[dict[str, Any]]:
    return list(json.loads((hub.folder / f"told-{owner}").read_text())["looks"])


def authorize(browser: Browser, owner: str, scope: str = "") -> Answer:
    query = {
        "client_id": f"jupyterhub-user-{owner}", "response_type": "code", "state": "s", **({"scope": scope} if scope else {}),
        "redirect_uri": f"https://{owner}.hub.example.edu/user/{owner}/oauth_callback",
    }  # fmt: skip
    return browser.get("/hub/api/oauth2/authorize?" + urlencode(query))


def agree(hub: Hub, browser: Browser, owner: str, scope: str = "") -> str:
    """Answer JupyterHub's question whether the server may know who we are; the token that it gets."""
    asked = authorize(browser, owner, scope)
    assert asked.status == 200 and "Authorize" in asked.response.text
    page = urlsplit(str(asked.response.url))
    fields = re.findall(r'name="scopes"[^>]*value="([^"]+)"', asked.response.text)
    sent = [("_xsrf", browser.cookies["_xsrf"]), *(("scopes", each) for each in fields)]
    headers = {"Origin": "https://hub.example.edu", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    headers["Referer"] = f"https://hub.example.edu{page.path}?{page.query}"
    answer = browser.post(f"{page.path}?{page.query}", sent, headers=headers)
    assert answer.status == 302, answer.response.text
    secret = (hub.folder / f"token-{owner}").read_text()
    grant = {
        "client_id": f"jupyterhub-user-{owner}", "client_secret": secret, "grant_type": "authorization_code",
        "code": parse_qs(urlsplit(str(answer.location)).query)["code"][0],
        "redirect_uri": f"https://{owner}.hub.example.edu/user/{owner}/oauth_callback",
    }  # fmt: skip
    response = httpx.post(f"http://127.0.0.1:{hub.port}/hub/api/oauth2/token", data=grant, verify=False)
    return str(response.json()["access_token"])


def by_token(hub: Hub, token: str, path: str, method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"token {token}"}
    return httpx.request(method, f"http://127.0.0.1:{hub.port}/hub{path}", headers=headers, verify=False)


@pytest.fixture
def tea(hub: Hub) -> Iterator[Browser]:
    """Who teaches BIO."""
    browser = came(hub, "tea", "Instructor")
    yield browser
    (hub.folder / "site.json").write_text(json.dumps(SITE))
    for name in ("ada", "ben"):
        press(came(hub, "tea", "Instructor"), "end", name)


def test_staff_open_the_server_of_their_student_who_is_told(hub: Hub, tea: Browser) -> None:
    ada = works(hub, "ada")
    assert 'href="/hub/looks"' in tea.get("/hub/home").response.text
    page = tea.get("/hub/looks").response.text
    assert 'name="user" value="ada"' in page and "Nobody did" in ada.get("/hub/looks").response.text
    opened = press(tea, "open", "ada")
    assert (opened.status, opened.location) == (302, "https://ada.hub.example.edu/user/ada/")
    assert shared(hub, "ada") == ["tea"]
    (look,) = told(hub, "ada")
    assert (look["viewer"], look["on"]) == ("tea", True) and 1700 < look["until"] - time.time() <= 1800
    assert re.search(r"look: tea looks at the server of ada until ....-..-.. ..:..:.. UTC", hub.log)
    assert "<td>tea</td>" in ada.get("/hub/looks").response.text
    # Again is the same look, and no longer.
    assert press(tea, "open", "ada").status == 302
    assert told(hub, "ada") == [look] and shared(hub, "ada") == ["tea"]
    assert press(tea, "end", "ada").status == 302
    assert shared(hub, "ada") == [] and [each["on"] for each in told(hub, "ada")] == [False]
    assert "at the latest" not in ada.get("/hub/looks").response.text
    assert "tea looks no more at the server of ada" in hub.log


def test_nobody_else_does(hub: Hub, tea: Browser) -> None:
    works(hub, "ada")
    ben, cho = works(hub, "ben"), came(hub, "cho", "Instructor", "CHEM")
    assert 'value="ada"' not in cho.get("/hub/looks").response.text + ben.get("/hub/looks").response.text
    for browser, owner in (
        (ben, "ada"),
        (cho, "ada"),
        (ben, "ben"),
        (tea, "tea"),
        (tea, "nobody"),
        (works(hub, "root-of-all"), "ada"),
        (tea, "root-of-all"),
    ):
        refused = press(browser, "open", owner)
        assert refused.status == 403 and "XSRF" not in refused.response.text
    assert press(tea, "open", "ada", "other").status == 403
    refused = press(tea, "open", "ada", xsrf=False)
    assert refused.status == 403 and "_xsrf" in refused.response.text
    assert Browser(hub).get("/hub/looks").status in (302, 403)
    assert "tea may not look at the server of root-of-all, who is an administrator" in hub.log
    assert "ben may not look at the server of ada, who is in no course that you teach" in hub.log
    assert shared(hub, "ada") == [] == shared(hub, "ben")
    # Somebody who looks cannot pass it on, nor begin one for others by the hub's own API.
    assert press(tea, "open", "ada").status == 302
    assert authorize(ben, "ada").status == authorize(cho, "ada").status == 403
    for browser in (tea, ben, works(hub, "ada")):
        headers = {
            "X-XSRFToken": browser.cookies["_xsrf"],
            "Origin": "https://hub.example.edu",
            "Sec-Fetch-Site": "same-origin",
        }
        sent = json.dumps({"user": "ben"}).encode()
        assert browser.post(
            "/hub/api/shares/ada/", sent, headers=headers | {"Content-Type": "application/json"}
        ).status in (403, 404)


def test_who_is_in_a_course_of_others_too_is_not_looked_at(hub: Hub, tea: Browser) -> None:
    works(hub, "eve")
    came(hub, "eve", course="CHEM")
    assert "is in a course that you do not teach" in tea.get("/hub/looks").response.text
    assert press(tea, "open", "eve").status == 403 and shared(hub, "eve") == []


def test_what_the_students_server_gets_of_its_visitor_opens_nothing_but_itself(hub: Hub, tea: Browser) -> None:
    works(hub, "ada")
    works(hub, "ben")
    assert authorize(tea, "ada").status == 403
    assert press(tea, "open", "ada").status == 302
    refused = authorize(tea, "ada", "inherit")
    assert refused.status in (302, 400) and "code=" not in str(refused.location)
    token = agree(hub, tea, "ada")
    who = by_token(hub, token, "/api/user").json()
    assert (who["name"], who["kind"]) == ("tea", "user")
    assert set(who["scopes"]) == {
        "access:servers!server=ada/",
        "read:users:name!user=tea",
        "read:users:groups!user=tea",
    }
    course = next(group.removeprefix("course-") for group in who["groups"] if not group.endswith("-instructors"))
    for path in (
        "/api/users",
        "/api/users/ada",
        "/api/groups",
        "/api/shares/ada/",
        f"/lti/names/{course}",
        "/hubrun-looks",
    ):
        assert by_token(hub, token, path).status_code in (403, 404), path
    for path in ("/api/users/tea/tokens", "/api/users/tea/server", "/api/users/ada/server", "/looks"):
        assert by_token(hub, token, path, "POST").status_code in (403, 404, 405), path
    assert press(tea, "end", "ada").status == 302
    assert by_token(hub, token, "/api/user").status_code == 403
    assert authorize(tea, "ada").status == 403


def test_it_ends_with_the_membership_also_after_the_hub_restarted(hub: Hub, tea: Browser) -> None:
    works(hub, "ada")
    assert press(tea, "open", "ada").status == 302
    hub.stop()
    hub.start()
    wait_for(lambda: hub.api("GET", "/users/ada")["servers"][""]["ready"])
    time.sleep(2)
    assert shared(hub, "ada") == ["tea"]
    (staff,) = (name for name in hub.groups("tea") if name.endswith("-instructors"))
    hub.api("DELETE", f"/groups/{staff}/users", json={"users": ["tea"]})
    wait_for(lambda: shared(hub, "ada") == [])
    wait_for(lambda: not told(hub, "ada")[-1]["on"])
    assert "looks no more at the server of ada: ada is in no course that you teach" in hub.log


def test_it_ends_as_an_exam_begins(hub: Hub, tea: Browser) -> None:
    works(hub, "ada")
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)  # exams begin with a second
    exam = {"from": begins.isoformat(), "until": (begins + timedelta(hours=1)).isoformat()}
    (hub.folder / "site.json").write_text(
        json.dumps({"course_settings": [{**SITE["course_settings"][0], "exam": exam}]})
    )
    assert press(tea, "open", "ada").status == 302
    assert abs(told(hub, "ada")[-1]["until"] - begins.timestamp()) < 2
    assert shared(hub, "ada") == ["tea"]
    wait_for(lambda: shared(hub, "ada") == [])
    assert datetime.now(UTC) < begins + timedelta(seconds=4)
    assert press(tea, "open", "ada").status == 403
    assert "sits in an exam" in tea.get("/hub/looks").response.text


def test_it_ends_where_the_site_does_not_allow_it_any_more(hub: Hub, tea: Browser) -> None:
    works(hub, "ada")
    assert press(tea, "open", "ada").status == 302
    (hub.folder / "site.json").write_text("{}")
    wait_for(lambda: shared(hub, "ada") == [])


def test_it_ends_with_the_server(hub: Hub, tea: Browser) -> None:
    works(hub, "ben")
    assert press(tea, "open", "ben").status == 302
    hub.api("DELETE", "/users/ben/server", timeout=60)
    wait_for(lambda: shared(hub, "ben") == [])
    assert press(tea, "open", "ben").status == 409
    works(hub, "ben")
    assert shared(hub, "ben") == []


@pytest.mark.parametrize("name", ["old", "leads", "hangs"])
def test_a_server_that_takes_no_note_is_not_shared(hub: Hub, tea: Browser, name: str) -> None:
    works(hub, name)
    answer = press(tea, "open", name)
    assert answer.status == 200 and f"{name} was not opened" in answer.response.text
    assert shared(hub, name) == []


def test_what_is_kept_goes_with_either_person(hub: Hub, tea: Browser) -> None:
    zoe, rae = works(hub, "zoe"), came(hub, "rae", "Instructor")
    assert press(rae, "open", "zoe").status == press(tea, "open", "zoe").status == 302
    hub.api("DELETE", "/users/rae", timeout=60)
    page = zoe.get("/hub/looks").response.text
    assert "<td>tea</td>" in page and "<td>rae</td>" not in page and shared(hub, "zoe") == ["tea"]
    hub.api("DELETE", "/users/zoe", timeout=60)
    works(hub, "zoe")
    assert (
        shared(hub, "zoe") == []
        and "Nobody did" in zoe.get("/hub/looks").response.text + came(hub, "zoe").get("/hub/looks").response.text
    )
