"""Which courses this container is for. The hub says it in the environment, beside mounting them."""

from __future__ import annotations

import os
from pathlib import Path

EXCHANGE = Path("/srv/nbgrader/exchange")
COURSES = Path("/srv/nbgrader/courses")
# Of instructors, with a folder for each person.
INBOUND = Path("/srv/nbgrader/inbound")
FEEDBACK = Path("/srv/nbgrader/feedback")


def all_courses() -> list[str]:
    """The courses that this person is in, as the hub gave them to the container."""
    return os.environ.get("HUBRUN_COURSES", "").split()


def taught() -> list[str]:
    """The courses of which this person is an instructor."""
    return os.environ.get("HUBRUN_TEACHES", "").split()


def course_of(folder: Path) -> str:
    """The course in whose course folder `folder` is, or ""."""
    try:
        return folder.resolve().relative_to(COURSES).parts[0]
    except (ValueError, IndexError):
        return ""
