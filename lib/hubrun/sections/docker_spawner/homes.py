"""Students' homes on a disk of their own: the disk, the units that make and keep homes, and what is moved there."""

from __future__ import annotations

import json

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.files import Directory, File
from hubrun.resources.homes_moved import HomesLimit, MovedCourses, MovedHomes, NoOldHomes
from hubrun.resources.packages import Packages
from hubrun.resources.services import Service
from hubrun.sections.hub import config
from hubrun.sections.server import homes_here
from hubrun.shell import quote
from hubrun_hub.student_volume import volume

_UNITS = "/etc/systemd/system"
_PROGRAM = server_paths.program("homes")
# Linux, fs/btrfs/sysfs.c; before 6.1 it does not say that the kernel gave up.
_COUNTED = """
state=/sys/fs/btrfs/$(findmnt -no UUID --mountpoint {})/qgroups
[ -d "$state" ] || { echo "it is not counted"; exit 1; }
cat "$state/inconsistent" 2> /dev/null || echo 0
"""


def disk(site: Site) -> list[Resource]:
    """The disk, and what makes homes on it; nothing for a site whose homes are in volumes of Docker's own."""
    if not site.homes:
        return []
    names = ("hubrun-homes@.service", "hubrun-homes.socket", "hubrun-homes-hourly.service", "hubrun-homes-hourly.timer")
    settings = json.dumps({"user_disk_gb": site.user_disk_gb}) + "\n"
    return [
        Packages("btrfs-progs", "rsync"),
        Directory("/srv/jupyterhub"),
        homes_here.disk(site),
        *config.hub_code(),
        File(server_paths.HOMES_SETTINGS, settings),
        *(config.unit(site, f"{_UNITS}/{name}") for name in names),
        Service("hubrun-homes.socket"),
        HomesLimit(server_paths.HOMES, site.user_disk_gb, f"{_PROGRAM} limits"),
    ]


def moved(site: Site) -> list[Resource]:
    """People's files on the disk, and the hourly snapshots; the filter asks for homes by now."""
    if not site.homes:
        return []
    old = [NoOldHomes(f"{server_paths.COURSES}-old")] if site.homes_old == "remove" else []
    return [
        MovedHomes(server_paths.HOMES, f"{_PROGRAM} move"),
        *([config.unit(site, server_paths.COURSES_MOUNT), _courses()] if site.nbgrader else []),
        *old,
        Service("hubrun-homes-hourly.timer"),
    ]


def _courses() -> MovedCourses:
    return MovedCourses(
        server_paths.COURSES, server_paths.HOMES_COURSES, server_paths.COURSES_MOUNT, f"{_PROGRAM} move"
    )


def forget(site: Site, *users: str) -> str:
    """Shell that removes all files of these users of the hub, whose servers are gone. It fails for none."""
    script = quote("docker volume rm {} > /dev/null 2>&1 || true", [volume(user) for user in users])
    return script + (quote(f"\n{_PROGRAM} remove {{}} || true", users) if site.homes else "")


def tests(site: Site) -> list[Test]:
    """Tests that the disk is there and counts."""
    if not site.homes:
        return []
    return [
        Test("students' homes are on a disk of their own", f"df -h {server_paths.HOMES} | tail -n 1", rf" {server_paths.HOMES}$"),
        Test(
            "what each home holds is counted",
            quote(_COUNTED, server_paths.HOMES), prints="^0$", remedy=f"{_PROGRAM} hourly counts again",
        ),
        *([_courses().test()] if site.nbgrader else []),
    ]  # fmt: skip
