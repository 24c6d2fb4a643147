"""The part of a spawner that gives a person's container their courses."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

from .folders import UnsafeFolder, make
from .places import ROOT, Places, is_name, memberships, places


class CourseMounts:
    """Comes before a DockerSpawner among the base classes. Groups are read at each start of the server."""

    course_places = Places()

    async def start(self: Any) -> Any:
        self.course_places = self.find_places(ROOT)
        return await super().start()

    def find_places(self: Any, root: str) -> Places:
        """Make the folders of this person's courses below `root`, and return what their container gets.

        When that is not possible, the server starts without courses, and the hub's log says why: a student who cannot
        submit can still work.
        """
        groups = [group.name for group in self.user.groups]
        found = memberships(groups)
        if not is_name(self.user.name):
            self.log.warning("courses: %r cannot be the name of a folder, so this user gets none", self.user.name)
            found = []
        try:
            make(Path(root), self.user.name, found)
        except (OSError, UnsafeFolder) as error:
            self.log.error("courses: %s starts without any of %s: %s", self.user.name, groups, error)
            found = []
        else:
            self.log.info(
                "courses: %s gets %s",
                self.user.name,
                ", ".join(f"{one.course} ({'instructor' if one.teaches else 'student'})" for one in found) or "none",
            )
        return places(self.user.name, found, root)

    @property
    def volume_binds(self: Any) -> dict[str, dict[str, str]]:
        return {**super().volume_binds, **self.course_places.binds}

    def get_env(self: Any) -> dict[str, str]:
        return {**super().get_env(), **self.course_places.environment}
