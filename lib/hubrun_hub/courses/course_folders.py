"""Folders of a course besides nbgrader's: what its staff share, its groups' work, and data of the server's. Pure.

On the server, beside those that the package's text names; all of it is root's:

    <course>/shared/           0777     staff write there, students read
    <course>/groups/           0755
        <group>/               0777     the work of one group

In a container, where the course has its readable name. A group's folder is its members' alone to write to; staff see
all groups, read-only, as what is in them is students' work. `data` is a folder of the server that the parameters name;
in containers it has the same path, as several courses may have the same.

    /srv/nbgrader/shared/<course>
    /srv/nbgrader/groups/<course>/<group>

The image makes links to all three in the home (hubrun_student/shared_folders).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


class Folder(NamedTuple):
    """One mount. source: below the course's folder on the server; target: below `mounts.ROOT`."""

    source: str
    target: str
    write: bool


@dataclass(frozen=True)
class CourseFolders:
    """What one person gets of a course: shared, whether it has that; groups: those that the person is in; data: a path.

    grouped: whether the course has groups at all.
    """

    shared: bool = False
    groups: tuple[str, ...] = ()
    grouped: bool = False
    data: str = ""

    def alone(self) -> CourseFolders:
        """Without what other students write to, as in an exam."""
        return replace(self, groups=(), grouped=False)

    def of(self, inside: str, *, teaches: bool) -> Iterator[Folder]:
        """The mounts but that of `data`. inside: what the course is called in the container."""
        if self.shared:
            yield Folder("shared", f"shared/{inside}", teaches)
        if self.grouped and teaches:
            yield Folder("groups", f"groups/{inside}", False)
        for group in self.groups:
            yield Folder(f"groups/{group}", f"groups/{inside}/{group}", True)


def folders_of(entry: Mapping[str, Any], user: str) -> CourseFolders:
    """What `user` gets, by what the site says of the course (`course_settings`)."""
    groups: Mapping[str, list[str]] = entry.get("groups", {})
    mine = tuple(sorted(group for group, members in groups.items() if user in members))
    return CourseFolders(bool(entry.get("shared")), mine, bool(groups), str(entry.get("data", "")))
