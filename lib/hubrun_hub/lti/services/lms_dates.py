"""When an LMS says that work is due, and for whom.

A link to an assignment has custom parameters (`asked`): the assignment's name, and two variables, in whose place the LMS
puts a date at each launch, that of the link and that of whoever launches (LTI 1.3, B.4). Canvas knows the first alone, and
says in it what counts for a student, with the exceptions made for them; to staff it says the latest date of all
(doc/api/tools_variable_substitutions.md). Its services say no date: neither line items (line_items_serializer.rb), nor the
messages of a link's members (names_and_roles_serializer.rb, variable_whitelist).

A launch says when it is due for its own person; one of staff, for those of whom the LMS said nothing. The latest word
counts, by when the LMS signed it: an older one, of a page that was left open, counts for nothing. An LMS that puts nothing
in the place of a variable says that there is no date.
"""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ...courses.due_dates import Said, is_assignment
from ..roles import Part

FILE = Path("/var/lib/jupyterhub/lti_services.sqlite")
TABLE = """
CREATE TABLE IF NOT EXISTS due (
    course TEXT, assignment TEXT, user TEXT, at TEXT NOT NULL, signed REAL NOT NULL, PRIMARY KEY (course, assignment, user)
)"""
# ISO 8601, as LMSs write it: Python 3.10 reads neither Z nor each number of digits behind the second.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(?:[.,]\d+)?(?:(Z)|([+-]\d\d):?(\d\d))", re.ASCII)


@dataclass(frozen=True)
class LmsDate:
    """What a launch says of an assignment: when it is due, and when for its own person, in ISO 8601 and UTC; "" for no date.

    signed: when the LMS said so, in seconds since 1970.
    """

    assignment: str
    at: str
    own: str
    signed: float


def asked(assignment: str) -> dict[str, str]:
    """The custom parameters of a link whose launches say when the assignment is due."""
    return {
        "assignment": assignment, "due": "$ResourceLink.submission.endDateTime",
        "due_own": "$ResourceLink.submission.user.endDateTime",
    }  # fmt: skip


def said(custom: Mapping[str, object], signed: float) -> LmsDate | None:
    """What the custom parameters of a verified launch say; None where it is no launch of such a link."""
    name = custom.get("assignment")
    if not isinstance(name, str) or not is_assignment(name) or "due" not in custom:
        return None
    return LmsDate(name, _utc(custom["due"]), _utc(custom.get("due_own")), signed)


def note(db: sqlite3.Connection, course: str, user: str, part: Part, date: LmsDate) -> None:
    """Keep what a launch of `user` said, who is `part` in the course, in an open file of services. Raises sqlite3.Error."""
    if part is Part.NONE:
        return
    who, at = (user, date.own or date.at) if part is Part.STUDENT else ("", date.at)
    db.execute(
        "INSERT INTO due VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, signed = excluded.signed"
        " WHERE excluded.signed >= signed",
        (course, date.assignment, who, at, date.signed),
    )


def read(path: Path) -> Said:
    """All that is kept in the file of services. The file is the hub's own, and root reads it: no link and no pipe is followed.

    Raises sqlite3.Error, OSError.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(f"{path} is not a file")
    except FileNotFoundError:
        return found
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'due'").fetchone():
            for course, assignment, user, at in db.execute("SELECT course, assignment, user, at FROM due"):
                found.setdefault(course, {}).setdefault(assignment, {})[user] = at
    return found


def _utc(value: object) -> str:
    """A moment of an LMS in UTC; "" for what is none: nothing, a variable in whose place nothing was put, one without a zone."""
    if not isinstance(value, str) or not (parts := _MOMENT.fullmatch(value.strip())):
        return ""
    day, second, utc, hours, minutes = parts.groups()
    try:
        moment = datetime.fromisoformat(f"{day}{second or ':00'}{'+00:00' if utc else f'{hours}:{minutes}'}")
        return moment.astimezone(timezone.utc).isoformat()  # noqa: UP017 - Python 3.10
    except (ValueError, OverflowError):
        return ""
