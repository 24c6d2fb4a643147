"""Where the grades of one assignment go: a column of the LMS by LTI 1.3, or the one of a link by LTI 1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .calls import ServiceError
from .grades import Gradebook, Score
from .outcomes import Outcomes

# An LMS counts requests: a class waits a little rather than be refused.
_AT_ONCE = 4


class AnyColumn(Protocol):
    """What can be done with a column, whatever the version of LTI. `capped`: it takes no more than the whole."""

    capped: bool

    @property
    def known(self) -> frozenset[str]:
        """The hub users for whom it takes grades."""

    async def read(self) -> dict[str, float]:
        """Hub user → what the LMS has, as a part of the whole. Raises ServiceError."""

    async def open(self, maximum: float) -> None:
        """Make it, where it is not there yet. Raises ServiceError."""

    async def send(self, user: str, points: float, maximum: float, at: float) -> None:
        """Send the grade of one person. Raises ServiceError."""


class Column13:
    """A line item: `url`, or "" for that of `resource`, which is made with the name `label` at the first grade.

    users: hub user → the LMS's id.
    """

    capped = False

    def __init__(
        self, gradebook: Gradebook, users: Mapping[str, str], *, url: str, columns: str, resource: str, label: str
    ) -> None:
        self._gradebook, self._users, self._url = gradebook, users, url
        self._columns, self._resource, self._label = columns, resource, label

    @property
    def known(self) -> frozenset[str]:
        return frozenset(self._users)

    async def read(self) -> dict[str, float]:
        if not self._url:
            found = await self._gradebook.find_column(self._columns, self._resource)
            self._url = found.url if found else ""
        results = await self._gradebook.results(self._url) if self._url else {}
        return {user: results[lti] for user, lti in self._users.items() if lti in results}

    async def open(self, maximum: float) -> None:
        if not self._url:
            made = await self._gradebook.column(self._columns, self._resource, self._label, maximum)
            self._url = made.url

    async def send(self, user: str, points: float, maximum: float, at: float) -> None:
        await self._gradebook.send(self._url, Score(self._users[user], points, maximum, at))


@dataclass(frozen=True)
class Place11:
    """The service of LTI 1.1 for one person and link."""

    service: Outcomes
    url: str
    sourcedid: str


class Column11:
    """The column of a link of LTI 1.1. places: hub user → where their grade goes."""

    capped = True

    def __init__(self, places: Mapping[str, Place11]) -> None:
        self._places = places

    @property
    def known(self) -> frozenset[str]:
        return frozenset(self._places)

    async def read(self) -> dict[str, float]:
        async def one(user: str, place: Place11) -> tuple[str, float | None]:
            async with gate:
                return user, await place.service.read(place.url, place.sourcedid)

        gate = asyncio.Semaphore(_AT_ONCE)
        found = await asyncio.gather(*(one(user, place) for user, place in self._places.items()))
        return {user: grade for user, grade in found if grade is not None}

    async def open(self, maximum: float) -> None:
        """It is there."""

    async def send(self, user: str, points: float, maximum: float, at: float) -> None:
        place = self._places[user]
        await place.service.replace(place.url, place.sourcedid, points / maximum)


async def send_all(column: AnyColumn, points: Mapping[str, float], maximum: float, at: float) -> dict[str, str]:
    """Send the points of these hub users; return user → why it failed, "" for those that arrived.

    Raises ServiceError where the column cannot be made, and then nothing was sent.
    """
    await column.open(maximum)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(user: str) -> tuple[str, str]:
        async with gate:
            try:
                await column.send(user, points[user], maximum, at)
            except ServiceError as error:
                return user, str(error)
            return user, ""

    return dict(await asyncio.gather(*(one(user) for user in points)))
