"""The students of a course out of Canvas's gradebook, exported as CSV (canvas-lms, lib/gradebook_exporter.rb). Pure.

Where the LMS does not say who is in a course, a teacher gives this file. It says what Canvas knows of each: its own number of
them, their login, and, to who may see that, their SIS id.
"""

from __future__ import annotations

import csv
import io
import re

from ..full_names import full_name
from ..roles import Part
from .roster import Member, is_kept

_FIELDS = {
    "custom_canvas_user_id": "ID",
    "lis_person_sourcedid": "SIS User ID",
    "custom_canvas_user_sis_id": "SIS User ID",
    "custom_canvas_user_login_id": "SIS Login ID",
}
MOST_BYTES, _MOST = 4 << 20, 5000
# Of the Test Student: canvas-lms, app/models/course.rb (student_view_student).
_TEST_LOGIN = re.compile("[0-9a-f]{40}")


class NotAList(ValueError):
    """Why this is not such a file, in words for who gave it."""


def read(data: bytes, username_key: str) -> list[Member]:
    """The students in the file, which must say by what people are named here. Raises NotAList."""
    if len(data) > MOST_BYTES:
        raise NotAList("it is too large")
    try:
        text = data.decode("utf-8-sig")
        header = text.partition("\n")[0]
        rows = list(
            csv.DictReader(
                io.StringIO(text, newline=""), delimiter=";" if header.count(";") > header.count(",") else ","
            )
        )
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotAList(f"it is no CSV ({error})") from None
    if not rows or "ID" not in rows[0] or not {"Student", "LastName"} & rows[0].keys():
        raise NotAList("it is not what Canvas exports as its gradebook")
    wanted = _FIELDS.get(username_key, "")
    if wanted not in rows[0]:
        raise NotAList(
            f"it has no column {wanted}: somebody who may see SIS ids in Canvas must export it" if wanted
            else f"Canvas's file does not have what names people here ({username_key})"
        )  # fmt: skip
    if len(rows) > _MOST:
        raise NotAList(f"it has more than {_MOST} rows")
    return [member for row in rows if (member := _member(row))]


def _member(row: dict[str, str | None]) -> Member | None:
    """Somebody in a row; None for a row of points, and for the Test Student."""
    fields = {name: text for name, column in _FIELDS.items() if is_kept(text := str(row.get(column) or "").strip())}
    number, login = fields.get("custom_canvas_user_id", ""), fields.get("custom_canvas_user_login_id", "")
    if not re.fullmatch("[0-9]{1,20}", number) or _TEST_LOGIN.fullmatch(login):
        return None
    family, given = str(row.get("LastName") or ""), str(row.get("FirstName") or "")
    sortable = str(row.get("Student") or "")
    if not family:
        family, _, given = sortable.partition(", ")
    return Member(f"canvas {number}", full_name(sortable, given, family), Part.STUDENT, True, fields)
