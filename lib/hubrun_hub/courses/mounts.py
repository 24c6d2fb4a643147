"""From a person's groups to the folders that their container sees, and to what their container is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Where the course folders are, on the server and in a container; each container has its own view of it.
ROOT = "/srv/nbgrader"
# Root's, in the image: what each role's JupyterLab and nbgrader are set to.
CONFIGURATION = "/usr/local/share/hubrun"

PREFIX = "course-"
INSTRUCTORS = "-instructors"
# One part of a path, without an escape or a template in it. The LTI front door makes only such names; groups and users
# that come from elsewhere may be called anything.
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,198}[a-z0-9])?")


@dataclass(frozen=True)
class Membership:
    """A course that somebody is in; `teaches`: as one of its instructors."""

    course: str
    teaches: bool


@dataclass(frozen=True)
class ContainerMounts:
    """What a container gets: `binds` as docker-py takes them (host folder → bind, mode), and environment variables."""

    binds: dict[str, dict[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def is_name(text: str) -> bool:
    """Whether `text` may be the name of a course's or a person's folder."""
    return _NAME.fullmatch(text) is not None


def memberships(groups: Iterable[str]) -> list[Membership]:
    """Return the courses of somebody who is in `groups`, by name. Who is in a course's instructors is in the course.

    Groups that are not a course's, and those whose course could not be the name of a folder, count for nothing.
    """
    teaches: dict[str, bool] = {}
    for group in groups:
        if not group.startswith(PREFIX):
            continue
        course = group.removeprefix(PREFIX)
        instructor = course.endswith(INSTRUCTORS)
        course = course.removesuffix(INSTRUCTORS)
        # course-a-instructors-instructors: the instructors of which course would its students be?
        if is_name(course) and not course.endswith(INSTRUCTORS):
            teaches[course] = teaches.get(course, False) or instructor
    return [Membership(course, teaches[course]) for course in sorted(teaches)]


def places(user: str, courses: Iterable[Membership], root: str = ROOT) -> ContainerMounts:
    """Return what the container of `user` gets. Somebody whose name could not be a folder's gets no course.

    `root` is the folder of all courses on the server.
    """
    known = [member for member in courses if is_name(user) and is_name(member.course)]
    binds: dict[str, dict[str, str]] = {}

    def bind(source: str, target: str, *, write: bool) -> None:
        binds[f"{root}/{source}"] = {"bind": f"{ROOT}/{target}", "mode": "rw" if write else "ro"}

    for member in known:
        course = member.course
        bind(f"{course}/outbound", f"exchange/{course}/outbound", write=member.teaches)
        bind(f"{course}/inbound/{user}", f"exchange/{course}/inbound", write=True)
        bind(f"{course}/feedback/{user}", f"exchange/{course}/feedback", write=False)
        if member.teaches:
            bind(f"{course}/course", f"courses/{course}", write=True)
            bind(f"{course}/inbound", f"inbound/{course}", write=False)
            bind(f"{course}/feedback", f"feedback/{course}", write=True)
    taught = [member.course for member in known if member.teaches]
    return ContainerMounts(
        binds,
        {
            "JUPYTER_CONFIG_PATH": f"{CONFIGURATION}/{'instructor' if taught else 'student'}",
            "HUBRUN_COURSES": " ".join(member.course for member in known),
            "HUBRUN_TEACHES": " ".join(taught),
        },
    )
