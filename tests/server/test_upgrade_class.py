"""Runbook 13 on a site of the version before, while a class of twenty works: its kernels go on, and launches wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from canvas import key_and_secret
from conftest import server
from launch_loop import launches
from machines import Machine, Running, hubrun
from test_upgrade import old, site  # noqa: F401 - fixtures
from test_upgrade_runbook import class_at_work

pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(3600)]

WORKING = 20


@pytest.fixture(scope="module")
def upgraded_machine() -> Iterator[Machine]:
    yield from server("upgrade-class")


def test_a_class_on_a_site_of_the_version_before_works_on_and_launches_wait(
    old: Path,  # noqa: F811
    site: Path,  # noqa: F811
    upgraded_machine: Machine,
    tmp_path: Path,
) -> None:
    machine = upgraded_machine
    before = Running(str(old / "hubrun"), "install", str(site), "--records", str(tmp_path)).end(900)
    assert before.code == 0, before.tail
    pair = key_and_secret(machine)
    with class_at_work(machine, "class", WORKING):
        containers = machine.run("docker ps -q --filter name=jupyter | sort")  # that version gave them no label
        assert len(containers.split()) == WORKING
        with launches(machine, f"upgrade from the version before with {WORKING} servers", lambda: pair):
            ended = hubrun("run", "upgrade", site, "--records", tmp_path, seconds=1200)
        assert ended.code == 0, ended.tail
        print(f"upgrade: {ended.seconds:.0f} s")
        assert set(containers.split()) <= set(machine.run("docker ps -q").split()), "each works on in its container"
