"""Brings the files of people from Docker volumes of their own to the disk of homes. Stopped at any point, it carries on.

For each person whose server does not run: the volume is copied, compared, and the copy becomes the home. Then the files
of before go into the volume `jupyterhub-old-NAME`, where nothing uses them, and the volume by its old name becomes the
one that Docker mounts the home with. Meanwhile nobody can start this person's server: `docker_filter` asks for the
home, and that is locked; after a kill it sees that the volume is not the home's yet.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .. import student_volume
from . import btrfs, folders, serve
from .places import HomeError, Homes, is_subvolume

OLD = "jupyterhub-old-"
# A home of many files, on a slow disk; one that takes longer is somebody's trap, and does not hold up the others.
_COPY_S = 2 * 3600
# What files may say that they have beyond what they take on the disk: to read 8 TB of holes takes all of that time.
_HOLLOW = 64 << 30
_COPY = ("-aHAXS", "--numeric-ids", "--one-file-system", "--no-devices")


def move(homes: Homes, limit: int) -> Iterator[str]:
    """Move everybody who can be moved; a line for each person. Raises HomeError when nobody can be."""
    homes.check_mounted()
    for name, data in sorted(folders.plain_volumes().items()):
        user = student_volume.user_of(name)
        failed = homes.moving(user).with_suffix(".failed")
        try:
            with homes.alone(user):
                said = _one(homes, user, data, limit)
            failed.unlink(missing_ok=True)
            yield f"{user}: {said}"
        except (HomeError, OSError) as error:
            with suppress(OSError):  # there may be no room
                failed.write_text(f"{error}\n")
            yield f"{user}: not moved: {error}"


def _one(homes: Homes, user: str, data: Path, limit: int) -> str:
    if _in_use(student_volume.volume(user)):
        return "their server runs; they are moved when it has stopped"
    if not is_subvolume(homes.person(user)):
        check_fits(homes, data)
        made = serve.new(homes, user)
        copy(data, made)
        btrfs.run("filesystem", "sync", homes.root)
        serve.keep(homes, user, made, limit)
    elif any(data.iterdir()):
        _compare(data, homes.person(user))
    _switch(homes, user, data)
    return "moved"


def check_fits(homes: Homes, data: Path) -> None:
    """Raise HomeError where a folder has no room on the disk, or where to read it would never end."""
    size, says = (
        int(btrfs.run("-sB1", *more, data, program="du", seconds=_COPY_S).split()[0])
        for more in ((), ("--apparent-size",))
    )
    if says > size + _HOLLOW:
        raise HomeError(f"its files say that they have {says >> 30} GB, and have {size >> 30}")
    check_room(homes, size)


def check_room(homes: Homes, size: int) -> None:
    """Raise HomeError where so many bytes have no room on the disk."""
    free = shutil.disk_usage(homes.root).free
    if size > free * 0.9:
        raise HomeError(f"{size >> 20} MB do not fit: the disk has {free >> 20} MB left")


def copy(data: Path, made: Path, *but: str) -> None:
    """Copy all that is in a folder, but for these (rsync(1), --exclude), and compare. Raises HomeError."""
    excluded = [f"--exclude={each}" for each in but]
    btrfs.run(*_COPY, *excluded, f"{data}/", made, program="rsync", seconds=_COPY_S)
    _compare(data, made, *excluded)


def _compare(data: Path, copy: Path, *excluded: str) -> None:
    """Raise HomeError unless both hold the same, by the digests of all files."""
    said = btrfs.run(*_COPY, "-nci", "--delete", *excluded, f"{data}/", copy, program="rsync", seconds=_COPY_S)
    if said.strip():
        raise HomeError(f"{copy} and {data} differ: {said.splitlines()[0][:200]}")


def _switch(homes: Homes, user: str, data: Path) -> None:
    volume, old = student_volume.volume(user), OLD + homes.person(user).name
    if any(data.iterdir()):
        _docker("volume", "create", old)
        data.rename(_mountpoint(old))  # which is empty, or this fails
        data.mkdir()  # as Docker finds it missing otherwise
    _docker("volume", "rm", volume)
    folders.make_volume(homes, user)


def _docker(*words: str) -> str:
    return btrfs.run(*words, program="docker")


def _mountpoint(volume: str) -> Path:
    return Path(_docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume).strip())


def _in_use(volume: str) -> bool:
    return bool(_docker("ps", "-aq", "--filter", f"volume={volume}").strip())
