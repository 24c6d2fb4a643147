"""The file of who is who, /var/lib/jupyterhub/lti_people.sqlite: what is in it, and what makes it unusable.

Only the standard library: the programs that an operator runs on the server use this too.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from . import user_names
from .foretold import foretold
from .people import Found, HubUsers, Rules, Seen, Unusable, compared, mark
from .presets import is_vouched
from .resolution import Resolution, marks_of

VERSION = 2
_SCHEMA = """
CREATE TABLE schema_version (version INTEGER);
CREATE TABLE consumer (name TEXT PRIMARY KEY, prefix TEXT NOT NULL);
CREATE TABLE person (number INTEGER PRIMARY KEY, user TEXT NOT NULL UNIQUE, since REAL NOT NULL);
CREATE TABLE stable_id (
    consumer TEXT, version TEXT, field TEXT, value TEXT, person INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    PRIMARY KEY (consumer, version, field, value)
);
CREATE TABLE field (
    person INTEGER REFERENCES person ON DELETE CASCADE, consumer TEXT, field TEXT, value TEXT NOT NULL,
    compared TEXT NOT NULL, vouched INTEGER NOT NULL, since REAL NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (person, consumer, field)
);
CREATE TABLE unclaimed (user TEXT PRIMARY KEY);
CREATE INDEX id_of ON stable_id (person);
CREATE INDEX value_of ON field (field, compared);
"""
# A damaged file holds anything: values of other types, too, and names that the error's own text cannot hold.
_DAMAGED = (sqlite3.Error, OSError, ValueError, TypeError, AttributeError)
# Users of the version before of whom it had noted nothing: names that its rule made, of which `user_names` tells.
_PLAIN = r"[a-z0-9]+([._-][a-z0-9]+)*"
_OF_OUR_MAKING = re.compile(rf"([a-z0-9]{{1,12}}__)?({_PLAIN}|{_PLAIN}--[a-z2-7]{{{user_names.DIGEST_LENGTH}}})")


class People:
    """The file `path`; it is made, readable for its owner alone, when it is not there.

    It stays open, and is opened again when another file is in its place: one that was restored counts at once.
    pending: user → marks (digest → kind) by which people are known again, until the hub's database has them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending: dict[str, dict[str, str]] = {}
        self._db: sqlite3.Connection | None = None
        self._file = (0, 0)

    def resolve(self, seen: Seen, rules: Rules, hub: HubUsers, now: float) -> Found:
        """Return the hub user of the launch's person, who is written down before this returns. `now`: s since 1970.

        Raises Unusable, and then nothing is written.
        """
        with self._transaction(hub) as db:
            found, marks = Resolution(db, seen, rules, hub, now).found()
        self.pending[found.user] = marks
        return found

    def foretell(self, expected: Iterable[Seen], rules: Rules, hub: HubUsers) -> list[str]:
        """The hub user of each of these people, whom the LMS lists, as `foretold` says. Nothing is kept. Raises Unusable."""
        found = []
        with self._transaction(hub) as db:
            for seen in expected:
                db.execute("SAVEPOINT foretold")
                found.append(foretold(Resolution(db, seen, rules, hub, 0.0)))
                db.execute("ROLLBACK TO foretold")
                db.execute("RELEASE foretold")
        return found

    def forget(self, user: str, hub: HubUsers) -> None:
        """Remove what is kept of the person of a hub user. Raises Unusable."""
        self.pending.pop(user, None)
        with self._transaction(hub) as db:
            db.execute("DELETE FROM person WHERE user = ?", (user,))
            db.execute("DELETE FROM unclaimed WHERE user = ?", (user,))

    @contextmanager
    def _transaction(self, hub: HubUsers) -> Iterator[sqlite3.Connection]:
        try:
            db = self._open(hub)
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except _DAMAGED as error:
            self._close()
            raise Unusable(f"{self.path} cannot be used: {error}") from error

    def _open(self, hub: HubUsers) -> sqlite3.Connection:
        with suppress(FileNotFoundError):
            if self._db and _place(os.stat(self.path)) == self._file:
                return self._db
        self._close()
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._file = _place(os.fstat(file))
        os.close(file)
        db = connect(self.path)
        try:
            self._prepare(db, hub)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _close(self) -> None:
        if self._db:
            self._db.close()
        self._db = None

    def _prepare(self, db: sqlite3.Connection, hub: HubUsers) -> None:
        tables = check(db)
        if "schema_version" in tables and "identity" not in tables:
            return
        db.execute("BEGIN IMMEDIATE")
        if "schema_version" not in tables:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute("INSERT INTO schema_version VALUES (?)", (VERSION,))
        if "identity" in tables:
            self.pending |= _inherit(db, hub)
        db.execute("COMMIT")


def connect(path: Path) -> sqlite3.Connection:
    """The file's database, as it is. Raises sqlite3.Error."""
    # The hub waits meanwhile: one second, and then it says so.
    db = sqlite3.connect(path, timeout=1, isolation_level=None)
    db.execute("PRAGMA foreign_keys = ON")
    # The journal stays a file: to make one takes an inode, and the last one may be gone.
    db.execute("PRAGMA journal_mode = PERSIST")
    return db


def check(db: sqlite3.Connection) -> set[str]:
    """Return the names of its tables. Raises sqlite3.Error for a file that is damaged, newer, or something else."""
    if (said := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({said!r:.100})")
    tables = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "schema_version" in tables:
        versions = [version for (version,) in db.execute("SELECT version FROM schema_version")]
        if versions != [VERSION]:
            said = " and ".join(map(str, versions)) or "none"
            raise sqlite3.DatabaseError(f"it is of version {said}, and this hub knows {VERSION}: upgrade the hub")
    elif tables - {"identity", "left_as_is"}:
        raise sqlite3.DatabaseError("it is another program's")
    return tables


def check_present(db: sqlite3.Connection) -> None:
    """Raises sqlite3.Error as `check` does, and for a file that the hub has yet to take over."""
    if "identity" in check(db):
        raise sqlite3.DatabaseError("it is of the version before: it is taken over at the next launch")


def everybody(people: Path, hub: Path) -> dict[str, Any]:
    """The people with what is kept of them in the file `people`, and the users of the hub's database whom nobody owns.

    Raises sqlite3.Error.
    """
    with closing(sqlite3.connect(f"{hub.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        users = {name for (name,) in db.execute("SELECT name FROM users")}
    found: dict[int, dict[str, Any]] = {}
    if people.exists():
        with closing(sqlite3.connect(f"{people.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            check_present(db)
            for number, user, since in db.execute("SELECT number, user, since FROM person"):
                found[number] = {"user": user, "since": since, "ids": [], "fields": []}
            for number, *known in db.execute("SELECT person, consumer, version, field, value FROM stable_id"):
                found[number]["ids"].append(known)
            for number, *known in db.execute("SELECT person, consumer, field, value, compared, seen FROM field"):
                found[number]["fields"].append(known)
    everybody = sorted(found.values(), key=lambda each: str(each["user"]))
    return {"people": everybody, "unowned": sorted(users - {each["user"] for each in everybody})}


def _place(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _inherit(db: sqlite3.Connection, hub: HubUsers) -> dict[str, dict[str, str]]:
    """Take over what the version before noted: user, field, version, value, consumer, prefix, at. Returns user → marks.

    Where two users were noted with the same id or value, it is the last one's. Users of whom nothing was noted came
    before there were notes: whoever has the name that the old rule made, by a field that the LMS vouches for, takes them.
    """
    # In 1.3 a custom field is a link's to set. Which version a field came with was not noted.
    by_11 = {user for (user,) in db.execute("SELECT user FROM identity WHERE (field, version) = ('user_id', '1.1')")}
    notes = "SELECT user, field, version, value, consumer, prefix, at FROM identity ORDER BY at, user"
    for user, name, version, value, consumer, prefix, at in db.execute(notes).fetchall():
        db.execute("INSERT OR IGNORE INTO person (user, since) VALUES (?, ?)", (user, at))
        ((person,),) = db.execute("SELECT number FROM person WHERE user = ?", (user,)).fetchall()
        db.execute("INSERT OR REPLACE INTO consumer VALUES (?, ?)", (consumer, prefix))
        if name == "user_id" and version:
            row = (consumer, version, "sub" if version == "1.3" else name, value, person)
            db.execute("INSERT OR REPLACE INTO stable_id VALUES (?, ?, ?, ?, ?)", row)
        elif user_names.is_somebody(value):
            form, vouched = compared(name, value), is_vouched("canvas", name, "1.1" if user in by_11 else "1.3")
            db.execute("DELETE FROM field WHERE (consumer, field, compared) = (?, ?, ?)", (consumer, name, form))
            db.execute(
                "INSERT OR REPLACE INTO field VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (person, consumer, name, value, form, vouched, at, at),
            )
    found = {user: marks_of(db, number) for user, number in db.execute("SELECT user, number FROM person").fetchall()}
    for user in hub.names():
        if _OF_OUR_MAKING.fullmatch(user) and not db.execute("SELECT 1 FROM person WHERE user = ?", (user,)).fetchone():
            db.execute("INSERT OR IGNORE INTO unclaimed VALUES (?)", (user,))
            found[user] = {mark("", "unclaimed", user): "unclaimed"}
    db.execute("DROP TABLE identity")
    db.execute("DROP TABLE IF EXISTS left_as_is")
    return found
