"""What /hub/health says, by what is left of the disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from hubrun_hub.lti import health
from hubrun_hub.lti.health import HealthProbe, HealthState, look


def test_a_hub_that_can_write_and_has_room_is_well(tmp_path: Path) -> None:
    (tmp_path / "jupyterhub.sqlite").touch()
    assert look(tmp_path, (), floor_mb=1, files=1) == HealthState()
    assert [path.name for path in tmp_path.iterdir()] == ["jupyterhub.sqlite"], "it leaves nothing behind"


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path) -> None:
    state = look(tmp_path / "gone", ())
    assert (state.writes, state.starts) == (False, False)
    assert "cannot be written to: No such file or directory" in state.problem


def left(megabytes: int, files: int, all_files: int = 10**6) -> os.statvfs_result:
    return os.statvfs_result((4096, 4096, 10**7, 10**6, megabytes * 256, all_files, files, files, 0, 255))


@pytest.mark.parametrize(
    ("now", "well", "starts"),
    [
        (left(600, 6000), True, True),
        (left(500, 6000), False, True),
        (left(600, 4999), False, True),
        (left(50, 6000), False, False),
        (left(600, 499), False, False),
        (left(0, 6000), False, False),
        (left(600, 0, all_files=0), True, True),  # btrfs
    ],
)
def test_a_monitor_is_told_before_students_notice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, now: os.statvfs_result, well: bool, starts: bool
) -> None:
    monkeypatch.setattr(health.os, "statvfs", lambda _: now)
    state = look(tmp_path, ())
    assert (not state.problem, state.writes, state.starts) == (well, True, starts), state


def test_the_disk_of_the_homes_counts_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    homes = tmp_path / "docker"
    monkeypatch.setattr(health.os, "statvfs", lambda path: left(3 if path == homes else 9000, 9000))
    assert look(tmp_path, (homes,)).problem == f"the disk is full: 3 MB and 9000 files are left at {homes}"


def test_who_asks_without_end_is_told_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looks = []
    monkeypatch.setattr(health, "look", lambda folder: looks.append(folder) or HealthState(f"{len(looks)}"))

    async def ask() -> list[str]:
        watch = HealthProbe(tmp_path)
        states = [await watch.state(), await watch.state(), await watch.now(), await watch.state()]
        return [state.problem for state in states]

    assert asyncio.run(ask()) == ["1", "1", "2", "2"]


def test_a_monitor_is_told_that_the_operators_file_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBRUN_OWN_PARTS", "/etc/jupyterhub/conf.d.loaded")
    state = look(tmp_path, (), floor_mb=1, files=1)
    assert "90-local.py does not load" in state.problem and state.writes and state.starts
