"""What is known of the backups of a site: /var/lib/hubrun/backup.json, which `hubrun-backup run` keeps.

repository     where the last one is, or was to be
last_ok        when the last backup that is whole began, ISO 8601 in UTC; "" for never
last_try       the same of the last one that was tried
last_error     why it failed; "" when it did not
snapshot       restic's id of the last one; seconds it took, bytes that it added, number of homes in it
left_out       homes, and folders of courses, that it does not hold: {user, or path: why}
unread         how many of students' files could not be read (they change while they are read, or lie too deep)
check, test_restore    {"at": when, "ok": whether, "error": why not}, of the week's; the second with "home" and "files"
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hubrun_hub.failed import Failed

FOLDER = Path("/var/lib/hubrun")
FILE = FOLDER / "backup.json"
_FRESH: dict[str, Any] = {"repository": "", "last_ok": "", "last_try": "", "last_error": ""}


def read(file: Path = FILE) -> dict[str, Any]:
    """What is known; of a server without a backup, that there is none. A file that is damaged says nothing."""
    try:
        return {**_FRESH, **json.loads(file.read_text())}
    except (OSError, ValueError, TypeError):
        return dict(_FRESH)


def of(repository: str) -> dict[str, Any]:
    """What is known of the backups in this repository; of another than the last one, that there is none."""
    known = read()
    return known if known["repository"] == repository else {**_FRESH, "repository": repository}


def write(known: dict[str, Any], file: Path = FILE) -> None:
    """Keep it; the file is whole at every moment. Raises OSError."""
    new = file.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as text:
        json.dump(known, text, indent=1)
        text.flush()
        os.fsync(text.fileno())
    new.replace(file)


def now() -> str:
    """The time, as it is kept."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")  # noqa: UP017 - Python 3.10


def days_since(at: str) -> float:
    """How many days ago that was; more than any, where it never was."""
    try:
        return (datetime.now(timezone.utc) - datetime.fromisoformat(at)).total_seconds() / 86400  # noqa: UP017
    except ValueError:
        return float("inf")


@contextmanager
def alone(seconds: float = 0, folder: Path = FOLDER) -> Iterator[None]:
    """One backup, restore or removal at a time. Raises Failed where another goes on for longer than `seconds`."""
    folder.mkdir(mode=0o755, exist_ok=True)
    deadline, said = time.monotonic() + seconds, False
    with open(folder / "backup.lock", "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Failed(
                        "another backup or restore goes on (or a removal): see systemctl status hubrun-backup, and wait for its end"
                    ) from None
                if not said:
                    print(
                        "another backup or restore goes on (or a removal); waiting for its end",
                        file=sys.stderr,
                        flush=True,
                    )
                said = True
                time.sleep(0.5)
        yield
