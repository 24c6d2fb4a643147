"""hubrun as an LMS, tried on a real JupyterHub behind TLS: the launch matrix of both versions, and `./hubrun launch`."""

from __future__ import annotations

import html
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_launch_local import make_certificates, tls
from test_lti11_cases import NAME_KEY

from hubrun import server_paths
from hubrun.cli import launch as launch_cli
from hubrun.cli.people import ask
from hubrun.desired.diagnosis import launch_cause
from hubrun.environment import PROJECT
from hubrun.lms import lti11_cases, lti13_cases, temporary_consumer
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.lms.lti11 import canvas_launch
from hubrun.lms.platform13 import Key, Lms, Person
from hubrun.params import Site
from hubrun.shell import quote
from hubrun.ssh.output import Output
from hubrun_hub.programs import sign_launch
from lti_hub import HOST, KEY, PUBLIC_URL, SECRET, Hub, running_hub

pytestmark = pytest.mark.hub


def forward(listening: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """TLS before a hub: what nginx does on a server."""

    def pump(source: Any, sink: Any) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(client: socket.socket) -> None:
        try:
            with (
                context.wrap_socket(client, server_side=True) as inside,
                socket.create_connection(("127.0.0.1", port)) as hub,
            ):
                back = threading.Thread(target=pump, args=(hub, inside), daemon=True)
                back.start()
                pump(inside, hub)
                back.join(5)
        except OSError:
            pass

    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(client,), daemon=True).start()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Route]]:
    folder = tmp_path_factory.mktemp("hub")
    ca, leaf, _ = make_certificates(tmp_path_factory.mktemp("tls"), HOST.partition(":")[0])
    with running_hub(folder) as hub, socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=forward, args=(listening, tls(leaf, []), hub.port), daemon=True).start()
        yield hub, Route(PUBLIC_URL, "127.0.0.1", listening.getsockname()[1], str(ca))


@contextmanager
def known_lms(hub: Hub, prefix: str, authorize_url: str) -> Iterator[Lms]:
    """What temporary_consumer does on a server."""
    file = hub.folder / "consumers.d" / "hubruntest.json"
    key = Key(os.urandom(4).hex())
    text = temporary_consumer.consumer(prefix, "id", [key.jwk], authorize_url)
    file.write_text(text.replace('"EXPIRES"', str(int(time.time()) + 120)))
    yield Lms(f"{PUBLIC_URL}hub/", temporary_consumer.ISSUER, "id", key)
    file.unlink()


@pytest.fixture
def lms(real: tuple[Hub, Route], tmp_path: Path) -> Iterator[Lms]:
    """The LMS of 06_verify."""
    with known_lms(real[0], "hubruntest", "http://127.0.0.1/authorize") as lms:
        yield lms


def test_a_real_hub_does_as_each_case_of_lti_1_1_says(real: tuple[Hub, Route]) -> None:
    url = f"{PUBLIC_URL}hub/lti/launch"
    form = canvas_launch(url, username="hubruntest3", user_id="hubruntest2", course="")
    checks = lti11_cases.check(
        real[1], lti11_cases.cases(url, form, NAME_KEY, "hubruntest3", ""),
        lambda launches: [sign_launch.sign(asdict(each), KEY, SECRET) for each in launches],
    )  # fmt: skip
    assert [check for check in checks if not check.ok] == []


def test_a_real_hub_does_as_each_case_of_lti_1_3_says(real: tuple[Hub, Route], lms: Lms) -> None:
    cases = lti13_cases.cases(lms, "hubruntest3", "hubruntest__hubruntest3")
    checks = lti13_cases.check(real[1], lms, cases, Person("hubruntest3"))
    assert [check for check in checks if not check.ok] == []


def test_a_hub_that_does_not_know_the_lms_fails_the_good_launch_with_a_cause(real: tuple[Hub, Route], lms: Lms) -> None:
    stranger = Lms(lms.hub_url, "https://another.invalid", lms.client_id, lms.key)
    with Browser(real[1]) as browser:
        launch = lti13_cases.launch(browser, stranger, Person("hubruntest3"))
    check = lti11_cases.judge("good", lti11_cases.Wanted(user="hubruntest__hubruntest3"), launch)
    assert not check.ok and check.cause == launch_cause(401, False, "not-trusted")


# -- ./hubrun launch ------------------------------------------------------------------------------------------------


class ThisMachine:
    """In place of a server: scripts run here, with the hub's files where the real hub has them."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def run(self, template: str, *args: object, data: bytes = b"", check: bool = True) -> Output:
        done = subprocess.run(["sh", "-c", quote(template, *args)], input=data, capture_output=True, check=check)
        return Output(done.returncode, done.stdout.decode(), done.stderr.decode())

    def probe(self, *scripts: str) -> list[Output]:
        return [self.run(script) for script in scripts]


SITE = Site(
    site="bio", domain="hub.example.edu", https_port=8443, lti_version="both", consumers=[{"name": "bio"}],  # type: ignore[list-item]
)  # fmt: skip


@pytest.fixture
def server(real: tuple[Hub, Route], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ThisMachine:
    hub = real[0]
    hub.consumer("bio", "the-key-of-bio", "the-secret-of-bio", "bio")
    monkeypatch.setattr(launch_cli, "GRACE_S", 0)
    monkeypatch.setattr(server_paths, "VENV", sys.prefix)
    monkeypatch.setattr(server_paths, "HUB_CODE", str(PROJECT / "lib" / "hubrun_hub"))
    monkeypatch.setattr(server_paths, "STATE", str(hub.folder))
    monkeypatch.setattr(server_paths, "LTI_ENV", str(hub.folder / "lti.env"))
    monkeypatch.setattr(server_paths, "CONSUMERS", str(hub.folder / "consumers.d"))
    monkeypatch.setattr(
        launch_cli, "temporary_consumer",
        lambda _, prefix, authorize_url, seconds: known_lms(hub, prefix, authorize_url),
    )  # fmt: skip
    return ThisMachine(SITE)


def submit(page: str) -> tuple[str, dict[str, str]]:
    """Where a page's form goes, and what it says: what its script does in a browser."""
    [url] = re.findall(r'action="([^"]*)"', page)
    fields = re.findall(r'name="([^"]*)" value="([^"]*)"', page)
    return html.unescape(url), {html.unescape(name): html.unescape(value) for name, value in fields}


@pytest.mark.parametrize(
    ("identity", "consumer", "lti", "user"),
    [("Émile <1>", "default", "1.1", ""), ("ben", "bio", None, "bio__ben"), ("cho", "default", "1.3", "cho")],
)
def test_a_person_who_opens_the_page_is_logged_in_under_the_name_that_was_said(
    real: tuple[Hub, Route], server: Any, identity: str, consumer: str, lti: Any, user: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    hub, route = real
    plan = launch_cli.make_plan(SITE, identity, "Instructor", "BIO 101", consumer, lti)
    plan = launch_cli.with_person(plan, SITE, ask(server, "list"))
    assert plan.user == (user or plan.user)
    assert launch_cli.known(server, plan.user) == set()
    began = len(hub.log)
    with ExitStack() as stack, Browser(route) as browser:
        page = launch_cli.prepare(server, plan, stack)
        stack.enter_context(page.serving())
        launch = browser.launch(*submit(httpx.get(page.url).text))
        if plan.version == "1.3":
            assert launch.location.startswith(f"{page.authorize_url}?")
            launch = browser.launch(*submit(httpx.get(launch.location).text))
            assert httpx.get(f"{page.authorize_url}?login_hint=another").status_code == 404
        assert (launch.cookie, launch.user) == (True, plan.user), launch
        assert launch_cli.wait(page, plan, lambda: hub.log[began:]) == 0
    assert capsys.readouterr().err == f"{plan.user} is logged in.\n"
    assert launch_cli.known(server, plan.user) == {"user"}
    prefix = f"course-{plan.consumer.prefix}__" if plan.consumer.prefix else "course-"
    groups = hub.groups(plan.user)
    assert len(groups) == 2 and all(group.startswith(prefix) for group in groups)
    assert not (hub.folder / "consumers.d" / "hubruntest.json").exists()


def test_a_launch_tells_the_hub_nothing_untrue_of_the_person(real: tuple[Hub, Route], server: Any) -> None:
    hub, route = real
    for lti in ("1.1", "1.3"):
        plan = launch_cli.make_plan(SITE, "dan", "Learner", "", "default", lti)  # type: ignore[arg-type]
        plan = launch_cli.with_person(plan, SITE, ask(server, "list"))
        with ExitStack() as stack, Browser(route) as browser:
            page = launch_cli.prepare(server, plan, stack)
            stack.enter_context(page.serving())
            launch = browser.launch(*submit(httpx.get(page.url).text))
            if lti == "1.3":
                launch = browser.launch(*submit(httpx.get(launch.location).text))
            assert launch.user == "dan"
    with sqlite3.connect(hub.folder / "lti_people.sqlite") as people:
        rows = people.execute(
            "SELECT DISTINCT field, value FROM field JOIN person ON number = person WHERE user = 'dan'"
        ).fetchall()
    assert rows == [(NAME_KEY, "dan")]
    assert hub.groups("dan") == set(), "outside a course"


def test_a_refusal_is_read_from_the_hubs_own_log(real: tuple[Hub, Route]) -> None:
    hub, route = real
    began = len(hub.log)
    form = canvas_launch(SITE.launch_url, username="eve", user_id="1")
    with Browser(route) as browser:
        old = sign_launch.sign({"url": SITE.launch_url, "form": form, "age_s": 660}, KEY, SECRET)
        assert browser.launch(SITE.launch_url, old).reason == "expired"
    [(line, reason)] = launch_cli.refusals(hub.log[began:])
    assert reason == "expired"
    assert re.fullmatch(r"LTI launch by consumer default refused \(expired\): signed 66\d s ago, 600 are allowed", line)
