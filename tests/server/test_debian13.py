"""The whole job on Debian 13."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import KEEP, server
from machines import Machine, hubrun

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def trixie() -> Iterator[Machine]:
    yield from server("trixie", "--os", "debian-13")


def test_a_practice_run_on_debian_13_ends_with_a_verified_hub(trixie: Machine) -> None:
    assert "trixie" in trixie.run("cat /etc/os-release")
    ended = hubrun("practice", "--name", "trixie", "--os", "debian-13", seconds=600)
    assert ended.code == 0, ended.tail
    assert [part["status"] for part in ended.manifest["runbooks"]].count("failed") == 0
    assert KEEP or ended.manifest["status"] == "changed"


def test_a_second_run_on_debian_13_changes_nothing(trixie: Machine) -> None:
    with trixie.undisturbed():
        ended = hubrun("practice", "--name", "trixie", seconds=300)
    assert ended.code == 0, ended.tail
    assert len(ended.results) > 50
    assert [(name, status) for name, status in ended.results if status != "ok"] == []
