"""The folders of courses on the server. The hub makes them, as its own account and without root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .places import Membership, is_name

# Who everybody is in the containers (jovyan of the Jupyter images).
CONTAINER_UID = 1000


class UnsafeFolder(Exception):
    """A folder is not what it must be, so that a container could reach more than its own; the text says what to do."""


def make(root: Path, user: str, courses: Iterable[Membership]) -> None:
    """Make what `places` mounts for `user`, and see that nothing there leads elsewhere. `root` exists, and is the hub's.

    A folder that is there keeps what is in it. Raises UnsafeFolder, OSError, and ValueError for a name that is none.
    """
    if os.getuid() == CONTAINER_UID:
        raise UnsafeFolder(
            f"the hub's account has uid {CONTAINER_UID}, as everybody in the containers: give it another (hub_user)"
        )
    if _own(root).st_mode & 0o022:
        raise UnsafeFolder(f"others may write to {root}: chmod 0700 {root}, and look at what is in it")
    for member in courses:
        if not is_name(user) or not is_name(member.course):
            raise ValueError(f"no name for a folder: {user!r} or {member.course!r}")
        course = root / member.course
        for closed in (course, course / "inbound", course / "feedback"):
            _make(closed, 0o755)
        for leaf in (course / "outbound", course / "course", course / "inbound" / user, course / "feedback" / user):
            _make(leaf, 0o777)


def _make(path: Path, mode: int) -> None:
    """A folder with this mode, whatever the umask. Its parent is the hub's alone: nobody changes it meanwhile."""
    with suppress(FileExistsError):
        path.mkdir()
    if stat.S_IMODE(_own(path).st_mode) != mode:
        path.chmod(mode)


def _own(path: Path) -> os.stat_result:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UnsafeFolder(
            f"{path} must be a folder (no link) of the hub's own account: see what it is (stat), "
            "then chown that folder, but nothing below it, or move it away"
        )
    return found
