"""Writing a file so that it is whole at every moment: beside it, forced to the disk, then renamed over it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# What a write that was cut short leaves; closing a run removes it.
BESIDE = ".new"


def write(path: Path, content: bytes, mode: int = 0o666) -> None:
    """`path` holds `content`, or what it held before: never a part. mode: of a new file, less the umask. Raises OSError.

    The order (write, fsync, rename, fsync of the folder) is what rename(2) and fsync(2) ask for.
    """
    beside = path.with_name(path.name + BESIDE)
    try:
        # No link is followed: who may write to the folder of records need not be who runs this.
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the folder's names to the disk, so that a rename is kept over a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
