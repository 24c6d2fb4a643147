"""What the site allows: hubrun's file of settings, and the operator's own, which adds to it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SITE = Path("/etc/jupyterhub/docker-filter.json")
LOCAL = Path("/etc/jupyterhub/docker-filter-local.json")


class Refused(Exception):
    """A call that is not allowed; the text is one line that says why, and how it could be allowed where it could."""


@dataclass(frozen=True)
class Settings:
    """images, network: names. memory_mb, cpus, processes, gpus: the most that one container may get, in whichever course.

    mounts: folders of the server, or volumes, besides a student's own and their courses' → "ro" or "rw".
    courses: the folder of all courses, "" without any. hub_user: the hub's account. homes: the folder of all homes, ""
    where Docker keeps people's files in volumes of its own.
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
