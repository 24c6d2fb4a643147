"""Copies of SQLite databases that are whole, though somebody writes (sqlite.org/backup.html).

Each is made beside its database by the database's own owner, with their rights alone (`joining.confined`), and is a file
like any other to restic. Restored, it takes the database's place.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from hubrun_hub.failed import Failed
from hubrun_hub.joining.confined import as_owner

# The second is not whole yet: of a copy that was ended half-way nothing may take its database's place.
_COPY, _PART = ".hubrun-copy", ".hubrun-part"


def databases(state: Path, courses: Path) -> list[Path]:
    """The hub's own, and nbgrader's gradebooks."""
    books = [each for each in courses.glob("*/course/gradebook.db") if not each.is_symlink()]
    return sorted([*state.glob("*.sqlite"), *books])


def copy(paths: Iterable[Path]) -> dict[Path, str]:
    """Make the copies; those that could not be made, and why."""
    failed = {}
    for path in paths:
        try:
            as_owner(path, _copy)
        except (Failed, OSError) as error:
            failed[path] = str(error)
            remove_copies([path])
    return failed


def remove_copies(paths: Iterable[Path]) -> None:
    """Remove the copies again."""
    for path in paths:
        try:
            as_owner(path, _remove)
        except (Failed, OSError):
            continue  # the next one to be made takes its place


def put_back(paths: Iterable[Path]) -> dict[Path, str]:
    """In folders that were restored and nobody uses: each copy takes its database's place; those that cannot, and why."""
    failed = {}
    for path in paths:
        copied = _beside(path, _COPY)
        try:
            if copied.is_file() and not copied.is_symlink():
                for rest in ("-journal", "-wal", "-shm"):
                    path.with_name(path.name + rest).unlink(missing_ok=True)
                copied.replace(path)
        except OSError as error:  # whatever else its people have by these names
            failed[path] = str(error)
    return failed


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f".{path.name}{end}")


def _copy(path: Path) -> None:
    os.umask(0o077)
    _remove(path)
    part = _beside(path, _PART)
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as live,
        closing(sqlite3.connect(part)) as made,
    ):
        live.backup(made)
    part.replace(_beside(path, _COPY))


def _remove(path: Path) -> None:
    for end in (_COPY, _PART, f"{_PART}-journal"):
        _beside(path, end).unlink(missing_ok=True)
