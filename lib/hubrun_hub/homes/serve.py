"""One who asks for a home: a connection of the socket hubrun-homes, which only root may use.

Each line of it is a JSON list, and gets one line back:

    ["open", USER]      "there", "there snapshots" (there is a place for the mount), or "none"
    ["make"]            makes the home that there was none of; as above
    ["course", COURSE]  has a course's folder, and that of what this user hands in: "there"; "none" where courses are not on
                        this disk; "away" and a line for people where that cannot be
    ["remove", USER]    removes a Test Student's home and snapshots: "removed"

What cannot be done is answered "error" and a line for people, and that is the end. Until the connection ends nobody
else may use or move this home, and courses stay where they are.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from shutil import rmtree

from .. import test_student
from . import btrfs, courses
from .places import SNAPSHOTS, HomeError, Homes, is_subvolume, limit_bytes

# The user of the students' image, whose files they are.
_UID, _GID = 1000, 100
_WAIT_S = 20
# What the one who asks does meanwhile is Docker's work.
_IDLE_S = 400


def serve(connection: socket.socket, homes: Homes, settings: Path) -> None:
    """Answer until the other side ends."""
    connection.settimeout(_IDLE_S)
    with connection, connection.makefile("rb") as lines, ExitStack() as held:
        try:
            for answer in _answers(lines, homes, settings, held):
                connection.sendall(f"{answer}\n".encode())
        except (HomeError, OSError, ValueError) as error:
            print(f"<4>{error}", file=sys.stderr)
            with suppress(OSError):  # the other side is gone
                connection.sendall(f"error {' '.join(str(error).split())}\n".encode())


def _answers(lines: Iterable[bytes], homes: Homes, settings: Path, held: ExitStack) -> Iterator[str]:
    user = ""
    for line in lines:
        match json.loads(line):
            case ["open", str(user)]:
                homes.check_mounted()
                held.enter_context(courses.staying(homes, settings))
                held.enter_context(homes.alone(user, _WAIT_S))
                yield _state(homes, user)
            case ["make"] if user:
                make(homes, user, limit_bytes(settings))
                yield _state(homes, user)
            case ["course", str(course)] if user:
                yield _course(homes, course, user, limit_bytes(settings))
            case ["remove", str(user)] if test_student.is_one(user):
                homes.check_mounted()
                with homes.alone(user, _WAIT_S):
                    remove(homes, user)
                yield "removed"
            case _:
                raise HomeError("this is not understood")


def _state(homes: Homes, user: str) -> str:
    if not is_subvolume(homes.person(user)):
        return "none"
    # Docker makes this folder in the home, as root, and mounts there. What a person has by that name stays theirs.
    place = homes.person(user) / Path(SNAPSHOTS).name
    free = not place.is_symlink() and (not place.exists() or (place.is_dir() and not any(place.iterdir())))
    return "there snapshots" if free else "there"


def _course(homes: Homes, course: str, user: str, limit: int) -> str:
    try:
        if not courses.are_on_disk(homes):
            return "none"
        courses.make(homes, course, user, limit)
        return "there"
    except (HomeError, OSError) as error:  # who cannot hand in can work
        return f"away {' '.join(str(error).split())}"


def new(homes: Homes, user: str) -> Path:
    """An empty subvolume for this user, which is not the home yet; what a kill left in its place is gone."""
    made = homes.moving(user)
    if is_subvolume(made):
        btrfs.remove(homes.root, made)
    btrfs.run("subvolume", "create", made)
    return made


def keep(homes: Homes, user: str, made: Path, limit: int) -> None:
    """Make the subvolume the home of this user, with a limit in bytes; 0: none."""
    btrfs.set_limit(made, limit)
    homes.snapshots(user).mkdir(exist_ok=True)
    homes.snapshots(user).chmod(0o755)  # whatever the umask: its person looks into it
    (homes.root / "work" / made.name).mkdir(mode=0o700, exist_ok=True)
    made.rename(homes.person(user))


def set_limits(homes: Homes, limit: int) -> None:
    """Let each home hold `limit` bytes, courses what goes with it, and note that in the file that runbook 04 reads
    (resources/homes_moved.py)."""
    for name in homes.names():
        btrfs.set_limit(homes.root / "people" / name, limit)
    courses.set_limits(homes, limit)
    (homes.root / "limit").write_text(f"{limit}\n")


def make(homes: Homes, user: str, limit: int) -> None:
    """Make an empty home. Docker puts into it what the image has there, at its first container (`docker volume create`)."""
    made = new(homes, user)
    made.chmod(0o755)
    os.chown(made, _UID, _GID)
    keep(homes, user, made, limit)


def remove(homes: Homes, user: str) -> None:
    """Remove the home of this user and its snapshots, for good."""
    person, snapshots = homes.person(user), homes.snapshots(user)
    found = [path for path in snapshots.iterdir() if is_subvolume(path)] if snapshots.is_dir() else []
    found += [path for path in (person, homes.moving(user)) if is_subvolume(path)]
    btrfs.remove(homes.root, *found)
    for folder in (snapshots, *homes.work(user)):
        if folder.is_dir():
            rmtree(folder)
