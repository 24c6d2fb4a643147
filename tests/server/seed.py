"""One installed practice server that is never changed, and copies of it for whoever needs one: minutes become seconds.

Both halves of the tests use the same. It is made anew when anything that it was made from has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from machines import PROJECT, Machine

NAME = "seed"
_KEY = PROJECT / ".practice" / NAME / "made-of"
_FOLDERS = ("lib", "runbooks", "params", "requirements")
HERE = Path(__file__).parent


def _made_of() -> str:
    """A digest of the files that an installed practice server comes from."""
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def making() -> Iterator[bool]:
    """Whether it is still to be made, by whoever is in the block; others wait meanwhile."""
    with (HERE / "launch_loop.py").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not (_KEY.exists() and _KEY.read_text() == _made_of())


def take(machine: Machine) -> None:
    """Make it a copy of this server, which was installed and not used yet."""
    Machine(NAME).down()
    Machine(NAME).copy_of(machine.name)
    _KEY.write_text(_made_of())


@contextmanager
def used(keep: bool) -> Iterator[None]:
    """It is removed at the end of the last session that uses it, also of one that was broken off."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not keep:
                Machine(NAME).down()
