"""Where homes are on the server, and who works on one just now."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .. import student_volume
from ..courses.mounts import is_name

ROOT = Path("/srv/jupyterhub/homes")
# Where the folders of courses are used; on the disk they are in "courses".
COURSES = Path("/srv/nbgrader")
LOCKS = Path("/run/hubrun-homes")
SETTINGS = Path("/etc/jupyterhub/homes.json")
# In a container.
SNAPSHOTS = "/home/jovyan/snapshots"
FOLDERS = ("people", "snapshots", "moving", "work", "empty")
# The number of a subvolume's own folder, and of the first subvolume that is made: Linux, btrfs_tree.h,
# BTRFS_FIRST_FREE_OBJECTID.
FIRST_FREE = 256


class HomeError(Exception):
    """A home cannot be used, made, copied or removed; the text is one line for people."""


class Homes:
    """The folder of all homes, and that of courses. root, locks, courses: elsewhere in tests."""

    def __init__(self, root: Path = ROOT, locks: Path = LOCKS, courses: Path = COURSES) -> None:
        self.root, self.locks, self.courses = root, locks, courses

    def person(self, user: str) -> Path:
        """The home of a user of the hub, which is a subvolume."""
        return self.root / "people" / name_of(user)

    def moving(self, user: str) -> Path:
        """Where a home is that is not one yet, or is none any more."""
        return self.root / "moving" / name_of(user)

    def snapshots(self, user: str) -> Path:
        """The folder of the user's snapshots."""
        return self.root / "snapshots" / name_of(user)

    def work(self, user: str) -> list[Path]:
        """The folders that overlayfs has for what is this user's."""
        work = self.root / "work"
        return [work / name_of(user), *(work.glob(f".hand-ins/*/{user}") if is_name(user) else ())]

    def check_mounted(self) -> None:
        """Raise HomeError unless the file system is there: below its folder would be the server's own disk."""
        if not (os.path.ismount(self.root) and is_subvolume(self.root)):
            raise HomeError(f"the disk with everybody's files is not mounted at {self.root}")

    def names(self) -> list[str]:
        """The names of all people's subvolumes."""
        return sorted(path.name for path in (self.root / "people").iterdir())

    def alone(self, user: str, seconds: float = 0) -> AbstractContextManager[None]:
        """For as long as nobody else may use or change this home. Raises HomeError when it is not free in time."""
        return self.held(name_of(user), f"the files of {user}", seconds)

    @contextmanager
    def held(self, name: str, what: str, seconds: float = 0, shared: bool = False) -> Iterator[None]:
        """For as long as nobody else holds the lock of this name; shared: but for those who share it. Raises HomeError."""
        self.locks.mkdir(mode=0o700, exist_ok=True)
        end = time.monotonic() + seconds
        with (self.locks / name).open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise HomeError(f"{what} are being moved") from None
                    time.sleep(0.05)
            yield


def name_of(user: str) -> str:
    """The name of a user's subvolume. Raises HomeError for one that could not be a folder's."""
    name = student_volume.escaped(user)
    if not name or len(name) > os.pathconf("/", "PC_NAME_MAX"):
        raise HomeError(f"{user[:40]!r} cannot be the name of a home")
    return name


def is_subvolume(path: Path) -> bool:
    """Whether there is a subvolume at `path`, which is no link."""
    try:
        found = path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise
    return found.st_ino == FIRST_FREE and os.path.isdir(path) and found.st_dev != path.parent.lstat().st_dev


def limit_bytes(settings: Path = SETTINGS) -> int:
    """How much one person may keep. Raises HomeError when the file of settings does not say it."""
    try:
        return int(json.loads(settings.read_text())["user_disk_gb"]) * 2**30
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{settings} is not what it should be: {error!r}") from error


def driver_options(person: Path) -> dict[str, str]:
    """What Docker's own driver of volumes gets for this home (docs.docker.com, `docker volume create`)."""
    root = person.parent.parent
    return _overlay(root, person, root / "work" / person.name)


def hand_in_options(root: Path, course: str, user: str) -> dict[str, str]:
    """The same, for what this user hands in in this course, on the disk that is mounted at `root`."""
    return _overlay(root, root / "courses" / course / "inbound" / user, root / "work" / ".hand-ins" / course / user)


def _overlay(root: Path, upper: Path, work: Path) -> dict[str, str]:
    layers = f"lowerdir={root}/empty,upperdir={upper},workdir={work}"
    return {"type": "overlay", "device": "overlay", "o": f"{layers},nosuid,nodev"}
