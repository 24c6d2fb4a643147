"""`./hubrun launch` without a hub: the page on this machine, what is said before and after, and what is refused at once.

Launches of a real hub are in test_lms_hub, in a browser on a practice server in tests/server/test_launch.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hubrun.cli import launch as launch_cli
from hubrun.cli import main
from hubrun.errors import BadInput, CheckFailed, CommandFailed
from hubrun.lms.launch_page import Form, LaunchPage
from hubrun.params import Site

SITE = Site(
    site="bio", domain="hub.example.edu", lti_version="both",
    consumers=[{"name": "chem", "lti_version": "1.3", "client_ids": ["1"]}, {"name": "same", "prefix": ""}],  # type: ignore[list-item]
)  # fmt: skip


@contextmanager
def page(answer: Any = None, **changes: Any) -> Iterator[LaunchPage]:
    count = iter(range(100))

    def launch(hint: str) -> Form:
        return Form(
            "https://hub.example.edu/launch", {"number": str(next(count)), "hint": hint, "name": 'A "b" <c> & d'}
        )

    served = LaunchPage("Launching A <b>", changes.get("launch", launch), answer)
    with served.serving():
        yield served


def fields(text: str) -> dict[str, str]:
    return dict(re.findall(r'name="([^"]*)" value="([^"]*)"', text))


# -- the page -------------------------------------------------------------------------------------------------------


def test_each_opening_is_a_launch_of_its_own() -> None:
    with page() as served, httpx.Client() as browser:
        assert not served.opened.is_set()
        first, second = browser.get(served.url), browser.get(served.url)
        assert served.opened.is_set()
    assert [fields(answer.text)["number"] for answer in (first, second)] == ["0", "1"]
    assert 'action="https://hub.example.edu/launch"' in first.text
    assert fields(first.text)["name"] == "A &quot;b&quot; &lt;c&gt; &amp; d"
    assert "Launching A &lt;b&gt;" in first.text
    assert first.headers["cache-control"] == "no-store"


def test_only_the_first_browser_gets_in_as_the_address_shows_among_the_processes() -> None:
    with page() as served, httpx.Client() as browser:
        assert browser.get(served.url).status_code == 200
        assert httpx.get(served.url).status_code == 403
        assert httpx.get(served.url, cookies={"hubrun": "guessed"}).status_code == 403
        assert browser.get(served.url).status_code == 200
        assert "HttpOnly" in browser.get(served.url).headers["set-cookie"]


def test_without_the_secret_in_the_address_there_is_nothing() -> None:
    with page(lambda question: Form("x", {})) as served:
        assert served.url.startswith("http://127.0.0.1:")
        answers = [
            httpx.get(served.root + path) for path in ("/", "/favicon.ico", "/authorize", "/authorize?login_hint=")
        ]
        assert [answer.status_code for answer in answers] == [404] * 4
        assert not served.opened.is_set()


def test_a_question_of_the_hub_is_answered_once_and_only_for_a_launch_from_here() -> None:
    asked: list[dict[str, str]] = []

    def answer(question: dict[str, str]) -> Form:
        asked.append(question)
        return Form("https://hub.example.edu/callback", {"id_token": "t"})

    with page(answer) as served:
        hint = fields(httpx.get(served.url).text)["hint"]
        question = {"login_hint": hint, "nonce": "n", "state": "s"}
        assert fields(httpx.get(served.authorize_url, params=question).text) == {"id_token": "t"}
        assert httpx.get(served.authorize_url, params=question).status_code == 404
        assert httpx.get(served.authorize_url, params={**question, "login_hint": "another"}).status_code == 404
    assert asked == [question]


def test_a_launch_that_cannot_be_signed_says_so_on_the_page() -> None:
    def fails(hint: str) -> Form:
        raise CommandFailed("the launches were not signed: no <file>", "hub.example.edu", "Run 02 first")

    with page(launch=fails) as served:
        answer = httpx.get(served.url)
        assert not served.opened.is_set()
    assert answer.status_code == 502
    assert "hub.example.edu: the launches were not signed: no &lt;file&gt;. Run 02 first" in answer.text


# -- whom, and how --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "consumer", "lti", "user", "version"),
    [
        ("Student1", "default", None, "student1", "1.1"),
        ("student1", "default", "1.3", "student1", "1.3"),
        ("student1", "chem", None, "chem__student1", "1.3"),
        ("student1", "same", None, "student1", "1.1"),
        ("ada@example.edu", "default", None, "ada-example-edu--4zqyhua5mz675byy3rhfyvbk3g", "1.1"),
    ],
)
def test_the_name_is_the_one_that_canvass_launch_would_give(
    identity: str, consumer: str, lti: Any, user: str, version: str
) -> None:
    plan = launch_cli.make_plan(SITE, identity, "Learner", "", consumer, lti)
    assert (plan.user, plan.version) == (user, version)


def test_opaque_ids_keep_their_case_here_as_there() -> None:
    site = SITE.model_copy(update={"lti_username_key": "user_id"})
    upper, lower = (launch_cli.make_plan(site, name, "Learner", "", "default", None).user for name in ("aB", "ab"))
    assert lower == "ab" and upper.startswith("ab--")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ada", "Learner", "", "physics", None), "the site has no consumer 'physics'. It has default, chem, same"),
        (("ada", "Learner", "", "chem", "1.1"), "the lti_version of consumer chem is 1.3: the hub takes no launches with LTI 1.1"),
        ((" ", "Learner", "", "default", None), "' ' is nobody"),
        (("$Person.sourcedId", "Learner", "", "default", None), "is nobody"),
        (("hubruntest2", "Learner", "", "default", None), "a test user of 06_verify"),
    ],
)  # fmt: skip
def test_what_the_hub_would_refuse_is_refused_before_anything_is_touched(arguments: Any, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        launch_cli.make_plan(SITE, *arguments)
    assert says in str(caught.value)


def test_it_is_said_whose_home_it_is() -> None:
    plan = launch_cli.make_plan(SITE, "Ada", "Instructor", "BIO 101", "chem", None)
    new, user, home = (launch_cli.announcement(SITE, plan, there) for there in (set(), {"user"}, {"user", "home"}))
    said = "Ada will be logged in to https://hub.example.edu as the hub's user chem__ada (Instructor in the course 'BIO 101', LTI 1.3 of consumer chem)."
    assert new.splitlines()[0] == user.splitlines()[0] == home.splitlines()[0] == said
    assert "no such user yet" in new
    assert "that person's own home" in user
    assert "their own home, with their own files" in home
    practice = SITE.model_copy(update={"public_address": "10.0.0.1", "trust_ca_file": "ca.pem"})
    assert "hub.example.edu at 10.0.0.1" in launch_cli.announcement(practice, plan, set())
    assert "ca.pem" in launch_cli.announcement(practice, plan, set())


@pytest.fixture
def hubrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    (tmp_path / "bio.yaml").write_text(yaml.safe_dump({"site": "bio", "domain": "hub.example.edu"}))

    def run(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["hubrun", "launch", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return ended.value.code, "".join(capsys.readouterr())

    monkeypatch.chdir(tmp_path)
    return run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bio.yaml"], "Missing option '--as'"),
        (["bio.yml", "--as", "ada"], "Did you mean bio.yaml?"),
        (["bio.yaml", "--as", "ada", "--role", "Student"], "'Student' is not one of 'Learner', 'Instructor'"),
        (
            ["bio.yaml", "--as", "ada", "--lti", "1.3"],
            "--lti: lti_version is 1.1: the hub takes no launches with LTI 1.3",
        ),
        (["bio.yaml", "--as", ""], "--as: '' is nobody"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(hubrun: Any, arguments: list[str], says: str) -> None:
    code, output = hubrun(*arguments)
    assert code == 2 and says in output and "Traceback" not in output


def test_help_shows_how_it_is_used(hubrun: Any) -> None:
    code, output = hubrun("--help")
    assert code == 0
    for word in ("--as student1", "--role Instructor", "--course", "--consumer", "--no-browser", "their own home"):
        assert word in output


# -- what becomes of it ---------------------------------------------------------------------------------------------


class Page:
    root = "http://127.0.0.1:1"

    def __init__(self, opened: bool = True) -> None:
        self.opened = threading.Event()
        if opened:
            self.opened.set()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_cli, "_POLL_S", 0.01)
    monkeypatch.setattr(launch_cli, "GRACE_S", 0)


PLAN = launch_cli.make_plan(SITE, "ada", "Learner", "", "default", None)


@pytest.mark.usefixtures("quick")
def test_it_waits_for_the_login_and_tells_each_refusal_once_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    refused = "[W 2026-11-24 JupyterHub handlers:1] LTI launch by consumer default refused (clock): signed 40 s in the future\n"
    other = "[I 2026-11-24 JupyterHub base:1033] User logged in: ada-2\n"
    logs = iter([other, other + refused, other + refused, refused + "[I 2026 JupyterHub base:1] User logged in: ada\n"])
    assert launch_cli.wait(Page(), PLAN, lambda: next(logs)) == 0  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.count("refused (clock): signed 40 s in the future") == 1
    assert "timedatectl" in said
    assert said.endswith("ada is logged in.\n")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("opened", "says"), [(False, "nobody opened the page"), (True, "tells of no login")])
def test_when_nothing_comes_it_ends_with_an_error(opened: bool, says: str) -> None:
    with pytest.raises(CheckFailed, match=says):
        launch_cli.wait(Page(opened), PLAN, lambda: "", seconds=0.05)  # type: ignore[arg-type]
