"""The part of a spawner that gives a person's container their courses."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from dataclasses import replace
from typing import Any

from .course_folders import folders_of
from .course_settings import settings_of
from .mounts import INSTRUCTORS, PREFIX, ROOT, ContainerMounts, is_name, memberships, named, places


class CourseMounts:
    """Comes before a DockerSpawner among the base classes. Groups are read at each start of the server.

    readable_folders: in containers courses have the names that people read, which the image must know of. nbgrader:
    whether the image has it. site: what the site's file says (`StudentContainer`).
    """

    course_places = ContainerMounts()
    readable_folders = False
    nbgrader = True
    site: dict[str, Any] = {}

    async def start(self: Any) -> Any:
        self.course_places = self.find_places()
        return await super().start()

    def find_places(self: Any, root: str = ROOT) -> ContainerMounts:
        """What the container of this person gets of their courses below `root`."""
        groups = list(self.user.groups)
        words: dict[str, dict[str, object]] = {}
        for group in groups:
            course = group.name.removeprefix(PREFIX).removesuffix(INSTRUCTORS)
            words.setdefault(course, {}).update(getattr(group, "properties", None) or {})
        found = [
            replace(each, more=folders_of(settings_of(self.site, words[each.course]), self.user.name))
            for each in memberships(group.name for group in groups)
        ]
        if self.readable_folders:
            found = named(found, words)
        if not is_name(self.user.name):
            self.log.warning("courses: %r cannot be the name of a folder, so this user gets none", self.user.name)
            found = []
        self.log.info(
            "courses: %s gets %s",
            self.user.name,
            ", ".join(f"{one.course} ({'instructor' if one.teaches else 'student'})" for one in found) or "none",
        )
        return places(self.user.name, found, root, self.nbgrader)

    async def create_object(self: Any) -> Any:
        """Create the container; the folders are made by the service that stands before Docker (docker_filter).

        When that is not possible, the server starts without courses, and the hub's log says why: a student who cannot
        submit can still work.
        """
        try:
            return await super().create_object()
        except Exception as error:  # docker.errors.APIError, which is in the hub's Python alone
            why = str(getattr(error, "explanation", ""))
            if not why.startswith("courses:") or not self.course_places.binds:
                raise
            self.log.error("%s starts without any course: %s", self.user.name, why)
            self.course_places = places(self.user.name, [], nbgrader=self.nbgrader)
            return await super().create_object()

    @property
    def volume_binds(self: Any) -> dict[str, dict[str, str]]:
        return {**super().volume_binds, **self.course_places.binds}

    def get_env(self: Any) -> dict[str, str]:
        return {**super().get_env(), **self.course_places.environment}
