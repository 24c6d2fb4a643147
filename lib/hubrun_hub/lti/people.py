"""Who is who: a person is known by the LMS's own stable id, and their hub user is the label that their home got first.

A launch is a person's whom the file knows by, in this order:

1. the stable id of its version of LTI: 1.1's user_id (or what the LMS's preset says), 1.3's `sub`;
2. the id of LTI 1.1 that a launch of 1.3 names (claim lti1p1), or `sub` itself, which may be the same
   (IMS LTI 1.3 migration guide, "Remapping parameters": what is the same may be left out);
3. the value of lti_username_key, among people of this consumer who have no id of this version yet, where the LMS
   vouches for it (`is_vouched`). So everybody is found after a change from 1.1 to 1.3.

Else it is a new person's. No setting moves anybody: neither the key, nor a prefix, a version or what the LMS tells.
An id belongs to a consumer, or to another one that has the same prefix now: these say that they know the same people.

The hub's own database keeps digests of the same (`HubUsers`), so that a lost file gives nobody another's home, and
nobody a second one. All of it is personal data. It goes when the hub's user is deleted, and never goes into the log.

Only the standard library: the programs that an operator runs on the server use this too.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import user_names

# The fields, by their names in LTI 1.1, that lti_username_key may sensibly name (the table in runbook 02). In this order
# they name a new person of whom the LMS does not say lti_username_key.
KEYS = (
    "lis_person_sourcedid",
    "custom_canvas_user_login_id",
    "lis_person_contact_email_primary",
    "user_id",
    "custom_canvas_user_id",
    "custom_canvas_user_sis_id",
)
# Those whose values are opaque identifiers: case matters in them.
EXACT_KEYS = ("user_id",)
# What an LMS says of a person by itself, and neither they nor whoever edits a link can write. An address may be their own
# to change; in LTI 1.3 each custom field is a link's to set.
_VOUCHED = {
    "1.1": {
        "lis_person_sourcedid", "custom_canvas_user_login_id", "custom_canvas_user_id", "custom_canvas_user_sis_id",
        "user_id",
    },
    "1.3": {"lis_person_sourcedid", "user_id"},
}  # fmt: skip
_UNWRITABLE = ("user_id", "sub")
LONGEST = 1000  # characters of a value that is kept; LTI 1.3, 5.3.6.1: `sub` has 255 at most

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
# Users of the version before of whom it had noted nothing: names that its rule made, of which `user_names` tells.
_PLAIN = r"[a-z0-9]+([._-][a-z0-9]+)*"
_OF_OUR_MAKING = re.compile(rf"([a-z0-9]{{1,12}}__)?({_PLAIN}|{_PLAIN}--[a-z2-7]{{{user_names.DIGEST_LENGTH}}})")
# When somebody came last is written down once a day: a launch that says nothing new writes nothing.
_SEEN_S = 86400


class Unusable(sqlite3.Error):
    """The file cannot be read or written: nobody comes in, as nobody may get another's home. The text is for the log."""


class HubUsers(Protocol):
    """The users of the hub, and the marks of people (`People.pending`) that its database keeps."""

    def names(self) -> Iterable[str]:
        """Of all users."""

    def exists(self, name: str) -> bool:
        """Whether there is such a user."""

    def came(self, name: str) -> bool:
        """Whether anybody was ever logged in as this user, and so may have left files."""

    def owners(self, mark: str) -> Collection[str]:
        """The users whose people have this mark."""

    def kinds(self, name: str) -> Collection[str]:
        """The kinds of marks that this user's person has."""


@dataclass(frozen=True)
class Seen:
    """What a launch says of its person.

    ids: field and value of the LMS's own stable ids; the first is the person's, the others may be one for each course. fields: whatever else may say who they are.
    key: lti_username_key. id_11: the id of LTI 1.1 that a launch of 1.3 names.
    """

    consumer: str
    prefix: str
    version: str
    ids: Sequence[tuple[str, str]]
    fields: Mapping[str, str]
    key: str
    id_11: str = ""


@dataclass
class Found:
    """The hub user of a launch; whether they are of the administrators; lines for the log, without personal data."""

    user: str
    administers: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """prefixes: of the consumers that there are now. adopt: adopt_users. admins: hub names of the administrators."""

    prefixes: Mapping[str, str]
    adopt: bool = False
    admins: frozenset[str] = frozenset()


def is_vouched(name: str, version: str) -> bool:
    """Whether the LMS vouches for what a launch in this version of LTI says in a field."""
    return name in _VOUCHED[version]


def compared(name: str, value: str) -> str:
    """The form in which two values of a field are compared."""
    return user_names.normalise(value, exact=name in EXACT_KEYS)


def can_be_kept(value: str) -> bool:
    """Whether a value is of a length, and of characters, that an id or a name may have."""
    return len(value) <= LONGEST and not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value)


def _marks_of(db: sqlite3.Connection, person: int) -> dict[str, str]:
    """Digest → kind of each thing by which a person is known again, for the hub's database."""
    asks = "SELECT consumer, 'id ' || version || ' ' || field, value FROM stable_id WHERE person = ?"
    found = {_mark(consumer, kind, value): kind for consumer, kind, value in db.execute(asks, (person,))}
    asks = "SELECT consumer, 'field ' || field, compared FROM field WHERE person = ? AND vouched"
    return found | {
        _mark(consumer, kind, form): f"{kind} {consumer}" for consumer, kind, form in db.execute(asks, (person,))
    }


def _mark(consumer: str, kind: str, value: str) -> str:
    return hashlib.sha256("\0".join((consumer, kind, value)).encode("utf-8", "surrogatepass")).hexdigest()


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
            found, marks = _Resolution(db, seen, rules, hub, now).found()
        self.pending[found.user] = marks
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
        except (sqlite3.Error, OSError) as error:
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
        ((version,),) = db.execute("SELECT version FROM schema_version").fetchall()
        if version != VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, and this hub knows {VERSION}: upgrade the hub")
    elif tables - {"identity", "left_as_is"}:
        raise sqlite3.DatabaseError("it is another program's")
    return tables


def _place(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


class _Resolution:
    """Finding the person of one launch, within a transaction."""

    def __init__(self, db: sqlite3.Connection, seen: Seen, rules: Rules, hub: HubUsers, now: float) -> None:
        self.db, self.seen, self.rules, self.hub, self.now = db, seen, rules, hub, now
        self.notes: list[str] = []
        self.value = compared(seen.key, seen.fields.get(seen.key, ""))
        if not can_be_kept(self.value):
            self.value = ""
        known = {**dict(db.execute("SELECT name, prefix FROM consumer")), **rules.prefixes, seen.consumer: seen.prefix}
        others = sorted(name for name, prefix in known.items() if prefix == seen.prefix and name != seen.consumer)
        self.consumers = [seen.consumer, *others]

    def found(self) -> tuple[Found, dict[str, str]]:
        person = self._by_ids() or self._by_value() or self._new()
        self._write(person)
        ((user,),) = self.db.execute("SELECT user FROM person WHERE number = ?", (person,)).fetchall()
        self._compare(person, user)
        return Found(user, self._administers(person, user), self.notes), _marks_of(self.db, person)

    # -- who it is

    def _by_ids(self) -> int | None:
        seen = self.seen
        # The last one first: where an LMS's preset names another field than user_id, whoever makes a link may write that
        # (openedx/xblock-lti-consumer, lti_1p1/consumer.py: custom parameters go over LTI_PARAMETERS), and never user_id.
        for name, value in reversed(seen.ids):
            if person := self._with_id(seen.version, name, value):
                return person
        if seen.id_11:
            return self._with_id("1.1", "user_id", seen.id_11)
        other = ("1.3", "sub") if seen.version == "1.1" else ("1.1", "user_id")
        person = self._with_id(*other, seen.ids[0][1])
        return person if person and not self._has_id(person) else None

    def _with_id(self, version: str, name: str, value: str) -> int | None:
        asks = "SELECT person FROM stable_id WHERE (consumer, version, field, value) = (?, ?, ?, ?)"
        for consumer in self.consumers:
            if row := self.db.execute(asks, (consumer, version, name, value)).fetchone():
                return int(row[0])
        return self._marked(f"id {version} {name}", value)

    def _marked(self, kind: str, value: str) -> int | None:
        """The person of whom the hub's database has this mark: the file was lost, or is an older one."""
        for consumer in self.consumers:
            if len(users := self.hub.owners(_mark(consumer, kind, value))) == 1:
                return self._person_of(*users)
        return None

    def _has_id(self, person: int, version: str = "", name: str = "") -> bool:
        """Whether an id of the person is known, of the launch's own kind where no other is named."""
        version, name = version or self.seen.version, name or self.seen.ids[0][0]
        places = ", ".join("?" * len(self.consumers))
        asks = f"SELECT 1 FROM stable_id WHERE person = ? AND version = ? AND field = ? AND consumer IN ({places})"  # nosec B608
        if self.db.execute(asks, (person, version, name, *self.consumers)).fetchone():
            return True
        ((user,),) = self.db.execute("SELECT user FROM person WHERE number = ?", (person,)).fetchall()
        return f"id {version} {name}" in self.hub.kinds(user)

    def _by_value(self) -> int | None:
        seen = self.seen
        if not self.value or not is_vouched(seen.key, seen.version):
            return None
        holders = self._holders(vouched=True)
        if not holders:
            return self._by_mark_or_name()
        possible = [each for each in holders if not self._is_another(each)]
        if len(possible) > 1:
            # A SIS id that was given to somebody else, or that a link said: who else they are must fit.
            possible = [each for each in possible if self._agrees(each)]
        return possible[0] if len(possible) == 1 else None

    def _is_another(self, person: int) -> bool:
        """Whether the ids say that the person is not that of the launch."""
        return self._has_id(person) or (bool(self.seen.id_11) and self._has_id(person, "1.1", "user_id"))

    def _agrees(self, person: int) -> bool:
        rows = self.db.execute("SELECT field, compared FROM field WHERE person = ?", (person,)).fetchall()
        both = [(compared(name, self.seen.fields[name]), value) for name, value in rows if name in self.seen.fields]
        return all(one == other for one, other in both)

    def _holders(self, vouched: bool = False) -> list[int]:
        """The people of whom lti_username_key said the launch's value last; who had it first comes first."""
        places = ", ".join("?" * len(self.consumers))
        asks = (
            "SELECT person, min(since) FROM field WHERE field = ? AND compared = ? AND vouched >= ?"  # nosec B608
            f" AND consumer IN ({places}) GROUP BY person ORDER BY 2, 1"
        )
        return [int(row[0]) for row in self.db.execute(asks, (self.seen.key, self.value, vouched, *self.consumers))]

    def _by_mark_or_name(self) -> int | None:
        """Of whom the file knows nothing: the hub's database knows them, or has a user of theirs whom nobody owns."""
        marked = self._marked_by_value()
        if marked:
            possible = [each for each in map(self._person_of, sorted(marked)) if not self._is_another(each)]
            return possible[0] if len(possible) == 1 else None
        names = [user_names.hub_name(self.value, self.seen.prefix, exact=self.seen.key in EXACT_KEYS)]
        # On a hub that was set up by the guide the name was what the LMS said, in lower case.
        names += [self.value.lower()] if self.rules.adopt and not self.seen.prefix else []
        for name in names:
            if self.hub.exists(name) and not self._owned(name) and self._may_take(name):
                self.db.execute("DELETE FROM unclaimed WHERE user = ?", (name,))
                self.notes.append(f"{name} was nobody's, and is now the person whose {self.seen.key} has this value")
                return self._person_of(name)
        return None

    def _marked_by_value(self) -> set[str]:
        kind = f"field {self.seen.key}"
        return {user for each in self.consumers for user in self.hub.owners(_mark(each, kind, self.value))}

    def _may_take(self, name: str) -> bool:
        kinds = set(self.hub.kinds(name))
        if kinds == {"unclaimed"} or self.db.execute("SELECT 1 FROM unclaimed WHERE user = ?", (name,)).fetchone():
            return True
        # Who never came left nothing: a name in admin_users or in load_groups.
        return not kinds and (self.rules.adopt or not self.hub.came(name))

    # -- a new person

    def _new(self) -> int:
        seen = self.seen
        identity, name = "", ""
        wanted = [(key, seen.fields[key]) for key in dict.fromkeys([seen.key, *KEYS]) if key in seen.fields]
        for key, value in [*wanted, ("user_id", seen.ids[0][1])]:
            with suppress(user_names.NoIdentity):
                identity, name = value, user_names.hub_name(value, seen.prefix, exact=key in EXACT_KEYS)
                break
        if not name:
            identity, name = "person", ""
        number = 0
        while not name or self._owned(name) or self.hub.exists(name):
            if name and not number:
                self.notes.append(f"{name} is another person's, or nobody's whom this launch may take")
            number += 1
            which = "\0".join((seen.consumer, seen.version, *seen.ids[0], str(number)))
            name = user_names.apart(identity, seen.prefix, which)
        return self._person_of(name)

    def _owned(self, name: str) -> bool:
        return self.db.execute("SELECT 1 FROM person WHERE user = ?", (name,)).fetchone() is not None

    def _person_of(self, user: str) -> int:
        self.db.execute("INSERT OR IGNORE INTO person (user, since) VALUES (?, ?)", (user, self.now))
        ((number,),) = self.db.execute("SELECT number FROM person WHERE user = ?", (user,)).fetchall()
        return int(number)

    # -- what is kept

    def _write(self, person: int) -> None:
        seen, db = self.seen, self.db
        row = (seen.consumer, seen.prefix)
        if not db.execute("SELECT 1 FROM consumer WHERE (name, prefix) = (?, ?)", row).fetchone():
            db.execute("INSERT OR REPLACE INTO consumer VALUES (?, ?)", row)
        for name, value in seen.ids:
            # A second one that a link's maker may have written would be somebody else's.
            if name in _UNWRITABLE or not self._has_id(person, seen.version, name):
                self._write_id(person, seen.version, name, value)
        if seen.id_11:
            self._write_id(person, "1.1", "user_id", seen.id_11)
        rows = db.execute(
            "SELECT field, value, vouched, seen FROM field WHERE (person, consumer) = (?, ?)", (person, seen.consumer)
        )
        known = {name: rest for name, *rest in rows}
        for name, value in seen.fields.items():
            if not can_be_kept(value) or (name == "user_id" and name != seen.key):
                continue  # a stable id is kept as one
            vouched, form = is_vouched(name, seen.version), compared(name, value)
            if name in known and known[name][0] == value and bool(known[name][1]) >= vouched:
                if self.now - known[name][2] > _SEEN_S:
                    db.execute(
                        "UPDATE field SET seen = ? WHERE (person, consumer, field) = (?, ?, ?)",
                        (self.now, person, seen.consumer, name),
                    )
                continue
            db.execute(
                "INSERT OR REPLACE INTO field VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (person, seen.consumer, name, value, form, vouched, self.now, self.now),
            )

    def _write_id(self, person: int, version: str, name: str, value: str) -> None:
        there = self._with_id(version, name, value)
        if there is None or there == person:
            row = (self.seen.consumer, version, name, value, person)
            if not self.db.execute(
                "SELECT 1 FROM stable_id WHERE (consumer, version, field, value, person) = (?, ?, ?, ?, ?)", row
            ).fetchone():
                self.db.execute("INSERT OR IGNORE INTO stable_id VALUES (?, ?, ?, ?, ?)", row)

    def _compare(self, person: int, user: str) -> None:
        """Say it when the id and lti_username_key name different people: the id counts."""
        others = [each for each in self._holders() if each != person] if self.value else []
        for other in others:
            ((name,),) = self.db.execute("SELECT user FROM person WHERE number = ?", (other,)).fetchall()
            self.notes.append(
                f"{user} came with the {self.seen.key} of {name}: the LMS's own id counts (./hubrun people)"
            )

    def _administers(self, person: int, user: str) -> bool:
        """Whether admin_users names them: by their hub user, or by the value of lti_username_key, where nobody else had it."""
        if user in self.rules.admins:
            return True
        try:
            name = user_names.hub_name(self.value, self.seen.prefix, exact=self.seen.key in EXACT_KEYS)
        except user_names.NoIdentity:
            return False
        if name not in self.rules.admins or self._owned(name) or self.hub.kinds(name):
            return False
        return self._holders()[:1] == [person] and self._marked_by_value() <= {user}


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
            form, vouched = compared(name, value), is_vouched(name, "1.1" if user in by_11 else "1.3")
            db.execute("DELETE FROM field WHERE (consumer, field, compared) = (?, ?, ?)", (consumer, name, form))
            db.execute(
                "INSERT OR REPLACE INTO field VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (person, consumer, name, value, form, vouched, at, at),
            )
    found = {user: _marks_of(db, number) for user, number in db.execute("SELECT user, number FROM person").fetchall()}
    for user in hub.names():
        if _OF_OUR_MAKING.fullmatch(user) and not db.execute("SELECT 1 FROM person WHERE user = ?", (user,)).fetchone():
            db.execute("INSERT OR IGNORE INTO unclaimed VALUES (?)", (user,))
            found[user] = {_mark("", "unclaimed", user): "unclaimed"}
    db.execute("DROP TABLE identity")
    db.execute("DROP TABLE IF EXISTS left_as_is")
    return found
