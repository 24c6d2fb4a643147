"""Secrets in files of the hub's, each replaced in one step by another that is made here; run by root.

A file holds its secret in a line NAME=value, or is nothing but the secret. When that was done is kept beside, with the digest
of what was written: it is known before the file is in its place, so that a run that is killed never makes a second one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hubrun_hub.lti.consumers import CLIENT_SECRET, FORMER_SECRET, FORMER_UNTIL

# What was replaced within a day is not replaced again: a run that is repeated, or another one beside it, makes no third one.
DONE_S = 86400
# {path: [digest, when it was written (seconds since 1970)]}
NOTE = Path("/var/lib/hubrun/rotated.json")


@contextmanager
def alone() -> Iterator[None]:
    """One at a time: whoever comes second waits. Raises OSError."""
    NOTE.parent.mkdir(exist_ok=True)
    folder = os.open(NOTE.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def renew(path: Path, name: str = "") -> None:
    """Another secret for the line `name`; without a name, for the whole file. Raises OSError."""
    value = secrets.token_hex(32)
    _put(path, _with(path, {name: value}) if name else f"{value}\n")


def renew_lti(path: Path, days: int) -> None:
    """Another secret for a consumer of LTI 1.1; the one before is good for so many days more. Raises OSError, KeyError."""
    before, until = _values(path)[CLIENT_SECRET], str(int(time.time()) + days * 86400)
    new = {CLIENT_SECRET: secrets.token_hex(32), FORMER_SECRET: before, FORMER_UNTIL: until}
    _put(path, _with(path, {name: value if days or name == CLIENT_SECRET else None for name, value in new.items()}))


def end_lti(path: Path) -> None:
    """The secret before is good no more. Raises OSError."""
    _put(path, _with(path, {FORMER_SECRET: None, FORMER_UNTIL: None}))


def times(path: Path) -> dict[str, int]:
    """rotated: when this was last done to the file as it is now; until: how long a former secret is good. 0 for never."""
    text = path.read_bytes() if path.exists() else b""
    digest, rotated = _noted().get(str(path), ["", 0])
    until = _values(path).get(FORMER_UNTIL, "0") if text else "0"
    return {"rotated": rotated if digest == _digest(text) else 0, "until": int(until)}


def _with(path: Path, changes: dict[str, str | None]) -> str:
    """The file's text with these lines, None for one that goes; all others stay."""
    kept = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in changes]
    return "".join(f"{line}\n" for line in [*kept, *(f"{name}={value}" for name, value in changes.items() if value)])


def _values(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, sign, value in pairs if sign}


def _put(path: Path, text: str) -> None:
    noted = _noted() | {str(path): [_digest(text.encode()), int(time.time())]}
    NOTE.parent.mkdir(exist_ok=True)
    _write(NOTE, json.dumps(noted, indent=1))
    _write(path, text)


def _write(path: Path, text: str) -> None:
    """Write a file for its owner alone, who stays; it is whole at every moment. No link is followed."""
    new = path.with_name(f".{path.name}.rotated")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        if path.exists():
            owner = path.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _noted() -> dict[str, list[Any]]:
    try:
        return dict(json.loads(NOTE.read_text()))
    except (OSError, ValueError):
        return {}


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
