"""Courses on the disk of homes: a subvolume for each, and in it one for what each person hands in, all with limits.

    courses                          mounted at /srv/nbgrader by a unit of systemd: the folder of all courses
    courses/COURSE                   a subvolume: what its staff write, in all
    courses/COURSE/inbound/USER      a subvolume: what this person handed in
    work/.hand-ins/COURSE/USER       overlayfs's own, for the container of who hands in

What is in them, and whose they are, is said in `hubrun_hub/courses`. A person's container gets the last but one as it
gets the home: through overlayfs, so that nobody makes a subvolume there. Staff could, in the course's folder: what they
make is frozen at what it holds by the next hour (`set_limits`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..courses.mounts import HAND_INS, is_name
from . import btrfs
from .folders import on_a_disk
from .places import SETTINGS, HomeError, Homes, is_subvolume, limit_bytes

# Of what one person may keep: what they may hand in in one course, and what the staff of one keep for all.
_HAND_IN = 1 / 4
_COURSE = 10
ALL = ".courses"
WAIT_S = 20


def hand_in_bytes(limit: int) -> int:
    """What a person who may keep `limit` bytes may hand in in one course."""
    return int(limit * _HAND_IN)


def are_on_disk(homes: Homes) -> bool:
    """Whether the courses of this site are on the disk. Raises HomeError where they are, and are not where they are used."""
    on_disk = homes.root / "courses"
    if not on_disk.is_dir():
        return False
    if not (homes.courses.is_dir() and os.path.samefile(on_disk, homes.courses)):
        raise HomeError(f"the folders of courses are not mounted at {homes.courses}")
    return True


@contextmanager
def staying(homes: Homes, settings: Path = SETTINGS) -> Iterator[None]:
    """For as long as courses must stay where they are. Raises HomeError while they are being moved."""
    if not on_a_disk(settings):
        yield
        return
    with homes.held(ALL, "the folders of courses", WAIT_S, shared=True):
        yield


def make(homes: Homes, course: str, user: str, limit: int) -> None:
    """Have the course's folder, and in it what this user hands in; what is there stays. Raises HomeError, OSError.

    limit: of one person's home, in bytes; 0: none for these either.
    """
    if not is_name(course) or not is_name(user):
        raise HomeError(f"no name for a folder: {user!r} or {course!r}")
    folder = homes.root / "courses" / course
    with homes.held(f".course.{course}", f"the folders of {course}", WAIT_S):
        _make(folder, 0o755, limit * _COURSE)
        inbound = folder / "inbound"
        inbound.mkdir(mode=0o755, exist_ok=True)
        _check(inbound)
        _make(inbound / user, HAND_INS, hand_in_bytes(limit))
    (homes.root / "work" / ".hand-ins" / course / user).mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def without_limit(hand_ins: Path, settings: Path = SETTINGS) -> Iterator[None]:
    """Let root put something beside what a person handed in, also where they filled their folder so that nobody can.

    A kill leaves it without a limit until the next hour (`set_limits`). Raises HomeError.
    """
    if not is_subvolume(hand_ins):
        yield
        return
    btrfs.set_limit(hand_ins, 0)
    try:
        yield
    finally:
        btrfs.set_limit(hand_ins, hand_in_bytes(limit_bytes(settings)))


def _make(folder: Path, mode: int, limit: int) -> None:
    if not os.path.lexists(folder):
        btrfs.run("subvolume", "create", folder)
        btrfs.set_limit(folder, limit)
        folder.chmod(mode)
    _check(folder)


def _check(folder: Path) -> None:
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise HomeError(f"{folder} must be a folder (no link)")


def set_limits(homes: Homes, limit: int) -> list[str]:
    """Give each of them the limit that goes with that of a home, in bytes. Returns lines for people.

    By numbers: in a course's folder its staff may put anything anywhere.
    """
    said = []
    for path, found in btrfs.subvolumes(homes.root).items():
        match path.split("/"):
            case ["courses"] | ["courses", ".removing", *_]:  # what goes (hubrun_hub/removing)
                continue
            case ["courses", _]:
                size = limit * _COURSE
            case ["courses", _, "inbound", _]:
                size = hand_in_bytes(limit)
            case ["courses", *_]:
                size = 1  # 0 would be none
                said.append(f"{ascii(path)} is not a folder of ours: nobody can write to it any more")
            case _:
                continue
        btrfs.set_limit_of(homes.root, found.number, size)
    return said
