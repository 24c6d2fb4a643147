"""LTI roles and contexts as groups of the hub: `course-<context>` and `course-<context>-instructors`.

Whoever launches from a course joins its group. Whoever does so as its instructor or teaching assistant joins its
instructors, and whoever does so as something else leaves them. No launch touches another course's groups, or groups
that somebody made by hand; a person stays in a course's group until an administrator takes them out, as LTI never says
that somebody left. To be in a group makes nobody an administrator.

The groups are kept here and not by JupyterHub's manage_groups: that replaces all of a person's groups with a list made
before the login, so that of two launches at a time one would be lost.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .launch import Course, Launch
from .user_names import is_plain, made

INSTRUCTORS = "-instructors"
# Far from the 255 characters that JupyterHub gives a group, as the name may become a folder's.
_ROOM = 100
_TITLE_LENGTH = 200

# Roles in the course itself, by their short names, as URNs (LTI 1.1.1, appendix A.2) or URIs (LTI 1.3, appendix A.2.3).
# Roles in the institution are something else: a professor may be a student in a colleague's course.
_TEACHES = re.compile(
    r"(urn:lti:role:ims/lis/|http://purl\.imsglobal\.org/vocab/lis/v2/membership[#/])?"
    r"(Instructor|TeachingAssistant)([/#]\w+)?",
    re.IGNORECASE,
)


def is_instructor(roles: Iterable[str]) -> bool:
    """Whether one of the LTI `roles` is that of an instructor or teaching assistant of the course."""
    return any(_TEACHES.fullmatch(role) for role in roles)


def course_group(context_id: str, prefix: str = "") -> str:
    """Return the group of a course, the same for life. `prefix` is the consumer's.

    A context id of a-z, 0-9 and single `.`, `_`, `-` stays as it is; others get a digest, as `names` describes. Case
    matters. An id that ends in -instructors gets a digest too: its students would be another course's instructors.
    """
    front = f"course-{prefix}__" if prefix else "course-"
    plain = is_plain(context_id, _ROOM) and not context_id.endswith(INSTRUCTORS)
    return front + (context_id if plain else made(context_id, _ROOM))


def enrol(db: Any, user: Any, launch: Launch) -> None:
    """Put `user` (a jupyterhub.orm.User of the session `db`) into the groups of the launch, and commit."""
    from jupyterhub import orm

    if launch.course is None:
        return
    everybody = course_group(launch.course.id, launch.consumer.prefix)
    instructors = everybody + INSTRUCTORS
    wanted = {everybody, instructors} if is_instructor(launch.roles) else {everybody}
    for name in (everybody, instructors):
        group = orm.Group.find(db, name)
        if name in wanted and group is None:
            group = orm.Group(name=name)
            db.add(group)
        if group is None:
            continue
        if name in wanted and group not in user.groups:
            user.groups.append(group)
        elif name not in wanted and group in user.groups:
            user.groups.remove(group)
        if group.properties != (properties := {**(group.properties or {}), **_words(launch.course, launch)}):
            group.properties = properties
    db.commit()


def _words(course: Course, launch: Launch) -> dict[str, str]:
    """What people call the course, for those who read a list of groups."""
    return {
        "lti_consumer": launch.consumer.name,
        "lti_context": course.id[:_TITLE_LENGTH],
        "label": course.label[:_TITLE_LENGTH],
        "title": course.title[:_TITLE_LENGTH],
    }
