"""The homes of Test Students ("Student View"): at most one stays behind.

Canvas has a Test Student for each course, and a new one after each reset. Each gets a home of their own, so that nobody
sees what another teacher left. When one comes, or their server stops, those who are not at work go with all that they
had, except the one who came last.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import asyncio
from typing import Any

from .. import test_student
from ..awaited import awaited
from .groups import INSTRUCTORS

_STOP_TRIES = 300


class TestStudents:
    """`app` is the JupyterHub, of which this reads users and groups."""

    __test__ = False  # pytest's, which takes it for a class of tests

    def __init__(self, app: Any) -> None:
        self.app = app
        self._one_at_a_time = asyncio.Lock()
        self._last: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def came(self, user: str) -> None:
        """A Test Student was launched: the ones before go, in the background."""
        self._last[test_student.prefix_of(user)] = user
        self._tidy_later(user)

    def stopped(self, user: str) -> None:
        """A server stopped: if it was a Test Student's before the last one, they go, in the background."""
        if test_student.is_one(user):
            self._tidy_later(user)

    def _tidy_later(self, user: str) -> None:
        task = asyncio.get_running_loop().create_task(self.tidy(test_student.prefix_of(user)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def tidy(self, prefix: str) -> None:
        """Remove the Test Students of the consumers with this prefix, but for the last one and those who are at work.

        One of the same course goes at once: the LMS has put another into their place.
        """
        from jupyterhub import orm

        async with self._one_at_a_time:
            names = self.app.db.query(orm.User.name, orm.User.last_activity, orm.User.created)
            found = [
                (each.last_activity or each.created, each.name)
                for each in names.filter(orm.User.name.contains("test-student---", autoescape=True))
                if test_student.is_one(each.name) and test_student.prefix_of(each.name) == prefix
            ]
            if not found:
                return
            known = {name for _, name in found}
            # After a restart of the hub nobody has come yet: it is whoever did something last.
            last = self._last.get(prefix, "")
            last = last if last in known else max(found, key=lambda each: (str(each[0]), each[1]))[1]
            courses = self._courses(last)
            for name in sorted(known - {last}):
                try:
                    await self._remove(name, courses)
                except Exception:
                    self.app.log.exception("The home of the Test Student %s could not be removed", name)

    async def _remove(self, name: str, courses: set[str]) -> None:
        user = self.app.users.get(name)
        if user is None:
            return
        # The hub tells of a stop a moment before it is one.
        for _ in range(_STOP_TRIES):
            if not any(spawner.pending == "stop" for spawner in user.spawners.values()):
                break
            await asyncio.sleep(0.1)
        if user.active and not courses & self._courses(name):
            return
        for server, spawner in list(user.spawners.items()):
            if spawner.pending:
                return
            if spawner.active:
                await self.app.proxy.delete_user(user, server)
                await user.stop(server)
        await awaited(self.app.authenticator.delete_user(user))
        await user.delete_spawners()
        self.app.users.delete(user)
        self.app.log.info("The Test Student %s is gone: another one came", name)

    def _courses(self, name: str) -> set[str]:
        user = self.app.users.get(name)
        return {group.name.removesuffix(INSTRUCTORS) for group in user.groups} if user else set()
