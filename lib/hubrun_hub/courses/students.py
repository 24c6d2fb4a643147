"""The students of a course, in the hub's database."""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

from typing import Any

from .mounts import INSTRUCTORS, PREFIX


def students(db: Any, course: str) -> dict[str, Any]:
    """User → orm.User, of all who are in the course with this id and are not its staff."""
    from jupyterhub import orm

    everybody, staff = (orm.Group.find(db, f"{PREFIX}{course}{end}") for end in ("", INSTRUCTORS))
    teaching = {user.name for user in staff.users} if staff else set()
    return {user.name: user for user in (everybody.users if everybody else ()) if user.name not in teaching}
