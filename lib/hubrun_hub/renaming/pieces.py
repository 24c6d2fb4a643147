"""What is somebody's on the server, piece by piece: their volume, and their folders in courses. Moves them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hubrun_hub.renaming.look import Failed, Places, course_folders, docker, volumes
from hubrun_hub.student_volume import volume

# A volume of ours beside the others, on the same file system: what is aside is in it, a folder for each person.
HOLD = "hubrun-renaming"


class Piece(NamedTuple):
    """parent: the folder of a course that has the person's folder; "" for the person's volume. person: their number."""

    parent: str
    person: int


def pieces(places: Places, people: list[tuple[str, str]]) -> list[Piece]:
    """What the people (old name, new name) have. Raises Failed for volumes that cannot be moved."""
    found = []
    theirs = volumes(name for pair in people for name in pair)
    for name, each in theirs.items():
        if each["Driver"] != "local" or each["Options"]:
            raise Failed(f"the volume of {name} is not on this server alone (driver {each['Driver']}): move it by hand")
        if users := docker("ps", "-a", "--filter", f"volume={volume(name)}", "--format", "{{.Names}}").split():
            raise Failed(f"the volume of {name} is used by {', '.join(users)}: docker rm -f {' '.join(users)}")
    parents = course_folders(places)
    for number, (old, _) in enumerate(people):
        if old in theirs:
            found.append(Piece("", number))
        found += [Piece(str(parent), number) for parent in parents if (parent / old).is_dir()]
    return found


def stop_servers(names: list[str]) -> int:
    """Stop the servers of these users, and remove their containers, as the hub does; how many there were."""
    if not shutil.which("docker"):
        return 0
    # By their volumes: the names of containers say nothing. What else uses a volume is not a server, and not ours to stop.
    using = ("ps", "-a", "--format", "{{.Names}}", "--filter")
    running = [
        each for name in names for each in docker(*using, f"volume={volume(name)}").split()
        if each.startswith("jupyter-")
    ]  # fmt: skip
    if running:
        docker("stop", *running)
        docker("rm", "-f", *running)
    return len(running)


def make_hold(for_them: Iterable[Piece]) -> None:
    """Make HOLD, where one of the pieces is a volume."""
    if any(not piece.parent for piece in for_them):
        docker("volume", "create", HOLD)


def remove_hold(for_them: Iterable[Piece]) -> None:
    """Remove HOLD, in which nothing is any more."""
    if any(not piece.parent for piece in for_them):
        docker("volume", "rm", "-f", HOLD)


def is_aside(piece: Piece) -> bool:
    """Whether the piece is out of its place."""
    return os.path.lexists(_hold(piece))


def move_aside(piece: Piece, name: str) -> None:
    """Take what is `name`'s out of its place. The volume goes; its name is free for others."""
    if piece.parent:
        _rename_in(piece.parent, name, _hold(piece).name)
        return
    data = _data(volume(name))
    os.rename(data, _hold(piece))
    data.mkdir()  # as Docker finds it missing otherwise
    docker("volume", "rm", volume(name))


def move_in(piece: Piece, name: str) -> None:
    """Put what is aside to where it is `name`'s; an empty folder that is there is replaced, one with files is not.

    Raises OSError.
    """
    if piece.parent:
        _rename_in(piece.parent, _hold(piece).name, name)
        return
    docker("volume", "create", volume(name))
    os.rename(_hold(piece), _data(volume(name)))


def _hold(piece: Piece) -> Path:
    if piece.parent:
        return Path(piece.parent, f".hubrun-renaming-{piece.person}")
    return _data(HOLD) / str(piece.person)


def _data(name: str) -> Path:
    return Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", name).strip())


def _rename_in(parent: str, old: str, new: str) -> None:
    """Rename within a folder that people's containers may write to: should it be a link by now, nothing is done."""
    folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
