"""The whole job on Debian 13."""

from __future__ import annotations

import pytest
from conftest import KEEP
from machines import Ended, Machine, hubrun

pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(900)]


def test_a_practice_run_on_debian_13_ends_with_a_verified_hub(trixie: Machine, trixie_run: Ended) -> None:
    assert "trixie" in trixie.run("cat /etc/os-release")
    assert trixie_run.code == 0, trixie_run.tail
    assert [part["status"] for part in trixie_run.manifest["runbooks"]].count("failed") == 0
    assert KEEP or trixie_run.manifest["status"] == "changed"
    # nginx refuses a name of 47 characters and more unless it is told (server_names_hash_bucket_size).
    assert len(f"hub.{trixie.name}.localhost") >= 47


def test_a_second_run_on_debian_13_changes_nothing(trixie: Machine, trixie_run: Ended) -> None:
    with trixie.undisturbed():
        ended = hubrun("practice", "--name", trixie.name, seconds=300)
    assert ended.code == 0, ended.tail
    assert len(ended.results) > 50
    assert [(name, status) for name, status in ended.results if status != "ok"] == []
