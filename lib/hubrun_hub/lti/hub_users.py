"""The hub's own users, for `people`: and in the hub's database, beside them, the marks by which people are known again.

A mark is a digest of what a person is known by, and says nothing to who does not know the value already.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, delete, insert, select

MARKS = Table(
    "hubrun_marks",
    MetaData(),
    Column("mark", String(64), primary_key=True),
    Column("user", String(255), primary_key=True, index=True),
    Column("kind", String(300)),
)


class DatabaseUsers:
    """The users in the database of the session `db`; `people.HubUsers` says what each method is for."""

    def __init__(self, db: Any) -> None:
        self.db = db

    def prepare(self) -> None:
        """Make the table of marks where there is none, and commit."""
        MARKS.create(self.db.connection(), checkfirst=True)
        self.db.commit()

    def _user(self, name: str) -> Any:
        from jupyterhub import orm

        return orm.User.find(self.db, name)

    def names(self) -> Iterable[str]:
        from jupyterhub import orm

        return [name for (name,) in self.db.query(orm.User.name)]

    def exists(self, name: str) -> bool:
        from jupyterhub import orm

        return self._rows(select(orm.User.name).where(orm.User.name == name)) != []

    def _rows(self, query: Any) -> list[Any]:
        """Past the session, which would take several times as long: a launch waits for it."""
        return self.db.connection().execute(query).all()

    def came(self, name: str) -> bool:
        user = self._user(name)
        return user is not None and (user.last_activity is not None or bool(user.orm_spawners))

    def owners(self, marks: Collection[str]) -> dict[str, set[str]]:
        from jupyterhub import orm

        query = select(MARKS.c.mark, MARKS.c.user).join(orm.User, orm.User.name == MARKS.c.user)
        found: dict[str, set[str]] = {}
        for mark, user in self._rows(query.where(MARKS.c.mark.in_(marks))):
            found.setdefault(mark, set()).add(user)
        return found

    def kinds(self, name: str) -> Collection[str]:
        return {kind for (kind,) in self._rows(select(MARKS.c.kind).where(MARKS.c.user == name))}

    def keep(self, name: str, marks: Mapping[str, str]) -> None:
        """Keep the marks (digest → kind) of a user's person, in place of those that a field had before; not committed."""
        there = dict(self._rows(select(MARKS.c.mark, MARKS.c.kind).where(MARKS.c.user == name)))
        fields = {kind for kind in marks.values() if kind.startswith("field ")}
        for mark, kind in there.items():
            if kind in fields and mark not in marks:
                self.db.execute(delete(MARKS).where(MARKS.c.mark == mark, MARKS.c.user == name))
        if new := [{"mark": mark, "user": name, "kind": marks[mark]} for mark in marks.keys() - there.keys()]:
            self.db.execute(insert(MARKS), new)

    def forget(self, name: str) -> None:
        """Remove what is kept of a user's person, and commit."""
        self.db.execute(delete(MARKS).where(MARKS.c.user == name))
        self.db.commit()
