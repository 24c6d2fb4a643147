"""The tree of bind mounts that restic reads and writes; see the package."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from hubrun_hub import student_volume, test_student
from hubrun_hub.backup.repository import Settings
from hubrun_hub.failed import Failed
from hubrun_hub.homes import folders
from hubrun_hub.homes.places import HomeError

COURSES, STATE = Path("/srv/nbgrader"), Path("/var/lib/jupyterhub")
# Of the server, besides: where they are there.
SERVER = ("/etc/jupyterhub", "/etc/letsencrypt", str(STATE), "/srv/jupyterhub/image")
# Where it is put together: in memory, in this process's own namespace.
_ROOT = Path("/run/hubrun-backup")
# mount(2), umount2(2), unshare(2)
_DETACH = 2
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _NOSYMFOLLOW, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 256, 4096, 1 << 14, 1 << 18
_NEWNS = 0x20000


def homes() -> dict[str, Path]:
    """The folder of each home, by its user's name as it is in that of the volume (`homes.folders`). Raises Failed.

    Those of the Test Student, and of the users of 06_verify, are for a look around.
    """
    try:
        found = folders.folders()
    except HomeError as error:
        raise Failed(str(error)) from error
    return {
        student_volume.escaped(user): folder
        for user, folder in sorted(found.items())
        if not user.startswith("hubruntest") and not test_student.is_one(user)
    }


def sources(settings: Settings, home_folders: dict[str, Path]) -> dict[str, Path]:
    """What is in the tree: path there → where it is on the server."""
    found = {f"homes/{name}": folder for name, folder in home_folders.items()}
    found |= {"courses": COURSES} if COURSES.is_dir() else {}
    return found | {f"server{each}": Path(each) for each in (*SERVER, *settings.also) if Path(each).exists()}


def put_together(sources: dict[str, Path], writable: bool = False, root: Path = _ROOT) -> Path:
    """Mount each source at its place; the top of the tree. It is gone when this process ends. Raises Failed, OSError.

    writable: what is written to the tree is written to the sources.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_NEWNS):
        raise OSError(ctypes.get_errno(), "no mount namespace")
    _mount(None, Path("/"), None, _REC | _PRIVATE, None)
    root.mkdir(mode=0o700, exist_ok=True)
    _mount(b"tmpfs", root, b"tmpfs", _NOSUID | _NODEV, b"mode=0700")
    top = root / "tree"
    (top / "homes").mkdir(parents=True)
    flags = _BIND | _REMOUNT | _NOSUID | _NODEV | _NOSYMFOLLOW | (0 if writable else _RDONLY)
    for name, source in sources.items():
        place = top / name
        if source.is_dir():
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        _mount(os.fsencode(source), place, None, _BIND, None)
        _mount(None, place, None, flags, None)
    _prove(top, len(sources))
    return top


def take_apart(root: Path = _ROOT) -> None:
    """Let go of what the tree shows, where there is one. Nobody may be in it any more."""
    if os.path.ismount(root):
        _at(root, "umount2", os.fsencode(root), _DETACH)


def _prove(top: Path, count: int) -> None:
    # Before Linux 5.10 it is passed over without a word.
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    guarded = [line for line in lines if line[4].startswith(f"{top}/") and "nosymfollow" in line[5].split(",")]
    if len(guarded) != count:
        raise Failed("this kernel cannot keep links from being followed (it takes Linux 5.10): nothing was done")


def _mount(source: bytes | None, place: Path, kind: bytes | None, flags: int, data: bytes | None) -> None:
    _at(place, "mount", source, os.fsencode(place), kind, ctypes.c_ulong(flags), data)


def _at(place: Path, call: str, *words: Any) -> None:
    """Make a system call about `place`. Raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), call)(*words):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(place))
