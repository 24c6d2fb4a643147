"""Files that this account keeps for itself alone, outside of anything that is copied, synced or restored."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def folder(*names: str) -> Path:
    """The folder for what hubrun keeps from one run for the next, or one below it; it is made where it is missing.

    XDG Base Directory Specification 0.8: $XDG_STATE_HOME, a whole path, or ~/.local/state. Raises OSError when it is not
    this account's own, or cannot be made.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    path = (given if given.is_absolute() else Path.home() / ".local/state") / "hubrun"
    for name in ("", *names):
        path = path / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(path.lstat(), stat.S_IFDIR, path)
        path.chmod(0o700)
    return path


def read(path: Path) -> bytes:
    """What stands in a file below `folder`. Raises OSError, also when somebody else may have written it."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        _check(status, stat.S_IFREG, path)
        if status.st_mode & 0o077 or status.st_nlink != 1:
            raise PermissionError(f"{path} is open to others")
        return file.read()


def _check(status: os.stat_result, kind: int, path: Path) -> None:
    if stat.S_IFMT(status.st_mode) != kind or status.st_uid != os.getuid():
        raise PermissionError(f"{path} is not this account's own")
