"""The tables that know people by name: the hub's, the notes of the front door, and the gradebooks of courses."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from hubrun_hub.lti.people import SCHEMA
from hubrun_hub.renaming.confined import as_owner
from hubrun_hub.renaming.look import Failed, Places

# PRAGMA user_version, which nobody else uses here, is written in the same transaction as the names: so it is known, also
# after a kill, whether a file was done by the renaming with this number.
_MARK = "user_version"
# A gradebook may be in use: a formgrader saves a grade.
_BUSY_S = 30


def is_done(path: Path, mark: int) -> bool:
    """Whether the renaming with this number was done in the file."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=_BUSY_S)) as db:
        return bool(db.execute(f"PRAGMA {_MARK}").fetchone()[0] == mark)


def unmark(path: Path, mark: int) -> None:
    """Remove the mark from the database `path`, if it is this one."""
    _unmark(path, mark)


def _unmark(path: Path, mark: int) -> None:
    if is_done(path, mark):
        with closing(sqlite3.connect(path, timeout=_BUSY_S)) as db:
            db.execute(f"PRAGMA {_MARK} = 0")


# -- the hub


def rename_users(
    places: Places, people: Mapping[str, str], merged: Mapping[str, str], unknown: list[str], key: str, mark: int
) -> None:
    """Give the hub's users their new names, in its database and in the notes, in one transaction.

    people: old → new. merged: those whose new name a user without files has, who goes; the groups of both stay. unknown:
    users who are left as they are. key: the field that the new names come from; for who is in no note, it said the old
    name. The hub must be stopped: it keeps its users in memory. Groups, roles and tokens hang on a user's number, which
    stays.
    """
    _make_notes(places)
    with closing(sqlite3.connect(places.hub, timeout=_BUSY_S)) as db:
        db.execute("PRAGMA foreign_keys = ON")  # as JupyterHub does: what belongs to a user goes with it
        db.execute("ATTACH ? AS notes", (str(places.people),))
        with _transaction(db):
            for old, new in merged.items():
                _merge(db, old, new)
            for old in people:
                _forget_servers(db, old)
            _swap(db, "users", "name", people)
            _swap_scopes(db, people)
            for old in people:
                if not db.execute("SELECT 1 FROM notes.identity WHERE user = ?", (old,)).fetchone():
                    db.execute("INSERT INTO notes.identity VALUES (?, ?, '', ?, 'default', '', 0)", (old, key, old))
            _swap(db, "notes.identity", "user", people)
            db.executemany("DELETE FROM notes.left_as_is WHERE user = ?", [(old,) for old in people])
            db.executemany("INSERT OR REPLACE INTO notes.left_as_is VALUES (?, '')", [(user,) for user in unknown])
            db.execute(f"PRAGMA notes.{_MARK} = {mark}")


def leave(places: Places, people: Mapping[str, str]) -> None:
    """Note that these users are left as they are (user → the name of their next launch, "" when it is not known)."""
    _make_notes(places)
    with closing(sqlite3.connect(places.people, timeout=_BUSY_S)) as db, db:
        db.executemany("INSERT OR REPLACE INTO left_as_is VALUES (?, ?)", list(people.items()))


def _make_notes(places: Places) -> None:
    """The file of the notes, with its tables; the hub's, as its database is."""
    file = os.open(places.people, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    hub = places.hub.stat()
    os.fchown(file, hub.st_uid, hub.st_gid)
    os.close(file)
    with closing(sqlite3.connect(places.people, timeout=_BUSY_S)) as db:
        db.executescript(SCHEMA)


def _merge(db: sqlite3.Connection, old: str, new: str) -> None:
    """Give the user `old` the groups and roles of `new`, and the newer notes; `new` goes."""
    numbers = dict(db.execute("SELECT name, id FROM users WHERE name IN (?, ?)", (old, new)))
    for table in ("user_group_map", "user_role_map"):
        db.execute(f"UPDATE OR IGNORE {table} SET user_id = ? WHERE user_id = ?", (numbers[old], numbers[new]))
    db.execute("DELETE FROM users WHERE id = ?", (numbers[new],))
    db.execute("UPDATE OR REPLACE notes.identity SET user = ? WHERE user = ?", (old, new))


def _forget_servers(db: sqlite3.Connection, user: str) -> None:
    """Their containers are gone, and addresses with the old name lead nowhere."""
    spawners = "SELECT spawners.id FROM spawners JOIN users ON users.id = user_id WHERE users.name = ?"
    db.execute(f"DELETE FROM servers WHERE id IN (SELECT server_id FROM spawners WHERE id IN ({spawners}))", (user,))
    db.execute(f"UPDATE spawners SET server_id = NULL, state = NULL WHERE id IN ({spawners})", (user,))


def _swap_scopes(db: sqlite3.Connection, people: Mapping[str, str]) -> None:
    """A token may be limited to one user, or to one of their servers, by name: `…!user=NAME`, `…!server=NAME/…`.

    Shares are JupyterHub's own to put right (jupyterhub/orm.py, `_Share.scopes`).
    """
    for number, text in db.execute("SELECT id, scopes FROM api_tokens WHERE scopes LIKE '%!%'").fetchall():
        scopes = []
        for scope in json.loads(text):
            base, _, limit = scope.partition("!")
            kind, _, value = limit.partition("=")
            name, slash, server = value.partition("/")
            if kind in ("user", "server") and name in people:
                scope = f"{base}!{kind}={people[name]}{slash}{server}"
            scopes.append(scope)
        db.execute("UPDATE api_tokens SET scopes = ? WHERE id = ?", (json.dumps(scopes), number))


# -- gradebooks


def gradebooks(places: Places) -> list[Path]:
    """nbgrader's gradebooks: course/gradebook.db of each course.

    People's containers write there: a link is none of ours, and what is done with them is done by `confined`.
    """
    found = sorted(places.courses.glob("*/course/gradebook.db"))
    return [path for path in found if path.is_file() and not path.is_symlink() and not path.parent.is_symlink()]


def check_gradebook(path: Path, people: Mapping[str, str]) -> None:
    """Raise Failed when a student of the gradebook would get the name of another one in it."""
    as_owner(path, _check, dict(people))


def rename_students(path: Path, people: Mapping[str, str], mark: int, *, back: bool = False) -> None:
    """Give the students of a gradebook their new names (old → new), or with `back` their old ones, once.

    Raises Failed, and leaves it as it is.
    """
    as_owner(path, _rename, dict(people), mark, back)


def unmark_gradebook(path: Path, mark: int) -> None:
    """`unmark` for a gradebook, as its owner."""
    as_owner(path, _unmark, mark)


def _check(path: Path, people: Mapping[str, str]) -> None:
    with closing(_gradebook(path)) as db:
        if not _knows_students(db):
            return
        _refuse_programs(db)
        students = {str(name) for (name,) in db.execute("SELECT id FROM student")}
    for old in sorted(students & people.keys()):
        if people[old] in students - people.keys():
            raise Failed(f"{path} has {people[old]} already, besides {old}: remove one of them in the formgrader")


def _rename(path: Path, people: Mapping[str, str], mark: int, back: bool) -> None:
    with closing(_gradebook(path)) as db, _transaction(db):
        done = db.execute(f"PRAGMA {_MARK}").fetchone()[0] == mark
        if done is not back or not _knows_students(db):
            return
        _refuse_programs(db)
        wanted = {new: old for old, new in people.items()} if back else people
        _swap(db, "student", "id", wanted)
        for table, column in _references(db):
            _swap(db, table, column, wanted)
        db.execute(f"PRAGMA {_MARK} = {0 if back else mark}")


def _gradebook(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S)
    # Functions of ours, or of SQLite that do something, are not for what stands in a schema: sqlite.org/pragma.html.
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def _refuse_programs(db: sqlite3.Connection) -> None:
    """Raise Failed for what would run by itself while names are written. nbgrader makes no such thing (its api.py)."""
    asks = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%'"
    if found := db.execute(asks).fetchone():
        raise Failed(f"has the {found[0]} {found[1]!r:.60}, which nbgrader does not make: remove it, and run it again")


def _knows_students(db: sqlite3.Connection) -> bool:
    return "id" in {row[1] for row in db.execute("PRAGMA table_info(student)")}


def _references(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """The columns that name a student."""
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    keys = [(table, key) for table in tables for key in db.execute(f'PRAGMA foreign_key_list("{table}")')]
    return [(f'"{table}"', f'"{key[3]}"') for table, key in keys if key[2] == "student"]


# -- both


def _swap(db: sqlite3.Connection, table: str, column: str, names: Mapping[str, str]) -> None:
    """Replace old names by new ones, all at once: A may become B while B becomes C."""
    update = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"
    between = {old: f"\x1f{number}" for number, old in enumerate(names)}
    db.executemany(update, [(between[old], old) for old in names])
    db.executemany(update, [(new, between[old]) for old, new in names.items()])


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. (By itself Python's sqlite3 begins no transaction for a PRAGMA.)"""
    db.isolation_level = None
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
