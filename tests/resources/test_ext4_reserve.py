"""A disk's reserve: its plan as a table, and a real ext4 on a loop device that somebody fills."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubrun.resources.ext4_reserve import ReservedBlocks

RESERVE = ReservedBlocks("/var/lib/jupyterhub", "jupyterhub")
ON = "device=/dev/vda1\nfolder=/\nwanted=998\nsize=4096\nall=5242880\n"


@pytest.mark.parametrize(
    ("found", "titles"),
    [
        ("", []),
        (ON + "blocks=262144\nkept=998\nmounted=998", []),
        (ON + "blocks=262144\nkept=0", ["give the reserve of /dev/vda1 to jupyterhub", "use it from now on"]),
        (ON + "blocks=262144\nkept=998", ["use it from now on"]),
        (ON + "blocks=262144\nkept=0\nmounted=998", ["give the reserve of /dev/vda1 to jupyterhub"]),
        (ON + "blocks=0\nkept=998\nmounted=998", ["keep 256 MB of /dev/vda1 back"]),
        (
            ON.replace("wanted=998", "wanted=") + "blocks=9\nkept=0",
            ["give the reserve of /dev/vda1 to jupyterhub", "use it from now on"],
        ),
    ],
)
def test_a_reserve_is_given_where_the_disk_is_ext4_and_nothing_is_done_elsewhere(found: str, titles: list[str]) -> None:
    assert [action.title for action in RESERVE.plan(found)] == titles


def test_the_least_that_is_kept_is_counted_in_the_file_systems_own_blocks() -> None:
    (action,) = RESERVE.plan(ON + "blocks=0\nkept=998\nmounted=998")
    assert action.script == "tune2fs -r 65536 /dev/vda1"
    (action,) = RESERVE.plan(ON.replace("5242880", "400000") + "blocks=0\nkept=998\nmounted=998")
    assert action.script == "tune2fs -r 20000 /dev/vda1", "a twentieth of a small one"


def test_a_file_system_that_is_not_known_has_not_passed(tmp_path: Path) -> None:
    script = ReservedBlocks(str(tmp_path / "nowhere"), "jupyterhub").test().script
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "is not known" in done.stdout


def shell(script: str) -> str:
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of 400 MB without a reserve, in a file, mounted."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4") or not Path("/dev/loop-control").exists():
        pytest.skip("needs root, mkfs.ext4 and loop devices")
    image, folder = tmp_path / "hubrun-reserve.img", tmp_path / "disk"
    folder.mkdir()
    shell(f"truncate -s 400M {image} && mkfs.ext4 -q -m 0 {image}")
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, check=False).returncode:
        pytest.skip("loop devices cannot be mounted here")
    yield folder
    shell(f"umount {folder}")  # frees the loop device, which mount made


def write(folder: Path, name: str, megabytes: int, group: int) -> bool:
    """Whether a process of nobody's, with this group, can write so much there."""
    command = ["dd", "if=/dev/zero", f"of={name}", "bs=1M", f"count={megabytes}", "status=none"]
    # Not by its path: pytest's folders are closed to others.
    done = subprocess.run(
        command, cwd=folder, user=65534, group=group, extra_groups=[], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.slow
def test_the_hub_writes_to_a_disk_that_a_student_has_filled(disk: Path) -> None:
    disk.chmod(0o777)
    group = 4  # "adm": of the groups that each system has
    reserve = ReservedBlocks(str(disk), "adm")
    titles = []
    for action in reserve.plan(shell(reserve.probe())):
        shell(action.script)
        titles.append(action.title.split()[0])
    assert titles == ["keep", "give", "use"]
    assert reserve.plan(shell(reserve.probe())) == [], "a second run has nothing to do"
    assert write(disk, "small", 1, 65534)
    assert not write(disk, "student", 1000, 65534)
    assert not write(disk, "student2", 1, 65534), "the disk is full for everybody"
    assert write(disk, "hub", 12, group), "and not for the hub"
    assert "resgid=4" in shell(reserve.test().script)
