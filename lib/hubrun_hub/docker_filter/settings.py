"""What the site allows: hubrun's file of settings, and the operator's own, which adds to it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..courses.course_folders import folders_of
from ..courses.exam_schedule import exam_in

SITE = Path("/etc/jupyterhub/docker-filter.json")
LOCAL = Path("/etc/jupyterhub/docker-filter-local.json")


class Refused(Exception):
    """A call that is not allowed; the text is one line that says why, and how it could be allowed where it could."""


@dataclass(frozen=True)
class Settings:
    """images, network: names. memory_mb, cpus, processes, gpus: the most that one container may get, in whichever course.

    mounts: folders of the server, or volumes, besides a student's own and their courses' → "ro" or "rw".
    courses: the folder of all courses, "" without any. hub_user: the hub's account. homes: the folder of all homes, ""
    where Docker keeps people's files in volumes of its own. course_settings: what is otherwise in some courses.
    """

    images: tuple[str, ...]
    network: str
    memory_mb: int
    cpus: float
    processes: int
    courses: str = ""
    hub_user: str = ""
    mounts: dict[str, str] = field(default_factory=dict)
    subnet: str = ""
    gateway: str = ""
    homes: str = ""
    gpus: int = 0
    course_settings: tuple[dict[str, Any], ...] = ()

    def groups_of(self, user: str) -> tuple[str, ...]:
        """The groups, of whichever course, that `user` is a member of."""
        found = (folders_of(entry, user).groups for entry in self.course_settings)
        return tuple(sorted({group for groups in found for group in groups}))

    def exams(self) -> set[str]:
        """The keys of exams that a container may be in."""
        return {exam.key for exam in map(exam_in, self.course_settings) if exam}

    def data(self) -> set[str]:
        """The folders of the server that courses have, to read only."""
        return {str(entry["data"]) for entry in self.course_settings if entry.get("data")}


def load(site: Path = SITE, local: Path = LOCAL) -> Settings:
    """Read both files; in the operator's, `images` and `mounts` add, and limits replace. Raises Refused for a mistake."""
    found = {"gpus": 0, **read(site)}
    own = read(local) if local.exists() else {}
    if unknown := sorted(own.keys() - {"images", "mounts", "memory_mb", "cpus", "processes"}):
        raise Refused(f"{local}: {', '.join(unknown)} cannot be set there")

    def most(name: str, *of_courses: str) -> Any:
        of = [each[key] for each in found.get("course_settings", ()) for key in of_courses if key in each]
        return own.get(name, max(found[name], *of) if of else found[name])

    try:
        return Settings(
            images=tuple(map(str, [*found["images"], *own.get("images", [])])),
            network=str(found["network"]),
            memory_mb=int(most("memory_mb", "user_memory_mb", "staff_memory_mb")),
            cpus=float(most("cpus", "user_cpus", "staff_cpus")),
            processes=int(most("processes", "user_processes")),
            gpus=int(most("gpus", "gpus")),
            courses=str(found.get("courses", "")),
            hub_user=str(found.get("hub_user", "")),
            mounts={str(source): str(mode) for source, mode in own.get("mounts", {}).items()},
            subnet=str(found.get("subnet", "")),
            gateway=str(found.get("gateway", "")),
            homes=str(found.get("homes", "")),
            course_settings=tuple(map(dict, found.get("course_settings", ()))),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"{site} or {local} is not what it should be: {error!r}") from error


def readable(path: Path) -> bool:
    """Whether a file of settings can be read at all."""
    try:
        return bool(read(path))
    except Refused:
        return False


def read(path: Path) -> dict[str, Any]:
    """What a file of settings says. Raises Refused where it cannot be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Refused(f"{path} must be a JSON object")
    return found
