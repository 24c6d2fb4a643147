"""The servers of courses in the hub: which one a launch opens, and that nobody makes others by hand."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tornado.web import HTTPError

from ..courses.mounts import PREFIX
from ..courses.servers import CourseServer, servers
from ..docker_filter import settings


def servers_of(user: Any, site: Mapping[str, Any]) -> dict[str, CourseServer]:
    """The servers of the hub's `user`, by their names. site: what the site's file says. Raises KeyError where it is not whole."""
    return servers(site, ((group.name, group.properties or {}) for group in user.groups))


def launched(user: Any, group: str) -> str:
    """The name of the server that a launch by `user` from the course of `group` opens; "" for the default one.

    The course is what the LMS vouches for. Who has no part in it is not in its group, and has no server of it.
    """
    course = group.removeprefix(PREFIX)
    found = next((each for each in _now(user).values() if each.name and course in each.courses), None)
    if found is None:
        return ""
    user.get_or_create_spawner(found.name, found.title)
    return found.name


def only_courses(handler: Any) -> int:
    """For JupyterHub.named_server_limit_per_user, which is asked before a named server is made or started: 0, no limit.

    Raises HTTPError (403) for one of another name than the servers of its person's courses have.
    """
    owner, name = [*handler.path_args, None, None][:2]
    user = handler.find_user(owner) if name else None
    if user is not None and name not in _now(user):
        raise HTTPError(403, "A server beside your own is for a course, and opens when you launch from that course.")
    return 0


def _now(user: Any) -> dict[str, CourseServer]:
    """None, where there is no such file (yet): the spawner's log says so."""
    try:
        return servers_of(user, settings.read(Path(user.spawner.site_file)))
    except (AttributeError, KeyError, settings.Refused):
        return {}
