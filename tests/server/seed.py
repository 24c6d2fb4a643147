"""A copy of the installed practice server from before it was used, and copies of that for whoever needs one: minutes become seconds.

The first half of the tests makes it, and the second waits for it. It counts for what it was made of, and for nothing else.
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
# Files of their own, to be locked and not written.
_COMING, _USED = Path(__file__), Path(__file__).with_name("machines.py")


def _made_of() -> str:
    """A digest of the files that an installed practice server comes from."""
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def take(machine: Machine) -> None:
    """Make it a copy of this server, which was set up and not used yet."""
    if Machine(NAME).known:  # made of something else, and left by a session that was killed
        Machine(NAME).down()
    Machine(NAME).copy_of(machine.name)
    _KEY.write_text(_made_of())


@contextmanager
def coming() -> Iterator[None]:
    """It is made in this block; `there` waits for the end of it."""
    with _COMING.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def there() -> bool:
    """Whether there is one."""
    with _COMING.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return _KEY.exists() and _KEY.read_text() == _made_of()


@contextmanager
def used() -> Iterator[None]:
    """It is removed at the end of the last session that may use it, also of one that was broken off."""
    with _USED.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Machine(NAME).down()
