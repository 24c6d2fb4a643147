"""The folders of courses on the server, which are mounted into containers. They are root's, and made by root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..courses.mounts import HAND_INS, Membership, is_name


class UnsafeFolder(Exception):
    """A folder is not what it must be, so that a container could reach more than its own; the text says what to do."""


def make(root: Path, user: str, courses: Iterable[Membership], former: int | None = None) -> None:
    """Make what `places` mounts for `user`, and see that nothing there leads elsewhere. `root` exists.

    A folder that is there keeps what is in it. former: the number of the hub's account, to which all these folders
    belonged once; each becomes ours, from the top down: when its turn comes, nobody else can put something else into its
    place any more. Raises UnsafeFolder, OSError, and ValueError for a name that is none.
    """
    if _own(root, former).st_mode & 0o022:
        raise UnsafeFolder(f"others may write to {root}: chmod 0700 {root}, and look at what is in it")
    for member in courses:
        if wrong := [each for each in (user, member.course, *member.more.groups) if not is_name(each)]:
            raise ValueError(f"no name for a folder: {wrong[0]!r}")
        course = root / member.course
        more = member.more
        for closed in (course, course / "inbound", course / "feedback", *([course / "groups"] if more.grouped else [])):
            _make(closed, 0o755, former)
        leaves = [course / "outbound", course / "course", course / "feedback" / user]
        leaves += [course / "shared"] if more.shared else []
        for leaf in (*leaves, *(course / "groups" / group for group in more.groups)):
            _make(leaf, 0o777, former)
        _make(course / "inbound" / user, HAND_INS, former)


def _make(path: Path, mode: int, former: int | None) -> None:
    """A folder with this mode, whatever the umask. Its parent is ours alone: nobody changes it meanwhile."""
    with suppress(FileExistsError):
        path.mkdir()
    if stat.S_IMODE(_own(path, former).st_mode) != mode:
        path.chmod(mode)


def _own(path: Path, former: int | None) -> os.stat_result:
    """What is there, which is a folder and ours."""
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == former != os.getuid():
        os.chown(path, os.getuid(), os.getgid(), follow_symlinks=False)
        found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UnsafeFolder(
            f"{path} must be a folder (no link) of root's: see what it is (stat), "
            "then chown that folder, but nothing below it, or move it away"
        )
    return found


def remove(root: Path, user: str) -> None:
    """Remove the folders of `user` in all courses, whose container is gone. Raises OSError, RecursionError.

    Of root's powers there is CAP_CHOWN alone: each folder becomes ours and is closed before it is looked into, so that
    nobody who still has it open changes what is in it. No link is followed.
    """
    for course in sorted(root.iterdir()):
        for kind in (course / "inbound", course / "feedback", course / "due", course / "graded"):
            if is_name(user) and kind.is_dir() and not kind.is_symlink() and not course.is_symlink():
                folder = os.open(kind, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    with suppress(FileNotFoundError):
                        _remove(user, folder)
                finally:
                    os.close(folder)


def _remove(name: str, parent: int) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    os.chown(name, os.getuid(), os.getgid(), dir_fd=parent, follow_symlinks=False)
    # The folder around it is ours and closed: it is the same as a line above.
    os.chmod(name, 0o700, dir_fd=parent)
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        for each in os.listdir(folder):
            _remove(each, folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
