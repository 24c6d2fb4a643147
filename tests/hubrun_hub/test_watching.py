"""What a server says of itself: what is trouble, who is told and how often, and who uses how much."""

from __future__ import annotations

import json
import os
import re
import runpy
import socketserver
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.homes import folders
from hubrun_hub.homes.places import HomeError
from hubrun_hub.programs import alarm
from hubrun_hub.programs import load as note_load
from hubrun_hub.watching import alarms, former_secrets, kept, load, seen, sending, starts, updates, usage
from hubrun_hub.watching.judge import Trouble, judge

NOW = 1_800_000_000.0
DAY, HOUR = 86400.0, 3600.0
START = {"at": NOW - 60, "user": "ada", "ok": True, "seconds": 3.0, "why": ""}


def failed(user: str = "ada", ago: float = 60) -> dict[str, Any]:
    return START | {"at": NOW - ago, "user": user, "ok": False, "why": "ended at its start (1)"}


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


WELL: dict[str, Any] = {
    "at": NOW, "domain": "hub.example.edu", "host": "hub", "unread": {},
    "units": dict.fromkeys(seen.UNITS, "active"),
    "hub": {"answers": True, "problem": ""},
    "certificate": {"until": NOW + 60 * DAY, "problem": ""},
    "disks": [{"path": "/", "size_mb": 40000, "left_mb": 20000, "used": 50, "files_used": 10}],
    "memory": {"total_mb": 8000, "available_mb": 4000, "swap_mb": 0, "swap_left_mb": 0},
    "docker": {"live_restore": True, "swarm": False, "image": "class", "image_id": "sha256:1", "servers": []},
    "former_secrets": [],
    "starts": [START], "backup": None, "alarms": None, "measured": None, "shares": {"people": [], "courses": []},
    "updates": {"waiting": 2, "security": 0, "by_itself": True, "last": NOW - HOUR, "reboot": False},
}  # fmt: skip
BACKUP = {"last_ok": iso(NOW - 8 * HOUR), "last_error": "", "test_restore": {"at": iso(NOW - 3 * DAY), "ok": True}}

FORMER = {"consumer": "bio", "until": NOW + 2 * DAY, "used": True}


def disk(**changes: int) -> dict[str, Any]:
    return {"disks": [WELL["disks"][0] | changes]}


# what differs from WELL → (key, level) of each trouble
JUDGED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "all is well": ({}, []),
    "the hub is down": ({"units": WELL["units"] | {"jupyterhub.service": "failed"}}, [("unit jupyterhub", "broken")]),
    "nginx is not there": ({"units": WELL["units"] | {"nginx.service": "missing"}}, [("unit nginx", "broken")]),
    "nginx reads its configuration": ({"units": WELL["units"] | {"nginx.service": "reloading"}}, []),
    "the hub runs and does not answer": ({"hub": {"answers": False, "problem": "timed out"}}, [("hub", "broken")]),
    "the hub says that memory is short": ({"hub": {"answers": True, "problem": "memory is short"}}, [("hub health", "warning")]),
    "a certificate for two weeks": ({"certificate": {"until": NOW + 14.1 * DAY, "problem": ""}}, []),
    "a certificate for less": ({"certificate": {"until": NOW + 13.9 * DAY, "problem": ""}}, [("certificate", "warning")]),
    "a certificate for two days": ({"certificate": {"until": NOW + 2 * DAY, "problem": ""}}, [("certificate", "broken")]),
    "a certificate that has ended": ({"certificate": {"until": NOW - 1, "problem": ""}}, [("certificate", "broken")]),
    "no certificate": ({"certificate": {"until": None, "problem": "refused"}}, [("certificate", "broken")]),
    "a disk at its limit": (disk(used=85), []),
    "a disk above it": (disk(used=86), [("disk /", "warning")]),
    "a disk that is full": (disk(used=96), [("disk /", "broken")]),
    "a small disk with nothing left": (disk(used=80, left_mb=511), [("disk /", "broken")]),
    "a disk with no file left": (disk(files_used=96), [("disk /", "broken")]),
    "memory for nobody": ({"memory": WELL["memory"] | {"available_mb": 449}}, [("memory", "warning")]),
    "no image": ({"docker": WELL["docker"] | {"image_id": ""}}, [("image", "broken")]),
    "no live-restore": ({"docker": WELL["docker"] | {"live_restore": False}}, [("live-restore", "warning")]),
    "no live-restore in a Swarm": ({"docker": WELL["docker"] | {"live_restore": False, "swarm": True}}, []),
    "one person's server fails": ({"starts": [failed(), failed()]}, []),
    "one person's server fails again and again": ({"starts": [failed()] * 3}, [("starts", "warning")]),
    "everybody's servers fail": ({"starts": [START, failed(), failed("bob"), failed("cy")]}, [("starts", "broken")]),
    "they failed, and start again": ({"starts": [failed(), failed("bob"), failed("cy"), START]}, [("starts", "warning")]),
    "they failed yesterday": ({"starts": [failed(ago=DAY), failed("bob", DAY), failed("cy", DAY)]}, []),
    "a backup of last night": ({"backup": BACKUP}, []),
    "a backup of two days ago": ({"backup": BACKUP | {"last_ok": iso(NOW - 2 * DAY)}}, [("backup", "warning")]),
    "a backup of last week": ({"backup": BACKUP | {"last_ok": iso(NOW - 8 * DAY)}}, [("backup", "broken")]),
    "no backup was made yet": ({"backup": {"last_ok": None, "last_error": ""}}, [("backup", "warning")]),
    "a backup whose time is none": ({"backup": BACKUP | {"last_ok": "never"}}, [("backup", "warning")]),
    "a backup that failed": ({"backup": BACKUP | {"last_error": "full: /home/ada"}}, [("backup error", "warning")]),
    "a test restore that failed": ({"backup": BACKUP | {"test_restore": {"at": iso(NOW), "ok": False}}}, [("test restore", "broken")]),
    "a test restore of last month": ({"backup": BACKUP | {"test_restore": {"at": iso(NOW - 30 * DAY), "ok": True}}}, [("test restore", "warning")]),
    "security updates that come tonight": ({"updates": WELL["updates"] | {"security": 3}}, []),
    "security updates that did not come": ({"updates": WELL["updates"] | {"security": 3, "last": NOW - 3 * DAY}}, [("updates", "warning")]),
    "security updates that never come": ({"updates": WELL["updates"] | {"security": 3, "by_itself": False}}, [("updates", "warning")]),
    "a reboot": ({"updates": WELL["updates"] | {"reboot": True}}, [("reboot", "warning")]),
    "an LMS without its new secret": ({"former_secrets": [FORMER]}, [("secret bio", "warning")]),
    "an LMS that has the new one": ({"former_secrets": [FORMER | {"used": False}]}, []),
    "an LMS that has a week for it": ({"former_secrets": [FORMER | {"until": NOW + 6 * DAY}]}, []),
    "alarms that do not arrive": ({"alarms": {"error": "refused", "troubles": {}}}, [("alarms", "warning")]),
    "something could not be looked at": ({"unread": {"docker": "timed out"}}, [("unread docker", "warning")]),
    "the broken come first": ({"alarms": {"error": "x"}, **disk(used=96)}, [("disk /", "broken"), ("alarms", "warning")]),
}  # fmt: skip


@pytest.mark.parametrize(("differs", "expected"), JUDGED.values(), ids=JUDGED.keys())
def test_what_is_trouble(differs: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = judge(WELL | differs)
    assert [(trouble.key, trouble.level) for trouble in found] == expected
    assert all(trouble.text and trouble.do for trouble in found)
    # Alarms leave the server: they name nobody.
    assert not [trouble for trouble in found if "ada" in trouble.text]


def test_what_could_not_be_looked_at_keeps_nothing_back() -> None:
    for part in set(WELL) - {"at", "domain", "host", "unread"}:
        left = {name: value for name, value in WELL.items() if name != part}
        assert [each.key for each in judge(left | {"unread": {part: "no"}, **disk(used=96)})][0] == "disk /"


# -- starts


def line(at: float, text: str) -> str:
    return f"{at:.6f} hub jupyterhub[7]: [I 2026-11-26 15:29:41.440 JupyterHub base:1192] {text}"


def test_starts_are_read_from_the_hubs_log() -> None:
    lines = [
        line(1, "User ada took 52.345 seconds to start"),
        line(2, "200 GET /hub/home (ada@::1) 5 ms"),
        line(3, "bob ended at its start ({'ExitCode': 1}). Its last lines:"),
        line(3.1, "Error starting bob's server: HTTP 503: Your server ended at once."),
        line(20, "Error starting bob's server: HTTP 503: Your server ended at once."),
        line(30, "cy's server failed to start in 180 seconds, giving up."),
        line(40, "dan does not start: the disk is full: 3 MB and 9 files are left at /"),
        line(50, "Unhandled error starting eve:lab's server: boom"),
        line(60, "fay's server never showed up at http://172.29.0.3:8888/ after 120 seconds. Giving up."),
        "-- Boot 3f --",
        "Traceback (most recent call last):",
    ]
    found = starts.starts(lines)
    assert [(each.user, each.ok) for each in found] == [
        ("ada", True), ("bob", False), ("bob", False), ("cy", False), ("dan", False), ("eve:lab", False), ("fay", False),
    ]  # fmt: skip
    assert found[0].seconds == 52.345
    assert found[1].why.startswith("ended at its start") and found[4].why.startswith("the disk is full")


def test_the_journal_is_asked_for_every_line_that_is_read() -> None:
    said = [
        "User a took 1.0 seconds to start", "a ended at its start (1). Its last lines:", "a does not start: x",
        "a is not started: x", "Error starting a's server: x", "Unhandled error starting a's server: x",
        "Not starting a's server : x", "a's server failed to start in 180 seconds, giving up.",
        "a's server never showed up at x", "Unhandled error waiting for a's server to show up at x",
    ]  # fmt: skip
    assert len(starts.starts(line(100.0 * number, text) for number, text in enumerate(said))) == len(said)
    # journalctl(1), -g: without an upper-case letter in the pattern, both match
    assert not re.search("[A-Z]", starts.GREP)
    assert all(re.search(starts.GREP, text, re.IGNORECASE) for text in said)
    assert not re.search(starts.GREP, "200 GET /hub/home (ada@::1) 5 ms", re.IGNORECASE)


# -- alarms

FULL = Trouble("disk /", "broken", "the disk at / is nearly full", "Make room")
SOON = Trouble("certificate", "warning", "the certificate ends in 13 days", "Renew it")
REBOOT = Trouble("reboot", "warning", "updates wait for a reboot", "Reboot", quiet=True)
LOOK_S = 300.0


class Operator:
    """Who is told: what they got at each look. `arrives`: whether it can be sent."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.now = NOW
        self.arrives = True

    def look(self, *troubles: Trouble, after: float = LOOK_S, whole: bool = True) -> list[str]:
        self.now += after
        found = alarms.look(self.state, troubles, self.now, whole)
        sent = [trouble.key for trouble in found.say] + [f"over {key}" for key in found.over]
        self.state = alarms.told(found, self.now) if sent and self.arrives else found.state
        # it outlives a restart
        self.state = json.loads(json.dumps(self.state))
        return sent if self.arrives else []


def test_a_trouble_is_told_at_the_second_look_once_and_that_it_is_over() -> None:
    operator = Operator()
    assert operator.look(FULL) == []
    assert operator.look(FULL) == ["disk /"]
    assert [operator.look(FULL) for _ in range(50)] == [[]] * 50
    assert operator.look() == ["over disk /"]
    assert operator.look() == []


def test_what_is_over_before_the_second_look_is_told_to_nobody() -> None:
    operator = Operator()
    assert [operator.look(FULL), operator.look(), operator.look(FULL), operator.look()] == [[], [], [], []]


def test_what_is_broken_is_said_again_each_day_and_a_warning_each_week() -> None:
    operator = Operator()
    operator.look(FULL, SOON)
    assert operator.look(FULL, SOON) == ["disk /", "certificate"]
    days = [operator.look(FULL, SOON, after=DAY) for _ in range(7)]
    assert days == [["disk /"]] * 6 + [["disk /", "certificate"]]


def test_what_comes_and_goes_is_not_told_twice_within_a_day() -> None:
    operator = Operator()
    said = [operator.look(*([FULL] if number % 5 else [])) for number in range(280)]
    assert sum(["disk /" in each for each in said]) == 1
    assert sum(["over disk /" in each for each in said]) == 1
    assert operator.now - NOW < DAY
    assert operator.look(FULL, after=DAY) == ["disk /"]


def test_what_gets_worse_is_told_at_once() -> None:
    operator = Operator()
    operator.look(SOON)
    operator.look(SOON)
    assert operator.look(SOON._replace(level="broken")) == ["certificate"]


def test_a_message_that_did_not_arrive_is_sent_again() -> None:
    operator = Operator()
    operator.look(FULL)
    operator.arrives = False
    operator.look(FULL)
    operator.arrives = True
    assert operator.look(FULL) == ["disk /"]
    operator.arrives = False
    operator.look()
    operator.arrives = True
    assert operator.look() == ["over disk /"]


def test_nothing_is_over_because_it_could_not_be_looked_at() -> None:
    operator = Operator()
    operator.look(FULL)
    operator.look(FULL)
    assert operator.look(whole=False) == []
    assert operator.look(FULL) == []
    assert operator.look() == ["over disk /"]


def test_what_can_wait_is_no_alarm() -> None:
    operator = Operator()
    assert [operator.look(REBOOT) for _ in range(3)] == [[], [], []]


def test_a_message_says_what_it_is_and_what_to_do() -> None:
    subject, text = alarms.message("hub.example.edu", alarms.Look([FULL], {"certificate": SOON.text}, {}))
    assert subject == "hub.example.edu: 1 to look at, 1 over"
    assert "BROKEN: the disk at / is nearly full\n    Make room\nOVER: the certificate ends in 13 days\n" in text


# -- sending


class Relay(socketserver.ThreadingTCPServer):
    """A mail relay that takes mail from everybody, and speaks no TLS. `refuses`: the code with which it refuses instead."""

    allow_reuse_address = daemon_threads = True
    refuses = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.mails: list[str] = []


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        def say(text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        assert isinstance(self.server, Relay)
        say("220 relay")
        for raw in self.rfile:
            word = raw.decode().strip().upper()
            if word.startswith("DATA"):
                say("354 go on")
                mail = []
                for part in self.rfile:
                    if part == b".\r\n":
                        break
                    mail.append(part.decode())
                self.server.mails.append("".join(mail))
                say("250 taken")
            elif word.startswith("RCPT") and self.server.refuses:
                say(self.server.refuses)
            else:
                say("221 bye" if word.startswith("QUIT") else "250 yes")


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def to(relay: Relay | None = None, webhook: str = "", **changes: str) -> dict[str, Any]:
    port = relay.server_address[1] if relay else 0
    return {
        "domain": "hub.example.edu", "to": ["it@example.edu", "ops@example.edu"] if relay else [],
        "smtp": f"127.0.0.1:{port}", "user": "", "password": "", "webhook": webhook,
    } | changes  # fmt: skip


def test_a_mail_goes_to_everybody_named(relay: Relay) -> None:
    sending.send(to(relay), "hub.example.edu: 1 to look at", "BROKEN: the disk")
    (mail,) = relay.mails
    assert "To: it@example.edu, ops@example.edu" in mail and "From: it@example.edu" in mail
    assert "Subject: hub.example.edu: 1 to look at" in mail and "BROKEN: the disk" in mail
    assert "Auto-Submitted: auto-generated" in mail


def test_a_password_is_not_sent_without_tls(relay: Relay) -> None:
    with pytest.raises(sending.NotSent, match="STARTTLS"):
        sending.send(to(relay, user="hub@example.edu", password="pass-word-1"), "s", "t")
    assert relay.mails == []


def test_a_relay_that_refuses_is_named_with_its_reason(relay: Relay) -> None:
    relay.refuses = "550 we do not relay"
    with pytest.raises(sending.NotSent, match=r"mail by 127\.0\.0\.1:\d+: .*we do not relay"):
        sending.send(to(relay), "s", "t")


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append(body)  # type: ignore[attr-defined]
        self.send_response(404 if "gone" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.got = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_webhook_gets_the_text_and_its_address_is_never_said(hook: HTTPServer, relay: Relay) -> None:
    address = f"http://127.0.0.1:{hook.server_port}"
    sending.send(to(webhook=f"{address}/T0/secret"), "subject", "text")
    assert hook.got == [{"text": "subject\ntext"}]  # type: ignore[attr-defined]
    for wrong in (f"{address}/gone/secret", "http://127.0.0.1:9/secret", "http://[secret", "http://\nsecret"):
        with pytest.raises(sending.NotSent) as caught:
            sending.send(to(relay, wrong), "subject", "text")
        assert "webhook" in str(caught.value) and "secret" not in str(caught.value)
    # what one refuses, the other gets all the same
    assert len(relay.mails) == 4


def test_the_timers_program_tells_once_and_keeps_why_it_could_not(relay: Relay) -> None:
    wrong = WELL | disk(used=96)
    first = alarm.tell(wrong, {}, to(relay))
    assert relay.mails == [] and first["error"] == ""
    relay.refuses = "550 no"
    second = alarm.tell(wrong, first, to(relay))
    assert "550" in second["error"] and relay.mails == []
    relay.refuses = ""
    third = alarm.tell(wrong, second, to(relay))
    assert third["error"] == "" and "BROKEN: the disk at /" in relay.mails[0]
    alarm.tell(wrong, third, to(relay))
    assert len(relay.mails) == 1
    alarm.tell(WELL, third, to(relay))
    assert "OVER: the disk at /" in relay.mails[1]


def test_without_anybody_to_tell_nothing_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "STATE", tmp_path)
    monkeypatch.setattr(alarm, "look", lambda _: pytest.fail("it looked"))
    kept.write("alarms", {"error": "of before", "troubles": {}})
    assert alarm.main("hub.example.edu", str(tmp_path / "none.json")) == 0
    assert kept.read("alarms") is None


def test_a_test_message_says_that_it_is_one(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept, "STATE", tmp_path)
    settings = tmp_path / "alerts.json"
    settings.write_text(json.dumps(to(relay)))
    relay.refuses = "550 no"
    assert alarm.main("hub.example.edu", str(settings), "--test") == 1
    assert "not sent: mail by" in capsys.readouterr().out and "550" in kept.read("alarms")["error"]
    relay.refuses = ""
    assert alarm.main("hub.example.edu", str(settings), "--test") == 0
    assert "This is a test" in relay.mails[0] and kept.read("alarms")["error"] == ""


# -- usage


def test_homes_of_strangers_are_measured_without_following_them(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (home, outside, tmp_path / "courses" / "bio"):
        folder.mkdir(parents=True)
    (outside / "big").write_bytes(os.urandom(5 << 20))
    (home / "own").write_bytes(os.urandom(2 << 20))
    (home / "link").symlink_to(outside)
    (home / "a\nb").write_text("x")
    (tmp_path / "courses" / "link").symlink_to(outside)
    os.mkfifo(home / "pipe")
    # a thousand folders deep: longer than a path may be
    here = os.open(home, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("d" * 20, dir_fd=here)
        deeper = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    found = usage.measure(tmp_path / "courses", {"ada": home, "gone": tmp_path / "gone"})
    # pytest's own tidying up does not go that deep
    subprocess.run(["rm", "-rf", str(home)], check=True)
    assert 2 <= found["homes"]["ada"] <= 8 and found["homes"]["gone"] is None
    assert found["courses"].keys() == {"bio"}


def test_a_home_that_cannot_be_counted_in_time_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    du = tmp_path / "du"
    du.write_text('#!/bin/sh\ncase $3 in *slow) exec sleep 30;; esac\necho "7 $3"\n')
    du.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(usage, "_EACH_S", 0.2)
    found = usage.measure(tmp_path / "none", {"ada": tmp_path / "slow", "bob": tmp_path / "bob"})
    assert found["homes"] == {"ada": None, "bob": 7}


def test_who_uses_how_much_by_person_and_by_course(tmp_path: Path) -> None:
    file = tmp_path / "hub.sqlite"
    with sqlite3.connect(file) as db:
        db.executescript("""
            CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT, properties TEXT);
            CREATE TABLE user_group_map (user_id INTEGER, group_id INTEGER);
            INSERT INTO users VALUES (1, 'ada'), (2, 'bob'), (3, 'tea');
            INSERT INTO groups VALUES (1, 'course-bio', '{"label": "BIO 101"}'), (2, 'course-bio-instructors', '{}'), (3, 'others', NULL), (4, 'course-empty', NULL);
            INSERT INTO user_group_map VALUES (1, 1), (2, 1), (3, 2), (2, 3);
        """)
    courses = usage.members(file)
    assert courses == {"bio": ("BIO 101", {"ada", "bob", "tea"}), "empty": ("", set())}
    measured = {"homes": {"ada": 10, "bob": 300, "cy": None}, "courses": {"bio": 50}}
    servers = [{"user": "ada", "memory_mb": 200}, {"user": "ada", "memory_mb": None}, {"user": "new", "memory_mb": 90}]
    found = usage.shares(measured, courses, servers)
    assert [(each["user"], each["disk_mb"], each["memory_mb"]) for each in found["people"]] == [
        ("bob", 300, 0), ("ada", 10, 200), ("new", None, 90), ("cy", None, 0),
    ]  # fmt: skip
    assert found["courses"] == [
        {"course": "bio", "name": "BIO 101", "people": 3, "folder_mb": 50, "homes_mb": 310, "memory_mb": 200},
        {"course": "empty", "name": "empty", "people": 0, "folder_mb": None, "homes_mb": 0, "memory_mb": 0},
    ]


# -- how much the site is used


def looked(at: float, cpu_s: float = 0.0, pid: int = 7, **servers: tuple[int, float]) -> dict[str, Any]:
    """A look: servers are name → (MB, seconds of a processor); hub and proxy used so many seconds."""
    process = {"pid": pid, "cpu_s": cpu_s, "memory_mb": 150}
    counted = {name: {"memory_mb": memory, "cpu_s": cpu} for name, (memory, cpu) in servers.items()}
    return {"at": at, "servers": counted, "hub": process, "proxy": process}


def test_a_sample_is_what_happened_between_two_looks() -> None:
    before = looked(NOW, 10, a=(200, 50.0), gone=(900, 9.0))
    now = looked(NOW + 300, 40, a=(300, 80.0), new=(100, 30.0))
    assert load.sample(before, now) == {
        "at": NOW + 300, "seconds": 300, "servers": 2, "servers_mb": 400, "largest_mb": 300, "started": 1, "cores": 0.2,
        "hub_cores": 0.1, "proxy_cores": 0.1, "hub_mb": 150, "proxy_mb": 150,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("now", "cores"),
    [
        (looked(NOW + 300, 6, pid=8), 0.02),  # a hub that restarted counts from its start
        (looked(NOW + 300, 6, pid=0), 0.02),
        (looked(NOW + 300, 40), 0.1),
        (looked(NOW + 300, 4), 0.0),
    ],
)
def test_what_restarted_is_counted_from_its_start(now: dict[str, Any], cores: float) -> None:
    sample = load.sample(looked(NOW, 10), now)
    assert sample and (sample["hub_cores"], sample["proxy_cores"]) == (cores, cores)


@pytest.mark.parametrize("later", [0.0, -60.0, 86400.0])
def test_looks_that_are_too_far_apart_say_nothing_of_a_moment(later: float) -> None:
    assert load.sample(looked(NOW), looked(NOW + later)) is None


def test_of_each_day_the_busiest_moment_and_the_rush_are_kept() -> None:
    known: dict[str, Any] = {}
    for minutes, servers in ((0, "a"), (5, "abc"), (10, "abcd"), (15, "ab"), (20, "")):
        known = load.remembered(known, looked(NOW + minutes * 60, **{name: (100, 0.0) for name in servers}))
        json.dumps(known)
    (day,) = known["days"].values()
    assert (day["busiest"]["servers"], day["busiest"]["at"]) == (4, NOW + 600)
    assert (day["rush"]["started"], day["rush"]["at"]) == (2, NOW + 300)
    assert known["last"]["at"] == NOW + 1200
    later = load.remembered(load.remembered(known, looked(NOW + 5 * DAY)), looked(NOW + 5 * DAY + 300, a=(100, 0.0)))
    assert [each["busiest"]["servers"] for each in later["days"].values()] == [4, 1]


def test_nobody_at_work_is_no_day() -> None:
    assert load.remembered(load.remembered({}, looked(NOW)), looked(NOW + 300))["days"] == {}


def test_days_are_kept_for_two_terms() -> None:
    known: dict[str, Any] = {}
    for day in range(400):
        for at in (0, 300):
            known = load.remembered(known, looked(NOW + day * DAY + at, a=(100, 0.0)))
    assert (
        len(known["days"]) == 370
        and max(known["days"]) == datetime.fromtimestamp(NOW + 399 * DAY, UTC).date().isoformat()
    )


def test_what_a_group_uses_is_read_of_both_kinds_of_groups(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text("inactive_file 1048576\ntotal_inactive_file 2097152\n")
    (tmp_path / "memory.current").write_text(str(11 << 20))
    (tmp_path / "memory.usage_in_bytes").write_text(str(22 << 20))
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (tmp_path / "cpuacct.usage").write_text("2500000000\n")
    unified, former = {"": tmp_path}, {"": tmp_path / "none", "memory": tmp_path, "cpuacct": tmp_path}
    assert (seen._memory_mb(unified), seen._cpu_s(unified)) == (10, 1.5)
    assert (seen._memory_mb(former), seen._cpu_s(former)) == (20, 2.5)
    gone = {"": tmp_path / "none"}
    assert (seen._memory_mb(gone), seen._cpu_s(gone)) == (None, None)
    assert seen._memory_mb(seen._groups(os.getpid())) and seen._cpu_s(seen._groups(os.getpid()))
    assert seen._groups(2**22 + 1) == {}


def test_a_look_finds_the_processes_of_the_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\ncase "$2" in jupyterhub.service) echo {os.getpid()};; *) echo 0;; esac\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    server = {"id": "abc", "user": "ada", "memory_mb": None, "cpu_s": 2.0}
    monkeypatch.setattr(seen, "docker", lambda: {"servers": [server]})
    found = note_load.look()
    assert found["servers"] == {"abc": {"memory_mb": 0, "cpu_s": 2.0}}, "and no name of anybody"
    assert found["hub"]["cpu_s"] > 0 and found["hub"]["memory_mb"] > 10
    assert found["proxy"] == {"pid": 0, "cpu_s": 0.0, "memory_mb": 0}


def test_where_docker_does_not_answer_one_line_says_so_and_what_is_known_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs() -> dict[str, Any]:
        raise subprocess.TimeoutExpired(["docker"], 8)

    monkeypatch.setattr(kept, "STATE", tmp_path)
    monkeypatch.setattr(seen, "docker", hangs)
    kept.write("load", {"days": {"2026-11-27": {}}})
    with pytest.raises(SystemExit, match="is not noted: Command .*docker.* timed out"):
        runpy.run_module("hubrun_hub.programs.load", run_name="__main__")
    assert kept.read("load") == {"days": {"2026-11-27": {}}}
    assert load.state()["days"] == {"2026-11-27": {}} and load.state()["cores"] >= 1


# -- looking


def test_a_secret_that_was_replaced_is_looked_for_in_the_log_as_long_as_it_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "consumers.d").mkdir()
    paths = [tmp_path / "lti.env", tmp_path / "consumers.d" / "bio.env"]
    paths[0].write_text(f"LTI_CLIENT_SECRET=new\nLTI_FORMER_SECRET=old\nLTI_FORMER_UNTIL={int(NOW) + 60}\n")
    paths[1].write_text(f"LTI_CLIENT_SECRET=new\nLTI_FORMER_SECRET=old\nLTI_FORMER_UNTIL={int(NOW) - 60}\n")
    log = tmp_path / "journalctl"
    log.write_text(
        '#!/bin/sh\ncase "$*" in *"consumer default: "*) echo "LTI launch by consumer default: …";; *) exit 1;; esac\n'
    )
    log.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(former_secrets, "FOLDER", tmp_path)
    assert former_secrets.state(NOW, 5) == [{"consumer": "default", "until": int(NOW) + 60, "used": True}]
    log.write_text("#!/bin/sh\nexit 1\n")
    assert former_secrets.state(NOW, 5) == [{"consumer": "default", "until": int(NOW) + 60, "used": False}]
    log.write_text("#!/bin/sh\necho broken >&2; exit 1\n")
    with pytest.raises(OSError, match="broken"):
        former_secrets.state(NOW, 5)


def test_a_look_at_a_machine_that_is_no_hub_names_what_it_could_not_see() -> None:
    """This one has no hub, and perhaps no systemd, Docker or apt: every part ends by itself, and is judged."""
    found = seen.look("hub.example.edu")
    assert found["disks"] and found["memory"]["total_mb"] > 0
    assert found["certificate"]["until"] is None or found["certificate"]["until"] > 0
    assert set(WELL) <= found.keys() | found["unread"].keys()
    assert any(trouble.level == "broken" for trouble in judge(found))
    json.dumps(found)


def test_updates_are_counted_whatever_keeps_homes_from_being_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> dict[str, Path]:
        raise HomeError("the disk with everybody's files is not mounted")

    monkeypatch.setattr(kept, "STATE", tmp_path)
    monkeypatch.setattr(updates, "count", lambda: {"at": 1.0, "waiting": 3, "security": 2})
    monkeypatch.setattr(folders, "folders", away)
    monkeypatch.setattr("sys.argv", ["measure", "/srv/nbgrader"])
    with pytest.raises(HomeError):
        runpy.run_module("hubrun_hub.programs.measure", run_name="__main__")
    assert kept.read("updates")["security"] == 2
