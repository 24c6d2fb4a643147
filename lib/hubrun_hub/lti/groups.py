"""LTI roles and contexts as groups of the hub: `course-<context>` and `course-<context>-instructors`.

Students of the course that is launched from join its group; its staff (instructors, teaching assistants, who develops its
content) join its instructors as well, and whoever comes as something else leaves them. Who is neither (observers,
administrators of an account, guests; see `roles`) is in no group of the course from then on. No launch touches another
course's groups, or groups that somebody made by hand; whoever does not come any more stays in a course's group until an
administrator takes them out, as LTI never says that somebody left. To be in a group makes nobody an administrator.

The groups are kept here and not by JupyterHub's manage_groups: that replaces all of a person's groups with a list made
before the login, so that of two launches at a time one would be lost.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

from typing import Any

from ..courses.folder_names import folder_name
from .launch import Course, Launch
from .roles import Part, part
from .user_names import is_plain, made

INSTRUCTORS = "-instructors"
_COURSE = "course-"
# Far from the 255 characters that JupyterHub gives a group, as the name may become a folder's.
_ROOM = 100
_TITLE_LENGTH = 200


def course_group(context_id: str, prefix: str = "") -> str:
    """Return the group of a course, the same for life. `prefix` is the consumer's.

    A context id of a-z, 0-9 and single `.`, `_`, `-` stays as it is; others get a digest, as `names` describes. Case
    matters. An id that ends in -instructors gets a digest too: its students would be another course's instructors.
    """
    front = f"{_COURSE}{prefix}__" if prefix else _COURSE
    plain = is_plain(context_id, _ROOM) and not context_id.endswith(INSTRUCTORS)
    return front + (context_id if plain else made(context_id, _ROOM))


def group_of(launch: Launch) -> str:
    """The group of the launch's course; "" where it comes from outside a course."""
    return course_group(launch.course.id, launch.consumer.prefix) if launch.course else ""


def course_name(context_id: str, prefix: str = "") -> str:
    """Return what the course is called on the hub: its group without what stands before each."""
    return course_group(context_id, prefix).removeprefix(_COURSE)


def part_in(launch: Launch) -> Part:
    """What the launch's person is in its course; nothing where it comes from outside a course."""
    return part(launch.roles, launch.consumer.lms) if launch.course else Part.NONE


def enrol(db: Any, user: Any, launch: Launch) -> None:
    """Put `user` (a jupyterhub.orm.User of the session `db`) into the groups of the launch, and commit."""
    from jupyterhub import orm

    if launch.course is None:
        return
    everybody = group_of(launch)
    instructors = everybody + INSTRUCTORS
    wanted = {Part.STAFF: {everybody, instructors}, Part.STUDENT: {everybody}}.get(part_in(launch), set())
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
        properties = {**(group.properties or {}), **_words(launch.course, launch)}
        if name == everybody and "folder" not in properties:
            properties["folder"] = _folder(db, everybody, launch.course)
        if group.properties != properties:
            group.properties = properties
    db.commit()


def _folder(db: Any, everybody: str, course: Course) -> str:
    """What the course will be called in containers, for good: no other course of the hub is called so."""
    from jupyterhub import orm

    taken = {
        called
        for group in db.query(orm.Group).filter(orm.Group.name.startswith(_COURSE, autoescape=True))
        if group.name not in (everybody, everybody + INSTRUCTORS)
        for called in (group.name.removeprefix(_COURSE), (group.properties or {}).get("folder"))
        if isinstance(called, str)
    }
    names = (course.label, course.title, f"{course.label} {course.title}")
    return folder_name(names, everybody.removeprefix(_COURSE), taken)


def _words(course: Course, launch: Launch) -> dict[str, str]:
    """What people call the course, for those who read a list of groups."""
    return {
        "lti_consumer": launch.consumer.name,
        "lti_context": course.id[:_TITLE_LENGTH],
        "label": course.label[:_TITLE_LENGTH],
        "title": course.title[:_TITLE_LENGTH],
        "sis": course.sis[:_TITLE_LENGTH],
    }
