"""Runbooks of operation, killed at random moments while launches come: the next run ends green, and nothing is lost.

Each is killed once; `./hubrun test --long` kills each ten times. HUBRUN_SEED repeats the moments of an earlier run.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from canvas import LTI_ENV, env_file, key_and_secret
from launch_loop import launches
from machines import UNITS, Machine, Running, hubrun, start
from test_image import NEW, current, tags
from test_upgrade import logged_in
from test_upgrade_runbook import COPY, IS_OLD, OLD
from test_watch import ALARMS, relay, unwatched

LONG = bool(os.environ.get("HUBRUN_LONG"))
pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(7200 if LONG else 1200)]

KILLS = 10 if LONG else 1
SEED = int(os.environ.get("HUBRUN_SEED", str(random.randrange(10**6))))
# What a runner does before it reaches the server: a kill then shows nothing.
FIRST_S = 4.0


@dataclass(frozen=True)
class Operation:
    """options: those of the run with this number. before: gives the runbook all of its work again, and returns how it was.

    after: asserts that the work is done, given what `before` returned.
    """

    name: str
    options: Callable[[int], tuple[str, ...]]
    before: Callable[[Machine], str]
    after: Callable[[Machine, str], None]


def _image_before(machine: Machine) -> str:
    """The image of the next run is not there: it is built again from its first step that differs."""
    now = current(machine)
    listed = "docker image ls --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' hubrun-singleuser"
    machine.run(f"{listed} | grep -v -F $1 | cut -d' ' -f2 | xargs -r docker image rm -f > /dev/null || true", now)
    return now


def _image_after(machine: Machine, before: str) -> None:
    assert current(machine) != before
    assert "candidate" not in tags(machine)
    assert not machine.run("docker ps -aq --filter status=exited --filter status=created"), "no step of a build is left"


def _upgrade_before(machine: Machine) -> str:
    machine.run(OLD)
    return ""


def _upgrade_after(machine: Machine, before: str) -> None:
    assert machine.run(IS_OLD).strip() == "1"
    assert not machine.run(f"ls -d {COPY}* 2> /dev/null || true")
    assert "before-upgrade" not in tags(machine)


def _rotate_before(machine: Machine) -> str:
    machine.run(f"rm -f /var/lib/hubrun/rotated.json; sed -i /^LTI_FORMER_/d {LTI_ENV}")
    return machine.secret(LTI_ENV)


def _rotate_after(machine: Machine, before: str) -> None:
    """There is no third secret: the one before is that with which the LMS launches."""
    old, new = env_file(before), env_file(machine.secret(LTI_ENV))
    assert new["LTI_FORMER_SECRET"] == old["LTI_CLIENT_SECRET"] != new["LTI_CLIENT_SECRET"]
    assert sum("SECRET" in name for name in new) == 2


def _watch_before(machine: Machine) -> str:
    unwatched(machine)
    return ""


def _watch_after(machine: Machine, before: str) -> None:
    assert machine.run("systemctl is-active hubrun-watch.timer hubrun-measure.timer").split() == ["active", "active"]
    assert machine.run("stat -c %a /etc/jupyterhub/alerts.json").strip() == "600"


OPERATIONS = (
    Operation("image", lambda number: NEW if number % 2 == 0 else (), _image_before, _image_after),
    Operation("upgrade", lambda number: ("--set", "upgrade=none"), _upgrade_before, _upgrade_after),
    Operation("rotate", lambda number: ("--set", "rotate=[lti_secret, proxy_token, cookie_secret]"), _rotate_before, _rotate_after),
    Operation("watch", lambda number: ALARMS, _watch_before, _watch_after),
)  # fmt: skip


@pytest.fixture(autouse=True)
def as_it_was(machine: Machine) -> Iterator[None]:
    def restore() -> None:
        unwatched(machine)
        _rotate_before(machine)
        assert hubrun("run", "image", machine.site, seconds=600).code == 0

    restore()
    with relay(machine):
        yield
    restore()


def kill(running: Running, after: float) -> bool:
    """Kill the runner `after` seconds from now; whether it still ran. What it had begun on the server may go on there."""
    running.wait(after)
    if running.alive:
        os.kill(running.pid, signal.SIGKILL)
    running.wait(30)
    return running.end(60).code == -signal.SIGKILL


def once(machine: Machine, operation: Operation, number: int, after: float) -> bool:
    """Kill the runbook once, and run it again; whether the kill hit it."""
    before, pair = operation.before(machine), key_and_secret(machine)
    command = ["run", operation.name, machine.site, *operation.options(number)]
    about = f"{operation.name}, kill {number} after {after:.1f} s"
    with launches(machine, about, lambda: pair):
        hit = kill(start(*command), after)
        ended = hubrun(*command, seconds=900)
        assert ended.code == 0, f"{about}\n{ended.tail}"
    operation.after(machine, before)
    assert machine.run(f"systemctl is-active {' '.join(UNITS)}").split() == ["active"] * len(UNITS), about
    return hit


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_killed_at_any_moment_the_next_run_ends_green(machine: Machine, operation: Operation) -> None:
    print(f"HUBRUN_SEED={SEED}")
    moments = random.Random(SEED)
    with logged_in(machine) as browser:
        browser.start(120)
        browser.run_cell("kept = 41")
        kernel = browser.kernel_id
    operation.before(machine)
    whole = hubrun("run", operation.name, machine.site, *operation.options(0), seconds=900)
    assert whole.code == 0, whole.tail
    after = [moments.uniform(FIRST_S, max(whole.seconds, FIRST_S + 1)) for _ in range(KILLS)]
    hits = sum(once(machine, operation, number + 1, seconds) for number, seconds in enumerate(after))
    with logged_in(machine) as browser:
        browser.start(120)
        browser.kernel_id = kernel
        assert browser.run_cell("kept + 1") == "42"
        browser.stop()
    again = hubrun("run", operation.name, machine.site, *operation.options(KILLS), seconds=900)
    assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail
    print(f"{operation.name} takes {whole.seconds:.0f} s, and was killed {hits} times of {KILLS}")
    assert hits >= KILLS * 0.5
