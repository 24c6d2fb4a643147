"""`./hubrun status`: what it prints, and what a monitor learns from how it ends. Servers are played by sshd and a program."""

from __future__ import annotations

import json
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from hubrun import server_paths
from hubrun.cli.main import hubrun
from hubrun.cli.status_report import SiteStatus
from hubrun.environment import PROJECT
from sshd import Sshd, serve

NOW = time.time()
SEEN: dict[str, Any] = {
    "at": NOW, "domain": "hub.example.edu", "host": "hub", "unread": {},
    "units": {"jupyterhub.service": "active", "nginx.service": "active"},
    "hub": {"answers": True, "problem": ""}, "certificate": {"until": NOW + 61.2 * 86400, "problem": ""},
    "disks": [{"path": "/", "size_mb": 40960, "left_mb": 20480, "used": 50, "files_used": 3}],
    "memory": {"total_mb": 8192, "available_mb": 4096, "swap_mb": 2048, "swap_left_mb": 1948},
    "docker": {
        "live_restore": True, "swarm": False, "image": "class", "image_id": "sha256:" + "a" * 64,
        "servers": [
            {"user": "ada", "image": "sha256:" + "a" * 64, "memory_mb": 200, "limit_mb": 1024, "since": "2026-11-26T08:00:00Z"},
            {"user": "cy", "image": "sha256:" + "c" * 64, "image_name": "class-ml", "memory_mb": 0, "limit_mb": 1024, "since": "2026-11-26T08:00:00Z"},
            {"user": "bob", "image": "sha256:" + "b" * 64, "memory_mb": 90, "limit_mb": 1024, "since": "2026-11-26T08:00:00Z"},
        ],
    },
    "starts": [
        {"at": NOW - 600, "user": "ada", "ok": True, "seconds": 3.2, "why": ""},
        {"at": NOW - 60, "user": "eve", "ok": False, "seconds": 0, "why": "ended at its start \x1b[2J"},
    ],
    "updates": {"waiting": 3, "security": 1, "by_itself": True, "last": NOW - 60, "reboot": True},
    "backup": {"last_ok": "2026-11-26T02:10:00Z", "last_error": "", "test_restore": {"at": "2026-11-22T02:40:00Z", "ok": True}},
    "alarms": {"error": "", "troubles": {}}, "measured": NOW - 1200,
    "shares": {
        "people": [{"user": f"s{number}", "disk_mb": 3000 - number, "memory_mb": 0} for number in range(30)],
        "courses": [{"course": "bio", "name": "BIO <101>", "people": 30, "folder_mb": 80, "homes_mb": 85000, "memory_mb": 290}],
    },
}  # fmt: skip
REBOOT = {"key": "reboot", "level": "warning", "text": "updates wait for a reboot", "do": "Choose an hour"}
FULL = {"key": "disk /", "level": "broken", "text": "the disk at / is nearly full", "do": "Make room"}

Status = Callable[..., Result]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def sites(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes the params file of a site on the server, which says what is in the file DOMAIN beside it."""
    monkeypatch.setattr(server_paths, "program", lambda name: f"cd {tmp_path} && cat")

    def make(name: str, *troubles: dict[str, str], seen: object = SEEN, **changes: Any) -> Path:
        domain = f"{name}.example.edu"
        (tmp_path / domain).write_text(json.dumps({"seen": seen, "troubles": list(troubles)}))
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(sshd.parameters(site=name, domain=domain) | changes))
        return file

    return make


def status(*words: object) -> Result:
    return CliRunner().invoke(hubrun, ["status", *map(str, words)], standalone_mode=False)


def test_how_it_ends_is_what_monitors_take(sites: Callable[..., Path]) -> None:
    fine, warning, broken = sites("fine"), sites("old", REBOOT), sites("full", REBOOT, FULL)
    away = sites("away", ssh_port=9)
    assert [status(each).return_value for each in (fine, warning, broken, away)] == [0, 1, 2, 3]
    assert status(fine, warning).return_value == 1
    assert status(fine, broken, warning).return_value == 2
    assert status(broken, away).return_value == 3


def test_what_is_wrong_with_the_command_itself_is_not_taken_for_a_broken_server(
    sites: Callable[..., Path], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("site: wrong\ndomian: x\n")
    found = status(sites("fine"), wrong)
    assert found.return_value == 3
    said = " ".join(found.output.split())  # a table has the width of the terminal, and a path may be long
    assert "unknown parameter domian (line 2)" in said and "✓ fine" in said
    for words in ([], [sites("fine"), "--colour"], [sites("fine"), "--page", tmp_path / "no" / "page.html"]):
        error: Any = status(*words).exception
        assert error.exit_code == 3, words


def test_one_site_is_shown_with_all_that_is_known(sites: Callable[..., Path]) -> None:
    text = status(sites("bio", FULL)).output
    assert text.startswith("bio: ✕ broken\n✕ broken: the disk at / is nearly full. Make room\n")
    for says in (
        "hub, proxy, nginx, Docker and its filter run", "3 run, 1 on an older image", "4.0 GB of 8.0 GB left, 100 MB in swap",
        "50 % used, 20.0 GB left", "61 days", "3 wait, 1 of them for security, a reboot waits", "class aaaaaaaaaaaa",
        "1 failed", "are sent", "BIO <101>", "failed: ended at its start",
    ):  # fmt: skip
        assert says in text, says
    assert "last 26 Nov 2026" in text and "test restore 22 Nov 2026" in text
    assert "s9" in text and "s10" not in text
    # what a student's server said gives no orders to the terminal
    assert "\x1b[2J" not in text and "\\x1b[2J" in text


def test_several_sites_are_a_table_and_a_line_for_each_trouble(sites: Callable[..., Path]) -> None:
    text = status(sites("bio"), sites("chem", REBOOT), sites("away", ssh_port=9)).output
    assert re.search(r"^bio +✓ fine +3 run", text, re.MULTILINE)
    assert re.search(r"^chem +! warning +3 run", text, re.MULTILINE)
    assert re.search(r"^away +\? not reached", text, re.MULTILINE)
    assert "! chem: warning: updates wait for a reboot. Choose an hour\n" in text
    assert "? away: not reached: " in text and "s0" not in text


def test_a_server_of_another_version_is_said_to_be_one(sites: Callable[..., Path], tmp_path: Path) -> None:
    older = sites("older")
    (tmp_path / "older.example.edu").unlink()
    found = status(older)
    assert (found.return_value, "it was not set up by this version" in found.output) == (2, True)
    partly = status(sites("partly", seen={"at": NOW, "unread": {"docker": "x"}, "units": {"nginx.service": "failed"}}))
    assert partly.return_value == 0
    assert "nginx failed" in partly.output and "not known" in partly.output


def test_json_has_everything(sites: Callable[..., Path]) -> None:
    bio, away = sites("bio", REBOOT), sites("away", ssh_port=9)
    found = status(bio, away, "--json")
    said = json.loads(found.output)
    assert said[str(bio)] == {"site": "bio", "code": 1, "status": "warning", "troubles": [REBOOT], "seen": SEEN}
    assert said[str(away)]["code"] == 3 and "error" in said[str(away)]


def test_the_page_is_whole_and_for_the_operator_alone(sites: Callable[..., Path], tmp_path: Path) -> None:
    page = tmp_path / "status.html"
    assert status(sites("bio", FULL), sites("away", ssh_port=9), "--page", page).return_value == 3
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text()
    HTMLParser().feed(text)
    assert "BIO &lt;101&gt;" in text and "s29" in text and "\x1b" not in text.replace("\\x1b", "")
    # the word beside the colour
    assert '<span aria-hidden="true">✕</span> broken</span> the disk at / is nearly full' in text
    assert '<span aria-hidden="true">?</span> not reached</span>' in text
    assert "records verify" not in text


def test_it_is_one_round_trip_and_leaves_nothing_behind(sites: Callable[..., Path], sshd: Sshd) -> None:
    bio = sites("bio")
    before = len(sshd.commands)
    assert status(bio).return_value == 0
    assert len(sshd.commands) == before + 1
    assert not (PROJECT / "records" / "bio").exists()


@pytest.mark.slow
def test_many_sites_take_as_long_as_one(
    sites: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server_paths, "program", lambda name: f"sleep 1; cd {tmp_path} && cat")
    many = [sites(f"site{number}") for number in range(8)]
    began = time.monotonic()
    assert status(*many).return_value == 0
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_the_servers_own_program_answers_it(sites: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, which is no hub: what it says is read, and is broken."""
    command = f"{sys.executable} -I -B {PROJECT}/lib/hubrun_hub"
    monkeypatch.setattr(server_paths, "program", lambda name: f"{command} {name}")
    found = status(sites("here"), "--json")
    [said] = json.loads(found.output).values()
    assert (found.return_value, said["code"]) == (2, 2)
    assert said["seen"]["memory"]["total_mb"] > 0 and said["seen"]["domain"] == "here.example.edu"


def test_a_part_that_is_not_there_is_not_known() -> None:
    assert set(SiteStatus(Path("x"), "x", seen={"at": NOW}).facts().values()) == {"not known"}
