"""What staff of a course changed of its exam, in a file of the hub's: exam's key → course's id → what
`change` and `extra` say.

By course, as an entry of the parameters may be that of two courses, and staff of the one are nobody in the other.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .. import hub_file
from .exam_schedule import MOST_EXTRA_MINUTES, Exam

FILE = Path("/var/lib/jupyterhub/exams.json")
_MORE = timedelta(minutes=10)


def possible(exam: Exam, now: datetime) -> list[str]:
    """What can be done with an exam now: "begin", "more" (ten minutes, for everybody), "end", "extra" (for one person)."""
    if now < exam.begins:
        return ["begin", "extra"]
    return (["more"] if exam.is_on(now) else []) + (["end", "extra"] if now < exam.over else [])


def change(exam: Exam, what: str, now: datetime) -> dict[str, str]:
    """Which time of an exam moves when `what` is done with it, and to when. Raises ValueError where that cannot be done now."""
    if what not in possible(exam, now) or what == "extra":
        raise ValueError(what)
    name, moment = {
        "begin": ("from", now),
        "more": ("until", exam.ends + _MORE),
        # Those who have more time end too; and what was taken of the others is not taken again, as their end stays.
        "end": ("stopped", now),
    }[what]
    return {name: moment.astimezone(exam.begins.tzinfo).isoformat(timespec="seconds")}


def extra(exam: Exam, user: str, minutes: str, now: datetime) -> dict[str, int]:
    """How many minutes longer this person's exam is from now on. Raises ValueError where it is over for them, or would be."""
    if not re.fullmatch("[0-9]{1,4}", minutes) or int(minutes) > MOST_EXTRA_MINUTES:
        raise ValueError(minutes)
    fresh = replace(exam, extra_minutes={user: int(minutes)})
    if not (now < exam.of(user).ends and now < fresh.of(user).ends):
        raise ValueError(minutes)
    return {user: int(minutes)}


def read(path: Path = FILE) -> dict[str, dict[str, Any]]:
    """All of it."""
    found = hub_file.read(path)
    return {key: each for key, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


def write(changes: Mapping[str, Any], path: Path = FILE) -> None:
    """Put these in place of what is there, whole at every moment. Raises OSError."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(changes, file)
    os.replace(fresh, path)


def forget(path: Path, users: Collection[str], courses: Collection[str] = ()) -> None:
    """Remove what names these users or courses. Raises OSError."""
    before = read(path)
    after = {
        key: {course: _without(change, users) for course, change in of.items() if course not in courses}
        for key, of in before.items()
    }
    if after != before:
        write(after, path)


def _without(change: Any, users: Collection[str]) -> Any:
    if not (isinstance(change, dict) and isinstance(extra := change.get("extra_minutes"), dict)):
        return change
    return {**change, "extra_minutes": {user: minutes for user, minutes in extra.items() if user not in users}}
