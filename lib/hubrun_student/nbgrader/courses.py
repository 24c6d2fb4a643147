"""Which courses this container is for. The hub says it in the environment, beside mounting them.

A course has an id, by which the hub knows it, and in containers a folder with a name that people read. To nbgrader, on
the command line and in its lists, the folder's name is the course.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

EXCHANGE = Path("/srv/nbgrader/exchange")
COURSES = Path("/srv/nbgrader/courses")
# Of instructors, with a folder for each person.
INBOUND = Path("/srv/nbgrader/inbound")
FEEDBACK = Path("/srv/nbgrader/feedback")


def all_courses() -> list[str]:
    """The courses that this person is in, as the hub gave them to the container."""
    return [folder for folder, _ in _names("HUBRUN_COURSES").values()]


def taught() -> list[str]:
    """The courses of which this person is an instructor."""
    return [folder for folder, _ in _names("HUBRUN_TEACHES").values()]


def ids() -> dict[str, str]:
    """Course → the id by which the hub knows it."""
    return {folder: course for course, (folder, _) in _names("HUBRUN_COURSES").items()}


def shown(course: str) -> str:
    """What people call the course, such as "BIO 101 / Frühling"; it follows a change in the LMS."""
    return dict(_names("HUBRUN_COURSES").values()).get(course, course)


def course_of(folder: Path) -> str:
    """The course in whose course folder `folder` is, or ""."""
    try:
        return folder.resolve().relative_to(COURSES).parts[0]
    except (ValueError, IndexError):
        return ""


def _names(variable: str) -> dict[str, tuple[str, str]]:
    """Id → folder and what is shown, of the courses that the variable lists."""
    names = json.loads(os.environ.get("HUBRUN_COURSE_NAMES") or "{}")
    return {
        course: (str(names[course][0]), str(names[course][1])) if course in names else (course, course)
        for course in os.environ.get(variable, "").split()
    }
