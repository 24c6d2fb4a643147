"""Attacks from one person's server on whoever looks at it, and from strangers on the hub. Each must fail.

Mallory's server is a program of hers: it serves a page that, at a click, acts with the rights of whoever opened it.
"""

from __future__ import annotations

import html
import http.client
import re
import shutil
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from canvas import Student, Visitor, key_and_secret, settings, trust
from machines import CHROMIUM_FLAGS, Machine
from playwright.sync_api import Browser, Page, sync_playwright
from websocket import WebSocketBadStatusException, create_connection

from hubrun import params
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(900)]

MALLORY, TEACHER, ADMIN = "mallory", "tess", "root-of-all"
MARK = "MALLORY-WAS-HERE"
GATE_S = 5

# What Mallory puts in place of her server. Whatever is asked of it, anybody gets the page, or what is said of a request.
_EVIL = r'''
import http.server, json
PAGE = """<!doctype html><title>MALLORY-WAS-HERE</title><button id="go">Show my homework</button><script>
document.getElementById("go").onclick = async () => {
  const home = window.open("/hub/home");
  await new Promise(done => home.addEventListener("load", done));
  const {xsrf_token, user} = home.jhdata;
  const answer = await fetch(`/hub/api/users/${user}/tokens`,
    {method: "POST", headers: {"X-XSRFToken": xsrf_token, "Content-Type": "application/json"}, body: JSON.stringify({note: "taken"})});
  document.title = `${answer.status} ${user} ${(await answer.text()).slice(0, 90)}`;
};
</script>"""
class Evil(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = json.dumps(dict(self.headers)) if self.path.endswith("/headers") else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Service-Worker-Allowed", "/")
        self.send_header("Clear-Site-Data", "*")
        if self.path.endswith("/orders"):
            self.send_header("X-Accel-Redirect", "/user/tess/api")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())
    do_POST = do_PUT = do_HEAD = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8888), Evil).serve_forever()
'''
# Any cell of hers can do the same.
_PLANT = """
import pathlib, sys
home = pathlib.Path.home()
(home / "evil.py").write_text(sys.stdin.read())
(home / ".jupyter").mkdir(exist_ok=True)
(home / ".jupyter/jupyter_server_config.py").write_text("import os, sys; os.execv(sys.executable, [sys.executable, os.path.expanduser('~/evil.py')])")
"""


@pytest.fixture(scope="module")
def root(machine: Machine) -> str:
    return str(params.load(machine.site).url)


@pytest.fixture(scope="module")
def hub(machine: Machine) -> Iterator[Machine]:
    """A hub with an administrator; the people of this module and what they have go at the end."""
    with settings(machine, f"c.LaunchAuthenticator.admin_users = {{{ADMIN!r}}}\n"):
        yield machine
        for name in (MALLORY, TEACHER, ADMIN):
            machine.run(
                'docker rm -f $(docker ps -aq --filter "volume=jupyterhub-user-$1"); docker volume rm -f "jupyterhub-user-$1"; true',
                name,
            )


def script(person: Visitor) -> dict[str, str]:
    """The headers with which a script in the hub's page asks the hub's API."""
    xsrf = re.search(r'xsrf_token: "([^"]*)"', person.client.get("/hub/home").text)
    return {"X-XSRFToken": xsrf[1] if xsrf else "", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def mallory(hub: Machine) -> Iterator[Student]:
    """Mallory, whose server is a program of hers from now on."""
    with Student(hub.info, MALLORY) as student:
        assert student.launch(*key_and_secret(hub)).status_code == 302
        assert student.open_lab().status_code == 200
        hub.run('docker exec -i "$1" python -c "$2"', hub.container_of(MALLORY), _PLANT, data=_EVIL.encode())
        server = f"/hub/api/users/{MALLORY}/server"
        assert student.client.delete(server, headers=script(student)).status_code in (202, 204)
        page = student.client.get("/hub/home")
        end = time.monotonic() + 90
        while MARK not in page.text and time.monotonic() < end:
            time.sleep(1)
            student.client.post(server, headers=script(student))
            page = student.client.get(f"/user/{MALLORY}/evil", follow_redirects=True)
        assert MARK in page.text, "the attack is in place: she herself sees her own page"
        yield student


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


def form_page(action: str, fields: dict[str, str]) -> str:
    inputs = "".join(f'<input type="hidden" name="{n}" value="{html.escape(v)}">' for n, v in fields.items())
    return f'<form action="{action}" method="post">{inputs}</form><script>document.forms[0].submit()</script>'


def log_in(page: Page, hub: Machine, root: str, name: str, role: str = "Learner") -> None:
    key, secret = key_and_secret(hub)
    url = f"{root}/hub/lti/launch"
    page.set_content(form_page(url, signed_form(url, key, secret, name, role=role, custom_next="/hub/home")))
    page.wait_for_url(f"{root}/hub/home", timeout=30_000)


# --------------------------------------------------------------------------------------- one person's server, another's browser


@pytest.mark.parametrize(("victim", "role"), [(TEACHER, "Instructor"), (ADMIN, "Learner")])
def test_nobody_elses_browser_shows_what_a_server_serves(
    hub: Machine, mallory: Student, chromium: Browser, root: str, victim: str, role: str
) -> None:
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    log_in(page, hub, root, victim, role)
    page.goto(f"{root}/user/{MALLORY}/evil")
    button = page.locator("#go")
    if button.count():  # what happens to a victim where there is no gate
        button.click()
        page.wait_for_function("document.title != 'MALLORY-WAS-HERE'", timeout=20_000)
        pytest.fail(f"the page acted with the rights of its visitor: {page.title()}")
    assert MARK not in page.content() and page.locator("#lti-refused").get_attribute("data-reason") == "not-yours"
    context.close()


def test_a_page_elsewhere_cannot_bring_it_up_either(
    hub: Machine, mallory: Student, chromium: Browser, root: str
) -> None:
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    log_in(page, hub, root, TEACHER)
    for target in (f"{root}/user/{MALLORY}/evil", f"{root}/hub/gate/user/{MALLORY}/evil?x"):
        page.set_content(form_page(target, {}))
        page.wait_for_load_state("networkidle")
        assert MARK not in page.content(), target
    context.close()


def test_nginx_takes_no_orders_from_what_a_server_answers(mallory: Student) -> None:
    answer = mallory.client.get(f"/user/{MALLORY}/orders")
    assert answer.status_code == 200 and MARK in answer.text, "nginx went where the server sent it, past the gate"


SPELLINGS = (
    "/user/{m}/evil", "/user/{m}", "/user/{m}/", "/user/{m}/?token=x", "/%75ser/{m}/evil", "/USER/{m}/evil", "//user/{m}/evil",
    "///user/{m}/evil", "//x/user/{m}/evil", "/user//{m}/evil", "/user/%6dallory/evil", "/user%2f{m}/evil", "/user%2F{m}%2fevil",
    "/%2fuser/{m}/evil", "/%2f%2fuser%2f{m}", "/user/./{m}/evil", "/./user/{m}/evil", "/user/%2e/{m}/evil", "/x/../user/{m}/evil",
    "/x/%2e%2e/user/{m}/evil", "/x/.%2e/user/{m}/evil", "/x/..%2fuser/{m}/evil", "/x/%2e%2e%2fuser/{m}/evil", "/hub/../user/{m}/evil",
    "/hub/..%2fuser/{m}/evil", "/hub/%2e%2e/user/{m}/evil", "/hub/..;/user/{m}/evil", "/hub\\..\\user\\{m}\\evil", "/\\user\\{m}\\evil",
    "/user\\{m}\\evil", "/user%5c{m}/evil", "/hub/x/..%5c..%5c..%5cuser/{m}/evil", "/user/{me}/../{m}/evil", "/user/{me}/%2e%2e/{m}/evil",
    "/user/{me}/..%2f{m}/evil", "/user/{me}%2f..%2f{m}/evil", "/user/{me}/..\\{m}\\evil", "/user/{me}/..%5c{m}/evil", "/%2575ser/{m}/evil",
    "/user/{me}/%252e%252e/{m}/evil", "/user/{m}/..%2f..%2f..%2fhub/x", "/user/{m}/..%2f..%2fhub/lti/launch", "/user/{m}/%2e%2e/%2e%2e/hub/home",
    "/user/{m}%00/evil", "/user/{m}%2fevil", "/user/{m};x/evil", "/user/{m}#/hub/", "/hub#/../user/{m}/evil", "/hub?/../user/{m}/evil",
    "/hub/?x=/user/{m}/evil", "/\t/user/{m}/evil", "/us\ter/{m}/evil", "/user/{m}\t/evil", "http://{host}/user/{m}/evil", "http://{host}//user/{m}/evil",
    "https://{host}/user/{m}/evil", "http://user/{m}/evil", "http://x//y/user/{m}/evil", "/user/{m}/headers", "/services/../user/{m}/evil",
)  # fmt: skip


@pytest.mark.parametrize("logged_in", [True, False], ids=["logged in", "a stranger"])
def test_no_spelling_of_an_address_leads_past_the_gate(
    hub: Machine, mallory: Student, root: str, logged_in: bool
) -> None:
    with Student(hub.info, TEACHER) as teacher:
        if logged_in:
            teacher.launch(*key_and_secret(hub))
        cookies = "; ".join(f"{each.name}={each.value}" for each in teacher.client.cookies.jar)
        past = {
            spelling: answer
            for spelling in SPELLINGS
            for method in ("GET", "POST")
            if MARK
            in (answer := raw(hub, method, spelling.format(m=MALLORY, me=TEACHER, host=urlsplit(root).netloc), cookies))
        }
    assert past == {}


def raw(hub: Machine, method: str, target: str, cookies: str) -> str:
    """Ask for a target exactly as it is written, and return all that came: a client would tidy it up."""
    connection = http.client.HTTPSConnection(
        hub.info["domain"], hub.info["https_port"], context=trust(hub.info["ca_bundle"]), timeout=15
    )
    lines = f"{method} {target} HTTP/1.1\r\nHost: {urlsplit(hub.info['url']).netloc}\r\nCookie: {cookies}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    connection.connect()
    connection.sock.sendall(lines.encode())
    answer = b""
    while part := connection.sock.recv(65536):
        answer += part
    connection.close()
    return answer.decode(errors="replace")


def test_a_websocket_to_anothers_server_is_refused(hub: Machine, mallory: Student, root: str) -> None:
    with Student(hub.info, TEACHER) as teacher:
        teacher.launch(*key_and_secret(hub))
        cookies = "; ".join(f"{each.name}={each.value}" for each in teacher.client.cookies.jar)
        with pytest.raises(WebSocketBadStatusException) as refused:
            create_connection(
                f"wss{root[5:]}/user/{MALLORY}/x",
                30,
                sslopt={"context": trust(hub.info["ca_bundle"])},
                header={"Cookie": cookies},
                origin=root,
            )
    assert refused.value.status_code == 403


def test_the_gates_cookie_and_what_speaks_for_the_origin_do_not_pass(hub: Machine, mallory: Student) -> None:
    page = mallory.client.get(f"/user/{MALLORY}/headers", headers={"X-Also": "1"})
    assert "hubrun-gate" not in page.text and "jupyterhub-hub-login" not in page.text
    assert "x-also" in page.text.lower()
    assert not {"service-worker-allowed", "clear-site-data"} & set(page.headers)


def test_a_token_opens_its_own_server_in_the_header_and_never_in_an_address(
    hub: Machine, mallory: Student, root: str
) -> None:
    tokens = {}
    for name in (MALLORY, TEACHER):
        with Student(hub.info, name) as person:
            person.launch(*key_and_secret(hub))
            made = person.client.post(f"/hub/api/users/{name}/tokens", json={"note": "script"}, headers=script(person))
            tokens[name] = made.json()["token"]
    with Visitor(hub.info) as program:
        path = f"/user/{MALLORY}/evil"
        assert MARK in program.client.get(path, headers={"Authorization": f"token {tokens[MALLORY]}"}).text
        assert MARK not in program.client.get(path, headers={"Authorization": f"token {tokens[TEACHER]}"}).text
        assert MARK not in program.client.get(f"{path}?token={tokens[MALLORY]}", follow_redirects=True).text


# --------------------------------------------------------------------------------------- sessions


def test_after_a_logout_no_copy_of_a_cookie_is_worth_anything(hub: Machine, mallory: Student) -> None:
    with Student(hub.info, MALLORY) as person, Visitor(hub.info) as thief:
        person.launch(*key_and_secret(hub))
        assert MARK in person.client.get(f"/user/{MALLORY}/evil", follow_redirects=True).text
        thief.client.cookies.update(person.client.cookies)
        assert thief.user == MALLORY
        page = person.client.get("/hub/logout")
        assert person.user == MALLORY, "a link or an image logs nobody out"
        xsrf = html.unescape(re.search(r'name="_xsrf" value="([^"]*)"', page.text)[1])  # type: ignore[index]
        assert person.client.post("/hub/logout", data={}).status_code == 403
        person.client.post("/hub/logout", data={"_xsrf": xsrf})
        assert person.user == "" and thief.user == ""
        time.sleep(GATE_S + 1)
        assert MARK not in thief.client.get(f"/user/{MALLORY}/evil", follow_redirects=True).text
    mallory.launch(*key_and_secret(hub))


def test_the_cookies_of_a_login_are_the_hosts_own_and_end_after_a_week(hub: Machine) -> None:
    with Student(hub.info, TEACHER) as person:
        answer = person.launch(*key_and_secret(hub))
    lines = {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}
    for name in ("jupyterhub-hub-login", "__Host-hubrun-gate"):
        said = lines[name].lower()
        assert all(word in said for word in ("httponly", "secure", "samesite=lax")) and "domain" not in said, said
    assert "path=/;" in lines["__Host-hubrun-gate"].lower().replace("path=/ ", "path=/;") + ";"


# --------------------------------------------------------------------------------------- strangers


def test_strangers_cannot_tell_who_is_here(hub: Machine, mallory: Student) -> None:
    """Running, stopped, and unknown: one answer for all, on each way."""
    with Visitor(hub.info) as stranger:
        ways: list[Callable[[str], httpx.Response]] = [
            lambda name: stranger.client.get(f"/user/{name}/api/status", follow_redirects=True),
            lambda name: stranger.client.post(f"/user/{name}/api/kernels"),
            lambda name: stranger.client.get(f"/user/{name}", follow_redirects=True),
            lambda name: stranger.client.get(f"/hub/user/{name}/", follow_redirects=True),
            lambda name: stranger.client.get(f"/hub/spawn/{name}", follow_redirects=True),
            lambda name: stranger.client.get(f"/hub/api/users/{name}"),
        ]
        for way in ways:
            said = {
                (answer.status_code, _same(answer.text, name))
                for name in (MALLORY, TEACHER, "nobody-at-all")
                for answer in [way(name)]
            }
            assert len(said) == 1, said


def _same(text: str, name: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC|xsrf[^\n]*|[\w-]{40,}", "", text.replace(name, "NAME"))


def test_a_large_body_is_refused_before_it_is_read(hub: Machine, mallory: Student) -> None:
    """By its length at the hub; by who sends it, at a server."""
    for path, wanted in (("/hub/lti/launch", "413"), ("/hub/login", "413"), (f"/user/{MALLORY}/api/contents/x", "403")):
        answer, sent = dripped(hub, path, 95_000_000)
        assert f" {wanted} " in answer.splitlines()[0], (path, answer[:200])
        assert sent < 1_000_000, path
    answer = mallory.client.put(f"/user/{MALLORY}/api/contents/x", content=b"x" * 20_000_000)
    assert answer.status_code == 200, "her own upload goes through"
    spooled = hub.run("find /var/lib/nginx/body -type f | wc -l").strip()
    assert spooled == "0"


def dripped(hub: Machine, path: str, length: int) -> tuple[str, int]:
    """Announce a body, send a little of it, and see what comes; how much was taken."""
    connection = http.client.HTTPSConnection(
        hub.info["domain"], hub.info["https_port"], context=trust(hub.info["ca_bundle"]), timeout=10
    )
    connection.connect()
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(hub.info['url']).netloc}\r\nContent-Length: {length}\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
    connection.sock.sendall(head.encode() + b"x" * 1000)
    answer = connection.sock.recv(65536).decode(errors="replace")
    connection.close()
    return answer, 1000


def test_the_hub_takes_no_large_body_from_a_students_container_either(hub: Machine, mallory: Student) -> None:
    """Straight to 8081, which a student's server needs: six times 95 MB, at once."""
    script = """
import http.client, os, threading, urllib.parse
hub = urllib.parse.urlsplit(os.environ["JUPYTERHUB_API_URL"])
came = []
def post():
    try:
        c = http.client.HTTPConnection(hub.hostname, hub.port, timeout=30)
        c.request("POST", "/hub/lti/launch", b"x" * 95_000_000, {"Content-Type": "application/x-www-form-urlencoded"})
        came.append(str(c.getresponse().status))
    except OSError as error:
        came.append(type(error).__name__)
threads = [threading.Thread(target=post) for _ in range(6)]
[t.start() for t in threads]; [t.join() for t in threads]
print(" ".join(came))
"""
    memory = "awk '/^VmHWM/ {print $2}' /proc/$(systemctl show jupyterhub -p MainPID --value)/status"
    before = int(hub.run(memory))
    came = hub.run('docker exec -i "$1" python -', hub.container_of(MALLORY), data=script.encode(), seconds=120)
    after = int(hub.run(memory))
    assert not re.search(r"\b(2\d\d|401)\b", came), came
    assert after - before < 50_000, f"the hub took {(after - before) // 1024} MB ({came})"


def test_the_hubs_answers_name_no_version_and_let_nothing_be_guessed(hub: Machine, mallory: Student) -> None:
    with Visitor(hub.info) as stranger:
        answers = [stranger.client.get(path) for path in ("/hub/login", "/hub/api", "/hub/static/css/style.min.css")]
    answers.append(mallory.client.get(f"/user/{MALLORY}/evil"))
    for answer in answers:
        assert "x-jupyterhub-version" not in answer.headers
        for name, value in (
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
        ):
            assert answer.headers.get_list(name) == [value], (str(answer.url), name)


def test_a_class_launches_at_once_and_a_flood_gets_a_page(hub: Machine, root: str) -> None:
    flood = "curl -skZ -m $3 --parallel-max 60 -o /dev/null -w '%{http_code}\\n' --resolve $1:443:127.0.0.1 \"https://$1/hub/lti13/jwks?[1-$2]\" | sort | uniq -c"
    domain = hub.info["domain"]
    assert "429" not in hub.run(flood, domain, "400", "60", seconds=120), "200 launches of 1.3 are 400 requests"
    # whoever floods does not wait for answers
    assert "429" in hub.run(flood, domain, "3000", "0.5", seconds=120)
    page = hub.run(
        "curl -sk -o /dev/null -w '%{http_code}' --resolve $1:443:127.0.0.1 https://$1/hub/health",
        domain,
    )
    assert page.endswith("200"), "the rest of the hub goes on"


def test_notebooks_go_on_while_the_hub_restarts(hub: Machine, mallory: Student) -> None:
    path = f"/user/{MALLORY}/evil"
    assert MARK in mallory.client.get(path, follow_redirects=True).text
    hub.run("systemctl stop jupyterhub")
    try:
        time.sleep(GATE_S + 1)
        assert MARK in mallory.client.get(path).text
        with Visitor(hub.info) as stranger:
            answer = stranger.client.get(path)
            assert (answer.status_code, MARK in answer.text) == (503, False) and "restarting" in answer.text
    finally:
        hub.run(
            "systemctl start jupyterhub; curl -fsS --retry 60 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:8000/hub/health",
            seconds=90,
        )


def test_what_the_hub_grants_by_a_role_passes(hub: Machine, mallory: Student) -> None:
    """Any role but the administrators'."""
    role = f'c.JupyterHub.load_roles.append({{"name": "sees-mallory", "users": [{TEACHER!r}], "scopes": ["access:servers!user={MALLORY}"]}})\n'
    with settings(hub, role), Student(hub.info, TEACHER) as teacher:
        teacher.launch(*key_and_secret(hub))
        assert MARK in teacher.client.get(f"/user/{MALLORY}/evil", follow_redirects=True).text
