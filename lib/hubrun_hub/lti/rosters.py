"""Who is in which course, with what the authenticator knows: when the LMS is asked, and who its people are here."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Collection
from functools import partial
from typing import Any

from .consumers import Consumer
from .people import Seen, Unusable
from .services.calls import ServiceError
from .services.course_roster import CourseRoster
from .services.roster import Member

# After so long the LMS is asked again, whatever came of it before.
_EVERY_S = 600


class Rosters:
    """Those of all courses; `door` is the LaunchAuthenticator. db: a session of the hub's database."""

    def __init__(self, door: Any) -> None:
        self._door = door
        # Course → when the LMS may be asked again, and what asks it, or did.
        self._asked: dict[str, tuple[float, asyncio.Future[None]]] = {}

    def of(self, course: str, db: Any) -> CourseRoster:
        """That of one course."""
        door = self._door
        return CourseRoster(
            course, consumers=door.read_consumers(), file=door.service_file, tokens=door.tokens, calls=door.calls,
            foretell=partial(self._foretell, db),
        )  # fmt: skip

    async def ask(self, course: str, db: Any, seconds: float) -> None:
        """Ask the LMS, now and then; its answer is waited for so long, and comes into the file afterwards too."""
        now = time.monotonic()
        if course not in self._asked or now >= self._asked[course][0]:
            update = self.of(course, db).update(time.time())
            self._asked[course] = now + _EVERY_S, asyncio.ensure_future(self._logged(course, update))
        await asyncio.wait({self._asked[course][1]}, timeout=seconds)

    async def _logged(self, course: str, update: Awaitable[None]) -> None:
        try:
            await update
        except (ServiceError, sqlite3.Error, OSError) as error:
            self._door.log.warning("The LMS does not say who is in %s: %s", course, error)

    def _foretell(self, db: Any, consumer: Consumer, listed: Collection[Member]) -> dict[str, str]:
        """The hub user of each, by their id in the list; "" where it is not certain, as of two who would get the same."""
        door, key = self._door, consumer.username_key or self._door.username_key
        by_hand = "1.1" if consumer.key else "1.3"
        seen = [
            Seen(
                consumer.name, consumer.prefix, "1.3" if each.ids else by_hand, each.ids, each.fields, key, each.id_11,
                consumer.lms,
            )
            for each in listed
        ]  # fmt: skip
        try:
            users = door.people.foretell(seen, door.rules, door.hub_users(db))
        except Unusable as error:
            door.log.error("%s: nobody's user is known before they come", error)
            return {}
        times = Counter(users)
        return {each.id: user if times[user] == 1 else "" for each, user in zip(listed, users, strict=True)}
