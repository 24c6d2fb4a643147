"""From a person's groups to the folders that their container sees, and to what their container is told. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .course_folders import CourseFolders
from .folder_names import is_folder_name

# Where the course folders are, on the server and in a container; each container has its own view of it.
ROOT = "/srv/nbgrader"
# Root's, in the image: what each role's JupyterLab and nbgrader are set to.
CONFIGURATION = "/usr/local/share/hubrun"

# The mode of the folder of what one person submitted. It is sticky (sticky(7)): what root puts there when it is due
# (exams/collect.py) is not that person's to remove, in a container that runs already either.
HAND_INS = 0o1777

PREFIX = "course-"
INSTRUCTORS = "-instructors"
# One part of a path, without an escape or a template in it. The LTI front door makes only such names; groups and users
# that come from elsewhere may be called anything.
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,198}[a-z0-9])?")


@dataclass(frozen=True)
class Membership:
    """A course that somebody is in; `teaches`: as one of its instructors.

    folder: what the course is called inside containers, "" for its id; shown: what people call it, "" for its folder.
    more: its folders besides nbgrader's.
    """

    course: str
    teaches: bool
    folder: str = ""
    shown: str = ""
    more: CourseFolders = CourseFolders()

    @property
    def inside(self) -> str:
        """The name of the course's folders in a container."""
        return self.folder or self.course


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


def named(courses: Iterable[Membership], words: Mapping[str, Mapping[str, object]]) -> list[Membership]:
    """Return the courses with what they are called; `words` is what their groups say (`properties`), by course.

    Each has a folder of its own: a name that is another's, or none, is passed over.
    """
    found = list(courses)
    used: set[str] = set()
    result = []
    for member in found:
        says = words.get(member.course, {})
        others = used | {other.course.casefold() for other in found if other is not member}
        folder = says.get("folder")
        if not isinstance(folder, str) or not is_folder_name(folder) or folder.casefold() in others:
            folder = ""
        used.add((folder or member.course).casefold())
        shown = next((str(says[name]) for name in ("label", "title") if says.get(name)), "")
        result.append(replace(member, folder=folder, shown=shown))
    return result


def words_of(groups: Iterable[tuple[str, Mapping[str, object]]]) -> dict[str, dict[str, object]]:
    """What the groups of courses say (name and `properties` of each group), by course."""
    words: dict[str, dict[str, object]] = {}
    for name, properties in groups:
        words.setdefault(name.removeprefix(PREFIX).removesuffix(INSTRUCTORS), {}).update(properties)
    return words


def places(user: str, courses: Iterable[Membership], root: str = ROOT, nbgrader: bool = True) -> ContainerMounts:
    """Return what the container of `user` gets. Somebody whose name could not be a folder's gets no course.

    `root` is the folder of all courses on the server. nbgrader: whether the image has it.
    """
    known = [
        member
        for member in courses
        if is_name(user) and is_name(member.course) and (not member.folder or is_folder_name(member.folder))
    ]
    binds: dict[str, dict[str, str]] = {}

    def bind(source: str, target: str, *, write: bool) -> None:
        binds[f"{root}/{source}"] = {"bind": f"{ROOT}/{target}", "mode": "rw" if write else "ro"}

    for member in known:
        course, inside = member.course, member.inside
        for each in member.more.of(inside, teaches=member.teaches):
            bind(f"{course}/{each.source}", each.target, write=each.write)
        if member.more.data:
            binds[member.more.data] = {"bind": member.more.data, "mode": "ro"}
        if not nbgrader:
            continue
        bind(f"{course}/outbound", f"exchange/{inside}/outbound", write=member.teaches)
        bind(f"{course}/inbound/{user}", f"exchange/{inside}/inbound", write=True)
        bind(f"{course}/feedback/{user}", f"exchange/{inside}/feedback", write=False)
        if member.teaches:
            bind(f"{course}/course", f"courses/{inside}", write=True)
            bind(f"{course}/inbound", f"inbound/{inside}", write=False)
            bind(f"{course}/feedback", f"feedback/{inside}", write=True)
    data = {member.inside: member.more.data for member in known if member.more.data}
    told = {"HUBRUN_COURSE_DATA": json.dumps(data)} if data else {}
    if not nbgrader:
        return ContainerMounts(binds, told)
    taught = [member.course for member in known if member.teaches]
    return ContainerMounts(
        binds,
        {
            "JUPYTER_CONFIG_PATH": f"{CONFIGURATION}/{'instructor' if taught else 'student'}",
            "HUBRUN_COURSES": " ".join(member.course for member in known),
            "HUBRUN_TEACHES": " ".join(taught),
            # Course → its folder, and what people call it.
            "HUBRUN_COURSE_NAMES": json.dumps(
                {member.course: [member.inside, member.shown or member.inside] for member in known}
            ),
            **told,
        },
    )
