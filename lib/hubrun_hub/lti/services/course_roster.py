"""Who is in one course, as the LMS says: those who came, those who never did, and those who left.

Who never came has no user of the hub yet, and is known by the one that their first launch will give them (`foretold`), where
that is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from ..consumers import Consumer
from ..presets import PRESETS
from ..roles import Part
from .calls import Calls, ServiceError
from .roster import Member, members
from .service_file import CourseServices, ServiceFile
from .tokens import Tokens, Tool

_EVERY_S = 600
# Consumer, and people whom its LMS lists → the hub user of each, by their id in the list; "" where it is not certain.
Foretell = Callable[[Consumer, Collection[Member]], Mapping[str, str]]


class Absent(NamedTuple):
    """Somebody who never came. user: whom their first launch will make them, "" where that is not certain; active: in the course still."""

    name: str
    user: str
    active: bool


def tool_of(known: CourseServices, consumers: Mapping[str, Consumer]) -> Tool:
    """The tool at the LMS of a course. Raises ServiceError."""
    consumer = consumers.get(known.consumer)
    platform = consumer.platform if consumer else None
    if consumer is None or platform is None or known.client_id not in platform.client_ids:
        raise ServiceError("the LMS of this course is not one of this hub's any more")
    return Tool(platform.token_url, known.client_id, PRESETS[consumer.lms].audience)


class CourseRoster:
    """The people of `course`, with what the hub has: its consumers, the file of services, and what asks LMSs."""

    def __init__(
        self, course: str, *, consumers: Iterable[Consumer], file: ServiceFile, tokens: Tokens, calls: Calls,
        foretell: Foretell,
    ) -> None:  # fmt: skip
        self.course, self._file, self._tokens, self._calls, self._foretell = course, file, tokens, calls, foretell
        self._consumers = {each.name: each for each in consumers}

    @property
    def is_asked_for(self) -> bool:
        """Whether the LMS says who is in the course; else a file does (`keep`)."""
        known = self._file.course(self.course)
        return known is not None and bool(known.memberships)

    async def update(self, now: float, again: bool = False) -> None:
        """Ask the LMS, if it offers to say so, and was not asked lately. Raises ServiceError."""
        known = self._file.course(self.course)
        if known is None or not known.memberships or (not again and now < known.roster_at + _EVERY_S):
            return
        tool = tool_of(known, self._consumers)
        found = await members(known.memberships, self._consumers[known.consumer].lms, tool, self._tokens, self._calls)
        self.keep(known.consumer, found, now)

    def keep(self, consumer: str, listed: Collection[Member], now: float) -> None:
        """Keep whom the LMS of this consumer lists, all of them. Raises ServiceError."""
        if consumer not in self._consumers:
            raise ServiceError("the LMS of this course is not one of this hub's any more")
        came = set(self._file.lti_users(self.course).values())
        others = [each for each in listed if each.part is Part.STUDENT and each.id not in came]
        self._file.keep_roster(self.course, listed, self._foretell(self._consumers[consumer], others), now)

    def absent(self, students: Collection[str]) -> list[Absent]:
        """Students whom the LMS lists and who never came. `students`: hub users of the course's students."""
        came = set(self._file.lti_users(self.course).values())
        roster = self._file.roster(self.course)
        return sorted(
            Absent(each.name or "(no name)", each.user, each.active)
            for id, each in roster.items()
            if id not in came and each.user not in students
        )

    def left(self, students: Collection[str]) -> set[str]:
        """Hub users who are not in the course any more, as far as the LMS said."""
        known, roster = self._file.course(self.course), self._file.roster(self.course)
        users = self._file.lti_users(self.course)
        listed = {each.user: each.active for each in roster.values()}
        found = {user for user in students if user not in users and not listed.get(user, True)}
        if known and known.memberships and known.roster_at:
            found |= {user for user, id in users.items() if id not in roster or not roster[id].active}
        return found

    def expected(self, students: Collection[str]) -> dict[str, str]:
        """Hub user → name, "" for none, of those who never came, are in the course, and whose user is certain."""
        return {each.user: each.name for each in self.absent(students) if each.user and each.active}
