"""Runbook 13 while a class works: nobody is turned away, and a version that does not work is put back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from canvas import Student, key_and_secret
from machines import Ended, Machine, hubrun
from test_upgrade import logged_in

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

WORKING = 4
# A package whose record is gone counts as missing: it is installed again, as one whose pin was raised.
_RECORD = "/opt/jupyterhub/lib/python3*/site-packages/mako-*.dist-info/RECORD"
OLD = f'for file in {_RECORD}; do rm "$file"; done'
IS_OLD = f"ls {_RECORD} 2> /dev/null | wc -l"
COPY = "/var/lib/hubrun/before-upgrade"


def upgrade(machine: Machine) -> Ended:
    return hubrun("run", "upgrade", machine.site, "--set", "upgrade=none", seconds=600)


def test_a_class_works_on_and_launches_wait(machine: Machine) -> None:
    machine.run(OLD)
    key, secret = key_and_secret(machine)
    names = [f"upgrade{number}" for number in range(WORKING)]
    students = [Student(machine.info, name) for name in names]
    refused: list[str] = []
    over = threading.Event()

    def launch(number: int) -> None:
        with Student(machine.info, f"late{number % 5}") as student:
            page = student.launch(key, secret)
            if page.status_code != 302 or not student.logged_in:
                refused.append(f"{number}: {page.status_code} {page.text[:200]}")

    def launches(pool: ThreadPoolExecutor) -> None:
        for number in range(10**6):
            pool.submit(launch, number)
            if over.wait(1):
                return

    for student in students:
        assert student.launch(key, secret).status_code == 302
        assert student.open_lab().is_success
    containers = machine.run("docker ps -q --filter label=hubrun.student | sort")
    with logged_in(machine) as browser:
        browser.start(120)
        browser.run_cell("kept = 41")
        with ThreadPoolExecutor(30) as pool, ThreadPoolExecutor(1) as other:
            going = other.submit(launches, pool)
            ended = upgrade(machine)
            over.set()
            going.result()
        assert ended.code == 0, ended.tail
        assert not refused, "\n".join(refused)
        assert browser.run_cell("kept + 1") == "42"
        browser.stop()
    assert ("service jupyterhub.service", "changed") in ended.results, "the new package is in use"
    assert set(containers.split()) <= set(machine.run("docker ps -q --filter label=hubrun.student").split())
    assert machine.run(f"ls -d {COPY} 2> /dev/null || true").strip() == ""
    for student in students:
        assert student.client.get(f"/user/{student.name}/api/status").is_success
        student.client.close()
    machine.run("docker ps -q --filter label=hubrun.student | xargs -r docker rm -f", seconds=120)


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    with machine.undisturbed():
        ended = upgrade(machine)
    assert ended.code == 0 and {status for _, status in ended.results} <= {"ok"}, ended.tail


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
