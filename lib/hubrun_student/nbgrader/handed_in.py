"""Reads what one student handed in, as it lies in the exchange: what they sent, and what the server took of them.

When is the kernel's change time. Names and timestamps that a submission itself has come from the student's container, and
say nothing; those of one that the server took at its due time are the server's.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.utils import parse_utc

from . import safe_copy
from .late import terms_of
from .submissions import Submission

_ROOT = 0
# The two may differ by the time that copying takes; above this, somebody looks into it.
_LATER_S = 300


def read(folder: Path, student: str, assignment: str, limit: int, log: Any) -> Iterator[Submission]:
    """The submissions in a student's folder: NAME+ASSIGNMENT+TIME+RANDOM, of which only ASSIGNMENT is believed.

    What is larger than `limit` bytes, or cannot be read, is passed over, and `log` says so.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        log.error("The submissions of %s cannot be read: %s", student, error)
        return
    for name, parts in _named(names, assignment):
        path = folder / name
        try:
            seen = safe_copy.look(path, limit)
        except (OSError, safe_copy.LimitExceeded) as error:
            log.error("Passed over: %s of %s: %s", name, student, error)
            continue
        if one := _taken(path, student, parts[2], empty=not seen.size):
            yield one
            continue
        arrived, sent = moment(seen.changed), _claimed(parts[2])
        if parts[0] != student or sent is None or not -_LATER_S <= (arrived - sent).total_seconds() <= _LATER_S:
            log.warning(
                "A submission of %s, last changed at %s, calls itself one of '%s' at '%s': what it says is not used",
                student, arrived, parts[0], parts[2],
            )  # fmt: skip
        yield Submission(student, path, arrived, sent=sent)


def taken(folder: Path, student: str, assignment: str) -> list[Submission]:
    """What the server took of a student, whatever is in it. Raises OSError."""
    names = os.listdir(folder) if folder.is_dir() else []
    found = (_taken(folder / name, student, parts[2]) for name, parts in _named(names, assignment))
    return [one for one in found if one]


def _named(names: list[str], assignment: str) -> Iterator[tuple[str, list[str]]]:
    for name in names:
        parts = name.split("+")
        if len(parts) >= 3 and parts[1] == assignment:
            yield name, parts


def _taken(path: Path, student: str, time: str, *, empty: bool = False) -> Submission | None:
    """None for what the server did not take (hubrun_hub/exams/collect.py): no student can make a folder of root's."""
    try:
        found = path.lstat()
    except FileNotFoundError:  # removed by its student at this moment: what is root's stays
        return None
    if found.st_uid != _ROOT:
        return None
    return Submission(student, path, parse_utc(time), moment(found.st_ctime), empty, terms_of(path.name))


def moment(seconds: float) -> datetime:
    """A time of the kernel's, in seconds since 1970, as naive UTC."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _claimed(text: str) -> datetime | None:
    try:
        found: datetime = parse_utc(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return found.replace(tzinfo=None)
