"""Homes on a disk of their own, on a server that has students already: moved, limited, and given back from snapshots."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from canvas import key_and_secret
from conftest import set_up
from machines import Machine, differences, hubrun

from hubrun import params
from hubrun.errors import CheckFailed
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

ROOT = "/srv/jupyterhub/homes"
ON = ("--only", "04", "--set", "homes_gb=3", "--set", "user_disk_gb=1")
HOURLY = "/usr/bin/python3 -I -B /usr/local/lib/hubrun/hubrun_hub homes hourly"


@pytest.fixture(scope="module")
def homes() -> Iterator[Machine]:
    yield from set_up("homes")


def launched(machine: Machine, user: str) -> Browser:
    site = params.load(machine.site)
    browser = Browser(Route.to(site))
    form = signed_form(site.launch_url, *key_and_secret(machine), user, user_id=f"opaque-{user}")
    assert browser.launch(site.launch_url, form).user == user
    browser.start(120)
    return browser


# What is on a disk before, whose path is $1 → why it is refused.
BAD_DISKS = {
    "mkfs.ext4 -q $1; mkdir -p /mnt/theirs; mount $1 /mnt/theirs": "is mounted at /mnt/theirs",
    "mkfs.ext4 -q $1": "is not empty: ext4",
    "printf theirs > $1": "is not empty: something is written at its beginning",
    "truncate -s 900M /root/disk.img; losetup -c $1": "is smaller than 1 GB",
}


@pytest.mark.parametrize("made", BAD_DISKS)
def test_a_disk_that_is_somebodys_is_refused_and_nothing_is_touched(homes: Machine, made: str) -> None:
    disk = homes.run("truncate -s 1200M /root/disk.img; losetup -f --show /root/disk.img").strip()
    try:
        homes.run(made, disk)
        with homes.undisturbed():
            ended = hubrun("install", homes.site, "--only", "04", "--set", f"homes_device={disk}")
            assert ended.code == 1 and BAD_DISKS[made] in ended.error, ended.tail
    finally:
        homes.run("umount /mnt/theirs 2> /dev/null; losetup -d $1; rm /root/disk.img", disk)


@pytest.fixture(scope="module")
def moved(homes: Machine) -> Iterator[dict[str, Any]]:
    """ada has stopped, and is moved; ben works on meanwhile."""
    with closing(launched(homes, "ada")) as ada, closing(launched(homes, "ben")) as ben:
        ada.run_cell(
            "import os; os.makedirs('week1'); open('week1/task.txt', 'w').write('solution'); os.symlink('/etc', 'link')"
        )
        ben.run_cell("answer = 42; open('note', 'w').write('of ben')")
        skeleton = ada.run_cell("import os; print(sorted(os.listdir(os.path.expanduser('~'))))")
        ada.stop()
        before = homes.everything()
        plan = hubrun("plan", homes.site, *ON)
        touched = differences(before, homes.everything())
        ended = hubrun("install", homes.site, *ON, seconds=600)
        assert ended.code == 0, ended.tail
        yield {"plan": plan, "touched": touched, "ada": ada, "ben": ben, "skeleton": skeleton}


def test_the_plan_says_whose_files_are_moved_and_touches_nothing(moved: dict[str, Any]) -> None:
    plan = moved["plan"]
    assert plan.code == 2 and "move the files of 1 person" in plan.output, plan.tail
    assert "those of 1 person whose servers run now" in plan.output
    assert not [name for name in moved["touched"] if "homes" in name]


def test_files_are_moved_and_whoever_works_goes_on_and_follows(homes: Machine, moved: dict[str, Any]) -> None:
    assert homes.run(f"cat {ROOT}/people/ada/week1/task.txt") == "solution"
    assert homes.run("docker volume ls -q | grep -- -old-").split() == ["jupyterhub-old-ada"]
    assert moved["ben"].run_cell("print(answer)") == "42", "the kernel of ben is the one of before"
    moved["ben"].stop()
    assert homes.run("findmnt -no FSTYPE --mountpoint /srv/nbgrader || true") == "", "ben uses a course"
    said = homes.run(HOURLY)
    assert "ben: moved" in said and "courses: moved" in said
    assert homes.run("findmnt -no FSTYPE --mountpoint /srv/nbgrader").strip() == "btrfs"
    with closing(launched(homes, "ben")) as ben:
        assert ben.read_file("note") == "of ben"
        assert ben.run_cell("print(next(line.split()[2] for line in open('/proc/mounts') if line.split()[1] == '/home/jovyan'))") == "overlay"  # fmt: skip
        ben.stop()
    again = hubrun("install", homes.site, *ON)
    assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail


def test_a_new_persons_home_has_what_the_image_has_there(homes: Machine, moved: dict[str, Any]) -> None:
    with closing(launched(homes, "eve")) as eve:
        found = eve.run_cell("import os; print(sorted(set(os.listdir(os.path.expanduser('~'))) - {'snapshots'}))")
        before = eval(moved["skeleton"])
        assert [name for name in before if name not in eval(found) and name not in ("week1", "link")] == []
        assert eve.run_cell("import os; print(os.stat('.').st_uid == os.getuid())") == "True"
        eve.stop()


FILL = """
import os
try:
    with open("fill", "wb") as file:
        while True:
            file.write(bytes(2**20)); file.flush(); os.fsync(file.fileno())
except OSError as error:
    print(os.strerror(error.errno), os.path.getsize("fill") // 2**20 > 800)
"""


def test_a_full_home_says_why_lets_its_person_in_and_delete_and_nobody_else_notices(homes: Machine, moved: dict[str, Any]) -> None:  # fmt: skip
    used = "du -smx / /var/lib/docker 2> /dev/null | awk '{sum += $1} END {print sum}'"
    before = int(homes.run(used))
    with closing(launched(homes, "ada")) as ada, closing(launched(homes, "ben")) as ben:
        assert ada.run_cell(FILL, timeout_s=180) == "Disk quota exceeded True"
        with pytest.raises(CheckFailed, match="507") as refused:
            ada.write_file("more.txt", "x" * 100_000)
        assert "Your files have reached their limit" in refused.value.detail
        ada.stop()
        ada.start(120)
        assert ada.run_cell("6*7") == "42", "a full home lets its person in"
        ben.write_file("other.txt", "x")
        ada._fetch("DELETE", f"{ada.home_path}api/contents/fill")
        ada.write_file("more.txt", "x" * 100_000)
        assert ada.read_file("week1/task.txt") == "solution"
        ada.stop()
        ben.stop()
    assert abs(int(homes.run(used)) - before) < 100


INBOUND = "import glob, os, time\nos.chdir(glob.glob('/srv/nbgrader/exchange/*/inbound')[0])\n"
AGAIN = """
os.remove("fill")
for _ in range(20):
    try:
        open("a", "w").write("again")
        break
    except OSError:
        time.sleep(1)
print(open("a").read())
"""


def test_who_hands_in_without_end_reaches_the_limit_and_nobody_else_notices(
    homes: Machine, moved: dict[str, Any]
) -> None:
    used = "du -smx / /var/lib/docker 2> /dev/null | awk '{sum += $1} END {print sum}'"
    before = int(homes.run(used))
    with closing(launched(homes, "ada")) as ada, closing(launched(homes, "ben")) as ben:
        assert ada.run_cell(INBOUND + FILL.replace("> 800", "> 200"), timeout_s=180) == "Disk quota exceeded True"
        assert ben.run_cell(INBOUND + "open('a', 'w').write('text'); print(open('a').read())") == "text"
        ben.write_file("other.txt", "x")
        assert ada.run_cell(AGAIN, timeout_s=60) == "again"
        assert homes.run("cat /srv/nbgrader/*/inbound/ada/a") == "again"
        ada.stop()
        ben.stop()
    assert abs(int(homes.run(used)) - before) < 100
    left = homes.run("docker volume ls -q | grep -vE '^(jupyterhub|hubrun)-' || true")
    assert left == "", "what a container had at inbound went with it"


def test_courses_that_are_not_mounted_are_missed_and_nobody_writes_beneath(
    homes: Machine, moved: dict[str, Any]
) -> None:
    homes.run("systemctl stop srv-nbgrader.mount")
    try:
        with closing(launched(homes, "ben")) as ben:
            assert ben.run_cell("import os; print(os.listdir('/srv/nbgrader/exchange'))") == "[]"
            ben.stop()
        assert homes.run("ls -A /srv/nbgrader") == ""
    finally:
        homes.run("systemctl start srv-nbgrader.mount && systemctl restart hubrun-docker-filter")
    with closing(launched(homes, "ben")) as ben:
        assert ben.run_cell(INBOUND + "print(open('a').read())") == "text"
        ben.stop()


def test_a_deleted_folder_comes_back_by_the_students_own_hands(homes: Machine, moved: dict[str, Any]) -> None:
    with closing(launched(homes, "ada")) as ada:
        homes.run(HOURLY)
        ada.run_cell("import shutil; shutil.rmtree('week1')")
        cell = """
import os, shutil
saved = "snapshots/" + max(name for name in os.listdir("snapshots") if name[0] == "2")
shutil.copytree(saved + "/week1", "week1-before")
try:
    open(saved + "/week1/task.txt", "w")
except OSError as error:
    print(os.strerror(error.errno), os.listdir("snapshots/../snapshots") == os.listdir("snapshots"))
"""
        assert ada.run_cell(cell) == "Read-only file system True"
        assert ada.read_file("week1-before/task.txt") == "solution"
        assert "of 1.0 GB are used" in ada.read_file("snapshots/README.txt")
        # The limit is another one at once, in the same container.
        began = homes.run("docker inspect -f '{{.State.StartedAt}}' $1", homes.container_of("ada"))
        ended = hubrun(
            "install", homes.site, "--only", "04", "--set", "homes_gb=3", "--set", "user_disk_gb=2", seconds=600
        )
        assert ended.code == 0, ended.tail
        assert ada.run_cell(FILL + "\nprint(os.path.getsize('fill') > 1500 * 2**20)", timeout_s=240).endswith(
            "True\nTrue"
        )
        assert homes.run("docker inspect -f '{{.State.StartedAt}}' $1", homes.container_of("ada")) == began
        ada.stop()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("homes_gb=1", "cannot shrink to 1 GB"), ("homes_gb=100000", "the disk has room for"), ("homes_gb=0", "on a disk of their own"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_and_nothing_is_touched(
    homes: Machine, moved: dict[str, Any], setting: str, reason: str
) -> None:
    with homes.undisturbed():
        ended = hubrun("install", homes.site, "--only", "04", "--set", setting)
        assert ended.code == 1 and reason in ended.error, ended.tail


BACKUPS = ("--set", "backup_to=/mnt/backup")


def test_backups_and_status_read_the_files_of_whoever_has_no_server_and_a_restore_brings_them_to_the_disk(
    homes: Machine, moved: dict[str, Any], tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("the words on paper in an envelope\n")
    given = (*BACKUPS, "--set", f"backup_password_file={password}", "--set", "homes_gb=3", "--set", "user_disk_gb=2")
    assert homes.container_of("ada") == ""
    homes.run(f"cd {ROOT}/people/ada && rm fill && sync . && head -c 300M /dev/zero > fill && chown 1000:100 fill")
    ended = hubrun("run", "backup", homes.site, *given, seconds=600)
    assert ended.code == 0, ended.tail
    homes.run(
        "systemctl start hubrun-measure 2> /dev/null || /usr/bin/python3 -I -B /usr/local/lib/hubrun/hubrun_hub measure /srv/nbgrader"
    )
    seen = hubrun("status", homes.site, "--json")
    shares = {
        each["user"]: each["disk_mb"]
        for each in next(iter(json.loads(seen.output).values()))["seen"]["shares"]["people"]
    }
    assert 300 <= shares["ada"] < 400

    wanted = homes.run(f"cd {ROOT}/people/ada && find . -type f | sort | xargs -d '\\n' sha256sum")
    homes.run(
        f"rm -rf {ROOT}/people/ada/* && docker volume rm jupyterhub-user-ada && /usr/bin/python3 -I -B /usr/local/lib/hubrun/hubrun_hub homes remove ada"
    )
    ended = hubrun(
        "run",
        "restore",
        homes.site,
        *given,
        "--set",
        "restore_site=latest",
        "--set",
        "restore_over_people=true",
        seconds=600,
    )
    assert ended.code == 0, ended.tail
    assert homes.run(f"cd {ROOT}/people/ada && find . -type f | sort | xargs -d '\\n' sha256sum") == wanted
    number = homes.run(f"btrfs inspect-internal rootid {ROOT}/people/ada").strip()
    assert f"0/{number}" in homes.run(f"btrfs qgroup show --raw -r {ROOT} | grep {2**31}")
    with closing(launched(homes, "ada")) as ada:
        assert ada.read_file("week1-before/task.txt") == "solution"
        one = ("--set", "restore_person=ada", "--set", "restore_path=week1-before")
        ended = hubrun("run", "restore", homes.site, *given, *one)
        assert ended.code == 0, ended.tail
        day = homes.run("hubrun-backup list").split()[0]
        assert ada.read_file(f"restored-{day}/week1-before/task.txt") == "solution"
        ada.stop()


def test_the_volumes_of_before_go_when_told(homes: Machine, moved: dict[str, Any]) -> None:
    ended = hubrun("install", homes.site, "--only", "04", "--set", "homes_gb=3", "--set", "user_disk_gb=2", "--set", "homes_old=remove", seconds=600)  # fmt: skip
    assert ended.code == 0, ended.tail
    assert homes.run("docker volume ls -q | grep -- -old- || true; ls -d /srv/nbgrader-old 2> /dev/null || true") == ""
    assert homes.run(f"ls {ROOT}/people").split() == ["ada", "ben", "eve"], "and nothing is left of the test users"


def loop_devices() -> list[str]:
    """Those of this machine, with the numbers of the files behind them: servers share them."""
    return subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_loop_device_of_a_server_that_is_gone_is_free_again(homes: Machine, moved: dict[str, Any]) -> None:
    device = homes.run(f"findmnt -n -o SOURCE {ROOT}").partition("[")[0].strip()
    (ours,) = [line for line in loop_devices() if line.startswith(f"{device}:")]
    homes.reset()
    assert ours not in loop_devices()
