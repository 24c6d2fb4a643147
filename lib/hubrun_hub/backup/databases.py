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

from hubrun_hub.joining.confined import as_owner
from hubrun_hub.joining.failed import Failed

_COPY = ".hubrun-copy"


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
    return failed


def remove_copies(paths: Iterable[Path]) -> None:
    """Remove the copies again."""
    for path in paths:
        try:
            as_owner(path, _remove)
        except (Failed, OSError):
            continue  # the next one to be made takes its place


def put_back(folder: Path) -> None:
    """In a folder that was restored and nobody uses: each copy takes its database's place. Raises OSError."""
    for found in folder.glob(f".*{_COPY}"):
        database = found.with_name(found.name[1 : -len(_COPY)])
        for rest in ("-journal", "-wal", "-shm"):
            database.with_name(database.name + rest).unlink(missing_ok=True)
        found.replace(database)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_COPY}")


def _copy(path: Path) -> None:
    os.umask(0o077)
    _remove(path)
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as live,
        closing(sqlite3.connect(_beside(path))) as made,
    ):
        live.backup(made)


def _remove(path: Path) -> None:
    for rest in ("", "-journal"):
        beside = _beside(path)
        beside.with_name(beside.name + rest).unlink(missing_ok=True)
