"""An address of its own for each person's server: switched on for a site in use, worked with, attacked, switched off.

The attack is the one by which a student had everything of a teacher who looked at a page of theirs, while all servers
shared the hub's address: the student's server is replaced by a program of their own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from canvas import key_and_secret
from git_outside import PATH, page_of_canvas, repository_outside
from machines import CHROMIUM_FLAGS, Ended, Machine, hubrun
from playwright.sync_api import Page, sync_playwright

from hubrun import params
from hubrun.desired.server import Server
from hubrun.lms import lti13_cases
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.lms.platform13 import Person
from hubrun.lms.temporary_consumer import temporary_consumer
from hubrun.params import Site
from hubrun.sections.canvas.git_links import GitLink
from hubrun_hub.lti.user_hosts import host
from hubrun_hub.student_volume import volume
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(900)]

ON = ("--set", "subdomains=true", "--set", "acme_dns=rfc2136")
STUDENT, EVIL, TEACHER = "rae", "mallory", "t.each"
COURSE = "SUB 101"

# What a student's home makes of their server: Jupyter reads this file before it listens.
_EVIL_SERVER = """
import http.server

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET

http.server.ThreadingHTTPServer(("0.0.0.0", 8888), Page).serve_forever()
"""
# On a click it tries to read the hub's pages and the teacher's files and to make a token, in each way that a page has.
_EVIL_PAGE = """<!doctype html><title>Homework</title><button>Show</button><pre></pre><script>
const hub = HUB, home = HOME, teacher = TEACHER;
async function read(url, options) {
    const answer = await fetch(url, {credentials: "include", ...options});
    const text = await answer.text();
    if (!answer.ok) throw new Error(answer.status);
    return text;
}
async function look(url) {
    const opened = window.open(url);
    await new Promise(resolve => setTimeout(resolve, 3000));
    try { return opened.document.body.innerText; } finally { opened.close(); }
}
async function framed(url) {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
    await new Promise(resolve => setTimeout(resolve, 2000));
    if (!frame.contentDocument.body.innerText) throw new Error("nothing is shown");
    return frame.contentDocument.body.innerText;
}
async function token(base) {
    const page = await read(base + "/hub/home");
    const xsrf = (page.match(/xsrf_token: "([^"]+)"/) || [])[1];
    const headers = {"X-XSRFToken": xsrf, "Content-Type": "application/json"};
    return read(`${base}/hub/api/users/${teacher}/tokens`, {method: "POST", body: "{}", headers});
}
const attacks = {
    "hub home": () => read(hub + "/hub/home"),
    "hub home here": () => read("/hub/home"),
    "token": () => token(hub),
    "token here": () => token(""),
    "token unread": () => read(`${hub}/hub/api/users/${teacher}/tokens`, {method: "POST", body: "{}", mode: "no-cors"})
        .then(text => { if (!text) throw new Error("nothing can be read"); return text; }),
    "files": () => read(home + "api/contents/"),
    "files by the hub": () => read(`${hub}/user/${teacher}/api/contents/`),
    "window of the hub": () => look(hub + "/hub/home"),
    "window of the teacher's server": () => look(home + "api/contents/"),
    "frame of the hub": () => framed(hub + "/hub/home"),
};
document.querySelector("button").onclick = async () => {
    const came = {};
    for (const [name, attack] of Object.entries(attacks)) {
        try { came[name] = "GOT " + (await attack()).slice(0, 60); } catch (error) { came[name] = "no: " + error; }
    }
    for (const cookie of ["jupyterhub-hub-login", "__Host-jupyterhub-hub-login", "_xsrf"])
        document.cookie = `${cookie}=evil; domain=${new URL(hub).hostname}; path=/hub/; secure`;
    document.querySelector("pre").innerText = JSON.stringify(came);
};
</script>"""


class People:
    """Canvas, and browsers that follow its launches to people's addresses."""

    def __init__(self, machine: Machine, site: Site) -> None:
        self.machine, self.site = machine, site
        self.key, self.secret = key_and_secret(machine)
        self.browsers: list[Browser] = []

    def form(self, name: str, path: str = "", **fields: Any) -> tuple[str, dict[str, str]]:
        url = self.site.launch_url + (f"?custom_next={quote(path, safe='')}" if path else "")
        return url, signed_form(url, self.key, self.secret, name, **{"course": COURSE, **fields})

    def launch(self, name: str, path: str = "", **fields: Any) -> Browser:
        browser = Browser(Route.to(self.site))
        self.browsers.append(browser)
        launch = browser.launch(*self.form(name, path, **fields))
        assert launch.user == name, launch.came
        return browser

    def at(self, name: str, path: str = "") -> str:
        """The address of a person's server."""
        port = urlsplit(self.site.url).port
        return f"https://{host(name, self.site.domain)}:{port}/user/{name}/{path}"


def certified(machine: Machine) -> str:
    """The names that the certificate on the server is for."""
    path = f"/etc/letsencrypt/live/{machine.info['domain']}/cert.pem"
    return machine.run("openssl x509 -in $1 -noout -ext subjectAltName", path)


@pytest.fixture(scope="module")
def machine(trixie: Machine, trixie_run: Ended) -> Machine:
    """The server with Debian 13 that was set up."""
    assert trixie_run.code == 0, trixie_run.tail
    return trixie


@pytest.fixture(scope="module")
def site(machine: Machine) -> Site:
    return params.load(machine.site, {"subdomains": "true", "acme_dns": "rfc2136"})


@pytest.fixture(scope="module")
def before(machine: Machine, site: Site) -> Iterator[Browser]:
    """A student who works while the site is switched, in a server that was started before."""
    browser = People(machine, site).launch("early")
    browser.start()
    browser.run_cell("kept = 6 * 7")
    browser.write_file("kept.txt", "kept")
    with browser:
        yield browser


@pytest.fixture(scope="module")
def switched(machine: Machine, before: Browser) -> Iterator[Ended]:
    """The site with addresses for people, as `install` makes it; and without again at the end."""
    ended = hubrun("install", machine.site, *ON, "--only", "03")
    assert ended.code == 0, ended.tail
    yield ended


@pytest.fixture(scope="module")
def people(machine: Machine, site: Site, switched: Ended) -> Iterator[People]:
    people = People(machine, site)
    yield people
    for browser in people.browsers:
        browser.close()


def test_switching_it_on_gets_a_wildcard_certificate_and_then_there_is_nothing_to_do(
    machine: Machine, switched: Ended
) -> None:
    names = certified(machine)
    assert f"DNS:*.{machine.info['domain']}" in names
    assert machine.run("stat -c %a:%U /etc/letsencrypt/hubrun-dns-credentials").strip() == "600:root"
    key = next(line for line in (machine.site.parent / "dns.ini").read_text().splitlines() if "secret" in line)
    secret = key.rpartition(" ")[2]
    assert secret not in switched.output
    assert not [path for path in switched.record.iterdir() if secret in path.read_text(errors="replace")]
    plan = hubrun("plan", machine.site, *ON)
    assert plan.code == 0, plan.tail


def test_a_server_that_ran_goes_on_at_its_new_address(machine: Machine, people: People, before: Browser) -> None:
    again = people.launch("early")
    assert again.start() == people.at("early", "lab")
    assert again.read_file("kept.txt") == "kept"
    again.kernel_id = before.kernel_id
    assert again.run_cell("kept") == "42"


def test_whoever_is_launched_works_at_an_address_of_their_own(machine: Machine, people: People) -> None:
    student = people.launch(STUDENT)
    assert student.start() == people.at(STUDENT, "lab")
    assert student.run_cell("6*7") == "42"
    assert student.get("/hub/token").status_code == 200
    # "My server", on the hub's home page, leads there.
    assert str(student.get("/hub/spawn").url).startswith(people.at(STUDENT, "lab"))
    # Somebody else reaches the address, and not the server.
    other = people.launch("sol")
    for url in (people.at(STUDENT, "lab"), people.at(STUDENT, "api/contents"), f"/user/{STUDENT}/lab"):
        assert other.get(url).status_code in (403, 404), url
    # Logged out at the hub, nobody is logged in anywhere.
    token = student._xsrf_token("/hub/")
    student._request("POST", "/hub/logout", headers={"X-XSRFToken": token, "Sec-Fetch-Site": "same-origin"})
    assert student.get(people.at(STUDENT, "api/contents")).status_code == 403


def test_lti_13_and_names_that_are_no_part_of_an_address(machine: Machine, people: People) -> None:
    with Server.connect(people.site) as server, temporary_consumer(server) as lms:
        browser = Browser(people.launch("sol").route)
        people.browsers.append(browser)
        launch = lti13_cases.launch(browser, lms, Person("o.brien", people.site.lti_username_key))
        assert launch.user.endswith("__o.brien"), launch.came
    assert browser.start() == people.at(launch.user, "lab")
    assert urlsplit(browser.lab_url).hostname == host(launch.user, people.site.domain)
    assert browser.run_cell("6*7") == "42"


def test_a_launch_pulls_a_repository_and_opens_its_notebook(machine: Machine, people: People) -> None:
    with repository_outside(machine, people.site) as repository, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        page = chromium.new_context(ignore_https_errors=True).new_page()
        link = GitLink(people.site.url, repository, "autumn", PATH)
        page.set_content(page_of_canvas(machine, link.launch_url, "pul.ler"))
        page.wait_for_url(f"{people.at('pul.ler')}lab/tree/course/{quote(PATH)}", timeout=120_000)
        page.get_by_text("Pulled from git").first.wait_for(timeout=60_000)
        chromium.close()


def test_the_last_runbook_passes(machine: Machine, switched: Ended) -> None:
    ended = hubrun("install", machine.site, *ON, "--only", "06")
    assert ended.code == 0, ended.tail


@pytest.fixture(scope="module")
def evil(machine: Machine, people: People) -> str:
    """The address of a page that a student's program serves in the place of their server."""
    page = _EVIL_PAGE
    for name, value in (("HUB", people.site.url), ("HOME", people.at(TEACHER)), ("TEACHER", TEACHER)):
        page = page.replace(f"= {name},", f"= {json.dumps(value)},").replace(f"= {name};", f"= {json.dumps(value)};")
    student = people.launch(EVIL)
    student.start()
    student.write_file("evil.py", f"PAGE = {page!r}\n{_EVIL_SERVER}")
    student.run_cell("""
import os, pathlib, shutil
folder = pathlib.Path.home() / ".jupyter"
folder.mkdir(exist_ok=True)
shutil.move(pathlib.Path.home() / "evil.py", folder / "jupyter_server_config.py")
""")
    student.stop()
    student.get("/hub/spawn", 120)
    for _ in range(120):
        found = student.get(people.at(EVIL, "evil"), 120)
        if "Homework" in found.text:
            break
    assert "Homework" in found.text, found.text[-1000:]
    return people.at(EVIL, "evil")


def tokens(machine: Machine, name: str) -> str:
    """How many tokens the hub knows of somebody."""
    code = """
import sqlite3, sys
database = sqlite3.connect("file:/var/lib/jupyterhub/jupyterhub.sqlite?mode=ro", uri=True)
query = "SELECT count(*) FROM api_tokens JOIN users ON users.id = user_id WHERE users.name = ?"
print(*database.execute(query, sys.argv[1:]).fetchone())
"""
    return machine.run('/opt/jupyterhub/bin/python -c "$1" "$2"', code, name)


def click(page: Page, url: str) -> dict[str, str]:
    """What a page of a student's got when somebody clicked on it: by attack."""
    page.goto(url)
    page.get_by_role("button").click()
    page.wait_for_function("document.querySelector('pre').innerText", timeout=60_000)
    return dict(json.loads(page.locator("pre").inner_text()))


def test_a_students_page_can_do_nothing_as_the_teacher_who_looks_at_it(
    machine: Machine, people: People, evil: str
) -> None:
    teacher = people.launch(TEACHER, role="Instructor")
    teacher.start()
    grader = teacher.get(f"{teacher.home_path}formgrader")
    assert grader.status_code == 200 and "formgrader" in grader.text.lower()
    url, form = people.form(TEACHER, role="Instructor")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        context = chromium.new_context(ignore_https_errors=True)
        page = context.new_page()
        fields = "".join(
            f"<input name='{name}' value='{value.replace(chr(39), '&#39;')}'>" for name, value in form.items()
        )
        page.set_content(f"<form action='{url}' method=post>{fields}</form><script>document.forms[0].submit()</script>")
        page.wait_for_url(f"{people.at(TEACHER)}lab**", timeout=120_000)
        made = tokens(machine, TEACHER)
        came = click(page, evil)
        assert len(came) == 10 and not [name for name, text in came.items() if text.startswith("GOT")], came
        # The cookies that the page set for the hub did not take the teacher's place there.
        page.goto(f"{people.site.url}/hub/home")
        assert f'user: "{TEACHER}"' in page.content()
        assert tokens(machine, TEACHER) == made, "a token was made"
        chromium.close()


def test_switching_it_off_leads_everybody_back_to_one_address(machine: Machine, people: People, evil: str) -> None:
    plan = hubrun("plan", machine.site)
    assert plan.code == 2, plan.tail
    assert "students' servers, which have addresses that no longer exist; their files stay" in plan.output
    ended = hubrun("install", machine.site, "--only", "03")
    assert ended.code == 0, ended.tail
    plan = hubrun("plan", machine.site)
    assert plan.code == 0, plan.tail
    assert "DNS:*." not in certified(machine)
    assert (
        machine.run("ls /etc/letsencrypt/hubrun-dns-credentials 2>&1; true")
        .strip()
        .endswith("No such file or directory")
    )
    student = people.launch("early")
    assert student.start() == f"{people.site.url}/user/early/lab"
    assert student.read_file("kept.txt") == "kept"
    for name in ("early", "sol", STUDENT, EVIL, TEACHER, "pul.ler", "hubruntest__o.brien"):
        machine.run('docker rm -f $(docker ps -aq --filter "volume=$1"); docker volume rm -f "$1"; true', volume(name))
