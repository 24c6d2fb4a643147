"""Reading a folder that somebody hostile may be changing at the same moment.

A student's container writes into the folder from which an instructor's collects. A symbolic link there would be followed
in the instructor's container: to the solutions, to other people's submissions, to the instructor's own files, all of
which would come back to the student as feedback. So each step is taken from the folder before (openat(2)) and none
through a link; pipes and devices, which could block, are never opened for good.

Hidden files and folders stay where they are: programs read and run them when somebody only looks into the folder (git
what .git/config names, as soon as JupyterLab shows its state; R .Rprofile, pdb .pdbrc).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_DEPTH = 40
_BLOCK = 1 << 20
# What one more entry counts as, so that a million empty files are too much as well.
_ENTRY = 4096


class LimitExceeded(Exception):
    """The folder is larger, deeper or more numerous than it may be."""


@dataclass
class Seen:
    """What was read: the latest change (seconds since 1970), bytes, and the paths of what was hidden or no plain file.

    The change is st_ctime, which the kernel sets whenever a file is written, renamed or has its times set: unlike names,
    contents and st_mtime, it cannot be set back from a container.
    """

    changed: float = 0.0
    size: int = 0
    left_out: list[str] = field(default_factory=list)


def look(source: Path, limit: int) -> Seen:
    """Return what is in `source`. Raises LimitExceeded above `limit` bytes, and OSError; a link as `source` is an OSError."""
    return _read(source, None, limit)


def copy(source: Path, target: Path, limit: int) -> Seen:
    """Copy folders and plain files from `source` to the new folder `target`. Errors: those of `look`."""
    target.mkdir(parents=True)
    return _read(source, target, limit)


def _read(source: Path, target: Path | None, limit: int) -> Seen:
    seen = Seen()
    folder = os.open(source, _FOLDER)
    try:
        for path, parent, name, kind in _walk(folder, "", _DEPTH):
            seen.size += _ENTRY
            if seen.size > limit:
                raise LimitExceeded(f"more than {limit} bytes")
            if name.startswith("."):
                seen.left_out.append(path)
                continue
            if stat.S_ISDIR(kind):
                if target:
                    (target / path).mkdir()
            elif stat.S_ISREG(kind):
                _read_file(parent, name, path, target, limit, seen)
            else:
                seen.left_out.append(path)
            seen.changed = max(seen.changed, os.stat(name, dir_fd=parent, follow_symlinks=False).st_ctime)
        seen.changed = max(seen.changed, os.fstat(folder).st_ctime)
    finally:
        os.close(folder)
    return seen


def _walk(folder: int, prefix: str, depth: int) -> Iterator[tuple[str, int, str, int]]:
    """Each entry below an open folder, parents first: its path, its folder, its name there, and its mode."""
    if not depth:
        raise LimitExceeded(f"more than {_DEPTH} folders deep")
    for name in sorted(os.listdir(folder)):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        yield prefix + name, folder, name, mode
        if stat.S_ISDIR(mode) and not name.startswith("."):
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from _walk(inner, f"{prefix}{name}/", depth - 1)
            finally:
                os.close(inner)


def _read_file(parent: int, name: str, path: str, target: Path | None, limit: int, seen: Seen) -> None:
    file = os.open(name, _FILE, dir_fd=parent)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            seen.left_out.append(path)
            return
        if target is None:
            seen.size += found.st_size
        else:
            with (target / path).open("xb") as copied:
                while block := os.read(file, _BLOCK):
                    seen.size += len(block)
                    if seen.size > limit:
                        break
                    copied.write(block)
        if seen.size > limit:
            raise LimitExceeded(f"more than {limit} bytes")
        seen.changed = max(seen.changed, os.fstat(file).st_ctime)
    finally:
        os.close(file)
