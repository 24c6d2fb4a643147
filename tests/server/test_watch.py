"""`./hubrun status` and the alarms of runbook 17, on a server that is set up: what is broken is said, and that it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import Installed
from machines import Machine, hubrun

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

WATCH = "systemctl start hubrun-watch.service"
ALARMS = ("--set", "alerts_to=[it@example.edu]", "--set", "alerts_smtp=127.0.0.1:2525")


def status(machine: Machine) -> tuple[int, dict[str, Any]]:
    ended = hubrun("status", str(machine.site), "--json")
    [said] = json.loads(ended.output[ended.output.index("{") :]).values()
    return ended.code, said


def keys(said: dict[str, Any]) -> set[str]:
    return {trouble["key"] for trouble in said["troubles"]}


@contextmanager
def relay(machine: Machine) -> Iterator[None]:
    """A mail relay on the server itself, which keeps each mail in /run/mails."""
    machine.run(
        "apt-get install -y -qq --no-install-recommends python3-aiosmtpd >/dev/null; mkdir -p /run/mails/new /run/mails/cur /run/mails/tmp; "
        "systemd-run -q --unit=test-relay python3 -m aiosmtpd -n -c aiosmtpd.handlers.Mailbox /run/mails -l 127.0.0.1:2525; sleep 2",
        seconds=180,
    )
    yield
    machine.run("systemctl stop test-relay; rm -rf /run/mails")


def unwatched(machine: Machine) -> None:
    """As if 17 had never been run."""
    machine.run(
        "systemctl disable --now hubrun-watch.timer hubrun-measure.timer 2> /dev/null || true; cd /var/lib/hubrun 2> /dev/null || exit 0;"
        "rm -f alarms.json alerts-arrive usage.json updates.json /etc/jupyterhub/alerts.json /etc/systemd/system/hubrun-watch.* /etc/systemd/system/hubrun-measure.*;"
        "systemctl daemon-reload"
    )


@pytest.fixture
def watched(installed: Installed) -> Iterator[Machine]:
    with relay(installed.machine):
        yield installed.machine
    unwatched(installed.machine)


def test_what_breaks_is_seen_and_told_and_that_it_is_over(watched: Machine) -> None:
    first = hubrun("run", "watch", str(watched.site), *ALARMS)
    assert first.code == 0, first.tail
    again = hubrun("run", "watch", str(watched.site), *ALARMS, "--check")
    assert again.code == 0, again.tail
    mails = "grep -rh ^Subject: /run/mails/new || true"
    assert watched.run(mails).count("a test") == 1

    began = time.monotonic()
    code, said = status(watched)
    took = time.monotonic() - began
    print(f"status took {took:.1f} s")
    assert took < 60, "a figure is printed; this only says that nothing hangs"
    assert not {trouble["key"] for trouble in said["troubles"] if trouble["level"] == "broken"}, said["troubles"]
    assert said["seen"]["unread"] == {} and code in (0, 1)
    assert set(said["seen"]["units"].values()) == {"active"}
    assert said["seen"]["docker"]["image_id"] and said["seen"]["docker"]["live_restore"]

    watched.run("systemctl start hubrun-measure.service")
    watched.run("systemctl stop hubrun-watch.timer jupyterhub nginx")
    try:
        code, said = status(watched)
        assert code == 2 and {"unit jupyterhub", "unit nginx", "certificate"} <= keys(said)
        assert said["seen"]["measured"]
        for _ in range(3):
            watched.run(WATCH)
    finally:
        watched.run("systemctl start jupyterhub nginx")
    watched.run(
        "curl -fsS --retry 150 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:8000/hub/health",
        seconds=180,
    )
    watched.run(WATCH)
    subjects = watched.run(mails)
    assert subjects.count("to look at") == 1 and subjects.count("over") == 1, subjects
    assert status(watched)[0] in (0, 1)


def test_a_relay_that_is_not_there_is_one_clear_error(watched: Machine) -> None:
    wrong = hubrun(
        "run", "watch", str(watched.site), "--set", "alerts_to=[it@example.edu]", "--set", "alerts_smtp=127.0.0.1:9"
    )
    assert wrong.code == 1
    assert "not sent: mail by 127.0.0.1:9" in wrong.output and "refused" in wrong.output


@pytest.mark.only_long
def test_the_time_zone_is_the_servers_and_the_containers(installed: Installed) -> None:
    machine = installed.machine
    plan = hubrun(
        "plan", str(machine.site), "--set", "timezone=Europe/Zurich", "--set", "updates_hour=3", "--set", "log_days=30"
    )
    assert plan.code == 2, plan.tail
    for says in (
        "time zone Europe/Zurich",
        "apt-daily-upgrade.timer run at *-*-* 03:00:00",
        "00-hubrun",
        "docker-filter.json",
    ):
        assert says in plan.output, says
