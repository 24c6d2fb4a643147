"""Runbook 13 while a class works: nobody is turned away, and a version that does not work is put back.

The class is of four; `./hubrun test --long` has twenty.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from canvas import key_and_secret
from launch_loop import launches
from machines import Ended, Machine, hubrun
from test_upgrade import logged_in

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(1800)]

WORKING = 20 if os.environ.get("HUBRUN_LONG") else 4
STUDENTS = "docker ps -q --filter label=hubrun.student | sort"
# A package whose record is gone counts as missing: it is installed again, as one whose pin was raised.
_RECORD = "/opt/jupyterhub/lib/python3*/site-packages/mako-*.dist-info/RECORD"
OLD = f"rm -f {_RECORD}"
IS_OLD = f"ls {_RECORD} 2> /dev/null | wc -l"
COPY = "/var/lib/hubrun/before-upgrade"


def upgrade(machine: Machine) -> Ended:
    return hubrun("run", "upgrade", machine.site, "--set", "upgrade=none", seconds=600)


@contextmanager
def class_at_work(machine: Machine, name: str, count: int) -> Iterator[None]:
    """So many students with a kernel each, of whom every one still has its variable when this ends; then their servers go."""
    students = [logged_in(machine, f"{name}{number:02d}") for number in range(count)]
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda student: student.start(600), students))
        for number, student in enumerate(students):
            student.run_cell(f"kept = {number}")
        yield
        assert [student.run_cell("kept + 1") for student in students] == [str(n + 1) for n in range(count)]
    finally:
        for student in students:
            student.close()
        machine.run(f"{STUDENTS} | xargs -r docker rm -f", seconds=300)


def test_a_class_works_on_and_launches_wait(machine: Machine) -> None:
    machine.run(OLD)
    pair = key_and_secret(machine)
    with class_at_work(machine, "upgrade", WORKING):
        containers = machine.run(STUDENTS)
        with launches(machine, f"upgrade with {WORKING} servers", lambda: pair):
            ended = upgrade(machine)
        assert ended.code == 0, ended.tail
        assert set(containers.split()) <= set(machine.run(STUDENTS).split()), "each works on in the container of before"
    assert ("service jupyterhub.service", "changed") in ended.results, "the new package is in use"
    assert machine.run(f"ls -d {COPY} 2> /dev/null || true").strip() == ""


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    with machine.undisturbed():
        ended = upgrade(machine)
    assert ended.code == 0 and {status for _, status in ended.results} <= {"ok"}, ended.tail


@pytest.mark.only_long
def test_what_does_not_pass_the_tests_is_put_back(machine: Machine) -> None:
    """nginx is away: what 06 would see from outside fails."""
    machine.run(OLD)
    users = "SELECT count(*) FROM users"
    count = f"/usr/bin/python3 -c \"import sqlite3; print(*sqlite3.connect('/var/lib/jupyterhub/jupyterhub.sqlite').execute('{users}').fetchone())\""
    before = machine.run(count)
    machine.run("systemctl stop nginx")
    try:
        ended = upgrade(machine)
    finally:
        machine.run("systemctl start nginx")
    assert ended.code == 1, ended.tail
    assert "the hub of before is back" in (ended.record / "13_upgrade.ipynb").read_text()
    assert machine.run(IS_OLD).strip() == "0", "the packages of before"
    assert machine.run(count) == before
    time.sleep(2)
    with logged_in(machine) as browser:
        browser.start(120)
        browser.stop()
    ended = upgrade(machine)
    assert ended.code == 0 and machine.run(IS_OLD).strip() == "1", ended.tail
