"""The part of a spawner that gives a person's container their courses."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from typing import Any

from .mounts import ROOT, ContainerMounts, is_name, memberships, named, places, words_of


class CourseMounts:
    """Comes before a DockerSpawner among the base classes. Groups are read at each start of the server.

    readable_folders: in containers courses have the names that people read, which the image must know of.
    """

    course_places = ContainerMounts()
    readable_folders = False

    async def start(self: Any) -> Any:
        self.course_places = self.find_places()
        return await super().start()

    def find_places(self: Any, root: str = ROOT) -> ContainerMounts:
        """What the container of this person gets of their courses below `root`."""
        groups = list(self.user.groups)
        found = memberships(group.name for group in groups)
        if self.readable_folders:
            found = named(found, words_of((group.name, getattr(group, "properties", None) or {}) for group in groups))
        if not is_name(self.user.name):
            self.log.warning("courses: %r cannot be the name of a folder, so this user gets none", self.user.name)
            found = []
        self.log.info(
            "courses: %s gets %s",
            self.user.name,
            ", ".join(f"{one.course} ({'instructor' if one.teaches else 'student'})" for one in found) or "none",
        )
        return places(self.user.name, found, root)

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
            self.course_places = places(self.user.name, [])
            return await super().create_object()

    @property
    def volume_binds(self: Any) -> dict[str, dict[str, str]]:
        return {**super().volume_binds, **self.course_places.binds}

    def get_env(self: Any) -> dict[str, str]:
        return {**super().get_env(), **self.course_places.environment}
