"""Which of a person's servers a launch from a course opens, and what each of them gets. Pure.

A course with an image or GPUs of its own has a server of its own: JupyterHub's "named server", with the person's one home.
All other courses use the person's default server, where the larger of their limits counts (as in Berkeley's DataHub).
What the site says of courses is read at each start (`course_settings`).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from .course_settings import settings_of
from .mounts import memberships, named, words_of

# JupyterHub's rule for names of servers: a-z, 0-9 and single "-", 30 characters, first a letter (jupyterhub/slugs.py).
_READABLE_LENGTH = 23
_OWN = re.compile(r"[a-z][a-z0-9-]*-[0-9a-f]{6}")


class Limits(NamedTuple):
    """What one server gets. idle_minutes: 0 for never; None where the site says nothing of it here. image: "" for the site's."""

    memory_mb: int
    cpus: float
    processes: int
    idle_minutes: int | None
    gpus: int
    image: str


@dataclass(frozen=True)
class CourseServer:
    """One of a person's servers; the default one has no name. title: for people. courses: whose launches open it."""

    name: str
    title: str
    courses: tuple[str, ...]
    limits: Limits


def server_name(text: str, identity: str) -> str:
    """A name for a server or an image: what can be read of `text`, and six digits that belong to `identity` alone."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    readable = "-".join(re.findall("[a-z0-9]+", plain))
    if not readable[:1].isalpha():
        readable = f"c-{readable}"
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{readable[:_READABLE_LENGTH].strip('-')}-{digest}"


def is_course_server(name: str) -> bool:
    """Whether a server of this name could be a course's."""
    return _OWN.fullmatch(name) is not None


def servers(site: Mapping[str, Any], groups: Iterable[tuple[str, Mapping[str, object]]]) -> dict[str, CourseServer]:
    """The servers of somebody who is in `groups` (name and properties), by their names; the default one is always there.

    site: what the site's file says (`docker_filter.settings.SITE`).
    """
    known = list(groups)
    words = words_of(known)
    found: dict[str, CourseServer] = {}
    together: list[tuple[str, Limits]] = []
    for member in named(memberships(name for name, _ in known), words):
        says = settings_of(site, words.get(member.course, {}))
        limits = _limits(site, says, member.teaches)
        if limits.image or limits.gpus != site.get("gpus", 0):
            name = server_name(member.inside, member.course)
            found[name] = CourseServer(name, member.inside, (member.course,), limits)
        else:
            together.append((member.course, limits))
    largest = _largest([limits for _, limits in together] or [_limits(site, {}, teaches=False)])
    return {"": CourseServer("", "", tuple(course for course, _ in together), largest), **found}


def _limits(site: Mapping[str, Any], says: Mapping[str, Any], teaches: bool) -> Limits:
    def of(name: str, usual: Any) -> Any:
        staffs = says.get(f"staff_{name}") if teaches else None
        return staffs or says.get(f"user_{name}") or usual

    return Limits(
        of("memory_mb", site["memory_mb"]),
        of("cpus", site["cpus"]),
        of("processes", site["processes"]),
        says.get("idle_minutes", site.get("idle_minutes")),
        says.get("gpus", site.get("gpus", 0)),
        says.get("image_name", ""),
    )


def _largest(several: list[Limits]) -> Limits:
    idle = [each.idle_minutes for each in several if each.idle_minutes is not None]
    return Limits(
        max(each.memory_mb for each in several),
        max(each.cpus for each in several),
        max(each.processes for each in several),
        None if not idle else 0 if 0 in idle else max(idle),
        several[0].gpus,
        "",
    )


def path_on(url: str, target: str, base_url: str) -> str:
    """Where a launch to `target` leads that opens the server at `url`: to its start, and from there to the page.

    url: /user/NAME/SERVER/, or the same with a host of its own. target: a path on the hub. One that is for the person's server
    is for this one; what names no page begins at its front; any other stays. base_url: the hub's own, /hub/.
    """
    parts = urlsplit(target)
    page = re.fullmatch(rf"(?:{re.escape(base_url)}|/)user-redirect/(.*)", parts.path)
    if not page and parts.path.rstrip("/") not in ("", base_url.rstrip("/"), f"{base_url}spawn"):
        return target
    owner, server = url.rstrip("/").split("/")[-2:]
    onward = url + (parts._replace(path=page[1], fragment="").geturl() if page else "")
    start = f"{base_url}spawn/{owner}/{server}?" + urlencode({"next": onward})
    return f"{start}#{parts.fragment}" if parts.fragment else start
