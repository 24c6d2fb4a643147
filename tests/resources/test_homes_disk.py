"""The disk for homes: plans as tables, and what is refused, on a real loop device."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from homes_disk import real
from hubrun.desired.resource import Resource
from hubrun.resources.homes_disk import HomesDisk, none_test
from hubrun.resources.homes_moved import HomesLimit, MovedCourses, MovedHomes, NoOldHomes

FILE = HomesDisk("", 20, "/srv/homes.img", "/srv/homes")
DEVICE = HomesDisk("/dev/vdb", 0, "/srv/homes.img", "/srv/homes")
FORMATTED = "there=btrfs hubrun-homes\n"
DONE = FORMATTED + "gb=20\nunit=yes\nmounted=yes\ncounted=yes\nfolders=yes\n"
COURSES = MovedCourses("/srv/nbgrader", "/srv/homes/courses", "/etc/systemd/system/srv-nbgrader.mount", "move")
BOOT = "mount the folders of courses at /srv/nbgrader at each boot, from that disk"
MAKE, MOUNT, COUNT = (
    "make /srv/homes.img 20 GB large; the space is taken at once", "mount it at /srv/homes, at each boot too",
    "count what each home holds",
)  # fmt: skip

PLANS: dict[str, tuple[Resource, str, list[str]]] = {
    "a file that is not there": (FILE, "", [MAKE, "make a file system (btrfs) on /srv/homes.img", MOUNT, COUNT]),
    "a file as it should be": (FILE, DONE, []),
    "a file that was made and not formatted": (FILE, "there= \ngb=20\n", ["make a file system (btrfs) on /srv/homes.img", MOUNT, COUNT]),
    "a file that shall be larger": (FILE, DONE.replace("gb=20", "gb=10"), [MAKE, "use all of it"]),
    "a file that became larger before a kill": (FILE, DONE + "grows=yes\n", ["use all of it"]),
    "a server that was started without it": (FILE, FORMATTED + "gb=20\nunit=yes\n", [MOUNT, COUNT]),
    "a unit that differs": (FILE, DONE.replace("unit=yes\n", ""), [MOUNT]),
    "a mount that does not count yet": (FILE, DONE.replace("counted=yes\n", ""), [COUNT]),
    "a disk that is empty": (DEVICE, "there= \n", ["make a file system (btrfs) on /dev/vdb", MOUNT, COUNT]),
    "a disk as it should be": (DEVICE, DONE.replace("gb=20\n", ""), []),
    "a disk that the provider made larger": (DEVICE, DONE + "grows=yes\n", ["use all of it"]),
    "nobody to move": (MovedHomes("/srv/homes", "move"), "runs jupyterhub-user-ada\nfailed jupyterhub-user-ben\n", []),
    "some to move": (
        MovedHomes("/srv/homes", "move"), "stopped jupyterhub-user-ada 12\nruns jupyterhub-user-ben\nstopped jupyterhub-user-eve 30\n",
        ["move the files of 2 people (42 MB) to /srv/homes; those of 1 person whose servers run now, within an hour after these have stopped"],
    ),
    "courses that nobody uses": (COURSES, "mb=12\n", [BOOT, "move the folders of courses (12 MB) to /srv/homes/courses; launches wait meanwhile"]),
    "courses that somebody uses": (COURSES, "enabled=yes\nruns=yes\nmb=12\n", []),
    "courses that could not be moved": (COURSES, "enabled=yes\nfailed=yes\nmb=12\n", []),
    "courses that are moved": (COURSES, "mounted=yes\nenabled=yes\nruns=yes\nmb=12\n", []),
    "courses of before": (NoOldHomes("/srv/old"), "courses=yes\n", ["remove /srv/old, from which the folders of courses were moved"]),
    "volumes of before": (NoOldHomes("/srv/old"), "old jupyterhub-old-ada\n", ["remove the volumes from which the files of 1 person were moved"]),
    "no volumes of before": (NoOldHomes("/srv/old"), "", []),
    "the limit as it should be": (HomesLimit("/srv/homes", 5, "limits"), f"limit={5 * 2**30}\n", []),
    "another limit": (HomesLimit("/srv/homes", 5, "limits"), f"limit={2**30}\n", ["let each home hold 5 GB; nobody's server restarts"]),
    "no limit yet": (HomesLimit("/srv/homes", 5, "limits"), "", ["let each home hold 5 GB; nobody's server restarts"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_what_leads_from_what_was_found_to_what_is_wanted(name: str) -> None:
    resource, found, titles = PLANS[name]
    assert [action.title for action in resource.plan(found)] == titles


def test_nothing_is_ever_formatted_by_force() -> None:
    for resource in (FILE, DEVICE):
        scripts = [action.script for action in resource.plan("")]
        assert any("mkfs.btrfs -q" in script for script in scripts)
        assert not any("mkfs.btrfs -f" in script or "--force" in script or "wipefs" in script for script in scripts)


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it with a systemd that knows the names of units alone."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, text in (
        ("systemd-escape", f"echo {folder.name}-homes.mount"),
        ("systemctl", "exit 0"),
        ("udevadm", "exit 0"),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    script = script.replace("/etc/systemd/system", str(folder))
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, env=environment)


def apply(resource: Resource, folder: Path) -> list[str]:
    """Do what the plan says, as the server would; its titles. What systemd mounts, mount(8) does."""
    actions = resource.plan(shell(resource.probe(), folder).stdout)
    for action in actions:
        done = shell(f"set -eu\n{action.script}", folder)
        assert done.returncode == 0, f"{action.title}: {done.stdout}{done.stderr}"
        if action.title.startswith("mount"):
            unit = dict(
                line.split("=", 1)
                for line in (folder / f"{folder.name}-homes.mount").read_text().splitlines()
                if "=" in line
            )
            subprocess.run(
                ["mount", "-t", unit["Type"], "-o", unit["Options"], unit["What"], unit["Where"]], check=True
            )
    return [action.title for action in actions]


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "homes"
    subprocess.run(["umount", tmp_path / "homes"], check=False, stderr=subprocess.DEVNULL)


@real
def test_a_file_is_made_formatted_mounted_and_counts_and_grows_under_those_who_work(
    tmp_path: Path, homes: Path
) -> None:
    file = tmp_path / "homes.img"
    one = HomesDisk("", 1, str(file), str(homes))
    assert len(apply(one, tmp_path)) == 4 and apply(one, tmp_path) == []
    assert file.stat().st_blocks * 512 >= 1 << 30, "its space is taken"
    assert homes.stat().st_mode & 0o777 == 0o700
    for test in one.tests():
        assert shell(test.script, tmp_path).returncode == 0, test.title
    (homes / "people/note").write_text("kept")
    two = HomesDisk("", 2, str(file), str(homes))
    assert apply(two, tmp_path) == [f"make {file} 2 GB large; the space is taken at once", "use all of it"]
    assert apply(two, tmp_path) == []
    assert shutil.disk_usage(homes).total == 2 << 30 and (homes / "people/note").read_text() == "kept"
    # It does not shrink, and a file is no disk.
    refused = shell(one.tests()[1].script, tmp_path)
    assert refused.returncode == 1 and f"{file} has 2 GB, and cannot shrink to 1 GB" in refused.stdout
    elsewhere = shell(HomesDisk("/dev/loop9", 0, str(file), str(homes)).tests()[2].script, tmp_path)
    assert elsewhere.returncode == 1 and f"they are in {file}" in elsewhere.stdout
    nowhere = shell(none_test(str(homes)).script, tmp_path)
    assert nowhere.returncode == 1 and str(file) in nowhere.stdout


@real
def test_a_file_never_becomes_larger_than_what_the_disk_can_hold(tmp_path: Path) -> None:
    room = shutil.disk_usage(tmp_path).free >> 30
    tests = HomesDisk("", room, str(tmp_path / "below/homes.img"), str(tmp_path / "homes")).tests()
    done = shell(tests[1].script, tmp_path)
    assert done.returncode == 1 and f"the disk has room for {room - 2} GB at most" in done.stdout
    assert not (tmp_path / "below").exists()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 1 GB, which is a loop device."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, 1 << 30)
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip("no loop device can be made here")
    found = Path(made.stdout.strip())
    try:
        yield found
    finally:
        subprocess.run(["losetup", "-d", found], check=True)


@real
def test_an_empty_disk_is_taken_and_one_with_anything_on_it_is_named_and_left_alone(
    tmp_path: Path, device: Path
) -> None:
    def said(path: str = str(device)) -> tuple[int, str]:
        (_, test, _) = HomesDisk(path, 0, "", str(tmp_path / "homes")).tests()
        done = shell(test.script, tmp_path)
        return done.returncode, done.stdout.strip()

    assert said() == (0, "it is empty")
    assert said("/dev/nothing") == (1, "/dev/nothing is not a disk of this server")
    assert said("/etc/hostname")[0] == 1
    with device.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"a database without a file system")
    assert said() == (1, f"{device} is not empty: something is written at its beginning")
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
    assert said() == (1, f"{device} is not empty: ext4")
    # And whoever goes on all the same formats nothing.
    format_it = next(
        action
        for action in HomesDisk(str(device), 0, "", str(tmp_path / "homes")).plan("")
        if "make a file" in action.title
    )
    done = shell(f"set -eu\n{format_it.script}", tmp_path)
    assert done.returncode != 0 and "appears to contain an existing filesystem" in done.stdout + done.stderr
    (tmp_path / "mounted").mkdir()
    subprocess.run(["mount", device, tmp_path / "mounted"], check=True)
    try:
        assert said() == (1, f"{device} is mounted at {tmp_path}/mounted")
    finally:
        subprocess.run(["umount", tmp_path / "mounted"], check=True)
    for command, what in ((["mkswap", device], "swap"), (["mkfs.btrfs", "-q", "-f", device], "btrfs")):
        subprocess.run(["wipefs", "-q", "-a", device], check=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        code, text = said()
        assert code == 1 and text.startswith(f"{device} is not empty: {what}")
    subprocess.run(["wipefs", "-q", "-a", device], check=True)
    subprocess.run(["mkfs.btrfs", "-q", "-f", "-L", "hubrun-homes", device], check=True)
    assert said() == (0, "it has the homes of before"), "as on a new server that gets the disk of the one before"
