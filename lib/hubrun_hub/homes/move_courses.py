"""Brings the folders of courses from the server's own disk to that of homes. Stopped at any point, it carries on.

They go all at once, while no container uses any of them: everything is copied and compared, and the copy gets its name by
one rename. From then on it is what counts: the folder of before becomes `/srv/nbgrader-old`, and the disk's is mounted
in its place. Meanwhile no container is made: `docker_filter` asks for a home before, and that waits; after a kill no
container gets a course until the mount is there.

What one student handed in, and cannot be read to its end, stays in the old folder, and holds up nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..courses.mounts import HAND_INS, is_name
from ..docker_command import docker, engines
from ..failed import Failed
from . import btrfs, courses
from .move import check_fits, check_room, copy
from .places import HomeError, Homes

# Runbook 04 writes it, once what stands before Docker knows of all this.
UNIT = Path("/etc/systemd/system/srv-nbgrader.mount")
_NEW = "courses.new"
_WHAT = "the folders of courses"


def move(homes: Homes, limit: int, unit: Path = UNIT) -> list[str]:
    """Move the courses if they can be moved, which have the limits that go with a home of `limit` bytes; lines for people."""
    if not unit.exists():
        return []
    failed = homes.root / "courses.failed"
    try:
        with homes.held(courses.ALL, _WHAT, courses.WAIT_S):
            said = [] if _are_mounted(homes) else _move(homes, limit, unit)
        failed.unlink(missing_ok=True)
        return said
    except (HomeError, OSError) as error:
        with suppress(OSError):  # there may be no room
            failed.write_text(f"{error}\n")
        return [f"courses: not moved: {error}"]


def _are_mounted(homes: Homes) -> bool:
    try:
        return courses.are_on_disk(homes)
    except HomeError:
        return False


def _move(homes: Homes, limit: int, unit: Path) -> list[str]:
    said: list[str] = []
    if not (homes.root / "courses").is_dir():
        if _in_use(homes.courses):
            return ["courses: servers run that use their folders; they are moved when none does"]
        _remove_new(homes)
        made = homes.root / _NEW
        btrfs.run("subvolume", "create", made)
        made.chmod(0o700)
        if homes.courses.is_dir():
            said = list(_copy(homes, homes.courses, made))
        btrfs.run("filesystem", "sync", homes.root)
        made.rename(homes.root / "courses")
    courses.set_limits(homes, limit)
    _switch(homes, unit)
    return [*said, "courses: moved"]


def _copy(homes: Homes, old: Path, made: Path) -> Iterator[str]:
    check_room(homes, int(btrfs.run("-sB1", old, program="du").split()[0]))
    found = _folders(old)
    copy(old, made, *(f"/{course.name}" for course in found))
    for course in found:
        inbound = course / "inbound"
        people = _folders(inbound) if inbound.is_dir() and not inbound.is_symlink() else []
        for part in course.iterdir():
            try:
                if part != inbound:
                    check_fits(homes, part)
            except HomeError as error:
                raise HomeError(f"{part}: {error}") from error
        there = made / course.name
        btrfs.run("subvolume", "create", there)
        copy(course, there, *(f"/inbound/{each.name}" for each in people))
        for each in people:
            yield from _copy_hand_ins(homes, each, there / "inbound" / each.name)


def _copy_hand_ins(homes: Homes, old: Path, made: Path) -> Iterator[str]:
    btrfs.run("subvolume", "create", made)
    try:
        check_fits(homes, old)
        copy(old, made)
    except HomeError as error:
        btrfs.remove(homes.root, made)
        btrfs.run("subvolume", "create", made)
        made.chmod(HAND_INS)
        yield f"courses: {old.name} has what they handed in in {old.parent.parent.name} in the old folder alone: {error}"


def _folders(parent: Path) -> list[Path]:
    """Those of courses, or of people; no links."""
    return sorted(each for each in parent.iterdir() if is_name(each.name) and each.is_dir() and not each.is_symlink())


def _remove_new(homes: Homes) -> None:
    """What a run that was killed left: the inner ones first."""
    paths = [path for path in btrfs.subvolumes(homes.root) if path.split("/")[0] == _NEW]
    btrfs.remove(homes.root, *(homes.root / path for path in sorted(paths, key=lambda path: -path.count("/"))))


def _switch(homes: Homes, unit: Path) -> None:
    old = homes.courses.with_name(f"{homes.courses.name}-old")
    if homes.courses.is_dir() and any(homes.courses.iterdir()):
        if os.path.lexists(old):
            raise HomeError(
                f"{homes.courses} has files, and they would be hidden; {old} is there too: look, and remove one"
            )
        homes.courses.rename(old)
    homes.courses.mkdir(mode=0o700, exist_ok=True)
    btrfs.run("start", unit.name, program="systemctl")
    # It sees the server's folders as they were when it started.
    btrfs.run("try-restart", "hubrun-docker-filter.service", program="systemctl")
    courses.are_on_disk(homes)


def _in_use(folder: Path) -> bool:
    words = ("ps", "-a", "--no-trunc", "--format", "{{.Mounts}}")
    try:
        said = [docker(*words, node=node) for node in engines()]
    except Failed as error:
        raise HomeError(str(error)) from error
    return any(
        source.startswith(f"{folder}/") for each in said for line in each.splitlines() for source in line.split(",")
    )
