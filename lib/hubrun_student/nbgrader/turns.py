"""Whose turn it is to collect and autograde in a course: its staff's, several at once as ever, or the server's alone.

Both write into the same folders: where two autograde one submission, the one that fails removes what the other made
(nbgrader 0.9.6, converters/base.py, _handle_failure). A file in the course's folder is locked (flock(2)), which all
containers that have the folder see. The server has its turn for one submission at a time, and so nobody waits for long.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = ".autograde.lock"
_AGAIN_S = 0.05
# Whoever clicked waits in front of a page that stands still.
_STAFF_WAIT_S, _SERVER_WAIT_S = 15.0, 120.0

_by_server = False
# Of this process. Autograding within a turn needs no other.
_has_turn = False


class Busy(Exception):
    """It is somebody else's turn; the text says what to do."""


def by_server() -> None:
    """From now on this process autogrades for the server."""
    global _by_server
    _by_server = True


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Have a turn in the course with this folder. Raises Busy where the other's lasts too long; for the server also OSError."""
    global _has_turn
    if _has_turn:
        yield
        return
    try:
        lock = os.open(folder / FILE, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError:
        if _by_server:
            raise
        yield  # as without this file: what nbgrader cannot write it says itself
        return
    try:
        _wait(lock)
        _has_turn = True
        yield
    finally:
        _has_turn = False
        os.close(lock)


def _wait(lock: int) -> None:
    kind, seconds = (fcntl.LOCK_EX, _SERVER_WAIT_S) if _by_server else (fcntl.LOCK_SH, _STAFF_WAIT_S)
    until = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Busy(
                    "Somebody autogrades in this course"
                    if _by_server
                    else "The server autogrades in this course just now: try again in a minute."
                ) from None
            time.sleep(_AGAIN_S)
