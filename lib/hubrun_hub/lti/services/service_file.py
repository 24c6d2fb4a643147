"""The file of services, /var/lib/jupyterhub/lti_services.sqlite: what launches said, and what was sent since.

A course is known by the name of its group without "course-" (`groups.course_group`), a link by the LMS's id of it, and a
person by their hub user. Each person's own source id of LTI 1.1 goes with the address at which it is good: whoever could
write a false one into a launch of theirs gains no more than that their own grade goes there.

Only the hub's account can read it, and it goes to nobody's server. What is a person's goes with their hub user.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..roles import Part
from . import lms_dates
from .claims import Services
from .roster import Member

VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS course (
    course TEXT PRIMARY KEY, consumer TEXT NOT NULL, client_id TEXT NOT NULL, lineitems TEXT NOT NULL,
    memberships TEXT NOT NULL, scopes TEXT NOT NULL, roster_at REAL NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS link (
    course TEXT, link TEXT, title TEXT NOT NULL, lineitem TEXT NOT NULL, PRIMARY KEY (course, link)
);
CREATE TABLE IF NOT EXISTS person (course TEXT, user TEXT, lti_user TEXT NOT NULL, PRIMARY KEY (course, user));
CREATE TABLE IF NOT EXISTS outcome (
    course TEXT, link TEXT, user TEXT, consumer TEXT NOT NULL, url TEXT NOT NULL, sourcedid TEXT NOT NULL,
    PRIMARY KEY (course, link, user)
);
CREATE TABLE IF NOT EXISTS chosen (course TEXT, assignment TEXT, link TEXT NOT NULL, PRIMARY KEY (course, assignment));
CREATE TABLE IF NOT EXISTS roster (
    course TEXT, lti_user TEXT, name TEXT NOT NULL, student INTEGER NOT NULL, active INTEGER NOT NULL, user TEXT NOT NULL,
    PRIMARY KEY (course, lti_user)
);
CREATE TABLE IF NOT EXISTS sent (
    number INTEGER PRIMARY KEY, course TEXT NOT NULL, at REAL NOT NULL, sender TEXT NOT NULL, assignment TEXT NOT NULL,
    user TEXT NOT NULL, points REAL NOT NULL, maximum REAL NOT NULL, failed TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS sent_of ON sent (course, assignment, user, number);
"""
_OF_A_PERSON = ("person", "outcome", "sent", "due")


class CourseServices(NamedTuple):
    """Where the services of LTI 1.3 of a course are; "" for those that the LMS does not offer."""

    consumer: str
    client_id: str
    lineitems: str
    memberships: str
    scopes: tuple[str, ...]
    roster_at: float


class Listed(NamedTuple):
    """A student in a list of the LMS's. user: of the hub, "" where it is not known; active: in the course still."""

    name: str
    user: str
    active: bool


class Link(NamedTuple):
    """A link of a course that has a column: by its own line item (1.3), or by source ids of people (1.1)."""

    link: str
    title: str
    lineitem: str


class Sent(NamedTuple):
    """A line of the course's record: who sent which grade of whom, when (s since 1970), and why it failed, "" if it did not."""

    at: float
    sender: str
    assignment: str
    user: str
    points: float
    maximum: float
    failed: str = ""


class ServiceFile:
    """The file `path`; it is made, readable for its owner alone, when it is not there. All methods raise sqlite3.Error, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, course: str, consumer: str, user: str, lti_user: str, student: bool, said: Services) -> None:
        """Keep what a launch says of its course, its link, and of its person if they are a student there."""
        with self._open() as db:
            if said.lineitems or said.memberships:
                row = (course, consumer, said.client_id, said.lineitems, said.memberships, " ".join(said.scopes))
                db.execute(
                    "INSERT INTO course (course, consumer, client_id, lineitems, memberships, scopes) VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET consumer = excluded.consumer, client_id = excluded.client_id,"
                    " lineitems = excluded.lineitems, memberships = excluded.memberships, scopes = excluded.scopes",
                    row,
                )
            if said.link and (said.lineitem or said.sourcedid):
                db.execute(
                    "INSERT INTO link VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET title = excluded.title,"
                    " lineitem = CASE excluded.lineitem WHEN '' THEN lineitem ELSE excluded.lineitem END",
                    (course, said.link, said.title, said.lineitem),
                )
            if student and said.client_id:
                db.execute("INSERT OR REPLACE INTO person VALUES (?, ?, ?)", (course, user, lti_user))
                # Who joined since the LMS was asked has not left: it is asked again.
                db.execute(
                    "UPDATE course SET roster_at = min(roster_at, 1) WHERE course = ?1 AND NOT EXISTS"
                    " (SELECT 1 FROM roster WHERE course = ?1 AND lti_user = ?2 AND student AND active)",
                    (course, lti_user),
                )
            if student and said.sourcedid:
                row = (course, said.link, user, consumer, said.outcome_url, said.sourcedid)
                db.execute("INSERT OR REPLACE INTO outcome VALUES (?, ?, ?, ?, ?, ?)", row)

    def note_date(self, course: str, user: str, part: Part, date: lms_dates.LmsDate) -> None:
        """Keep when a launch says that an assignment is due."""
        with self._open() as db:
            lms_dates.note(db, course, user, part, date)

    def course(self, course: str) -> CourseServices | None:
        """Where the services of a course are; None where no launch of LTI 1.3 said so."""
        asks = "SELECT consumer, client_id, lineitems, memberships, scopes, roster_at FROM course WHERE course = ?"
        with self._open() as db:
            found = db.execute(asks, (course,)).fetchone()
        if found is None:
            return None
        consumer, client_id, lineitems, memberships, scopes, at = found
        return CourseServices(consumer, client_id, lineitems, memberships, tuple(scopes.split()), at)

    def links(self, course: str) -> list[Link]:
        """The links of a course that have a column, by their titles."""
        with self._open() as db:
            asks = "SELECT link, title, lineitem FROM link WHERE course = ? ORDER BY title, link"
            return [Link(*row) for row in db.execute(asks, (course,))]

    def choose(self, course: str, assignment: str, link: str) -> None:
        """The grades of an assignment go to the column of this link; "": to one of their own."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO chosen VALUES (?, ?, ?)", (course, assignment, link))

    def chosen(self, course: str) -> dict[str, str]:
        """Assignment → link, of those for which one was chosen."""
        with self._open() as db:
            return dict(db.execute("SELECT assignment, link FROM chosen WHERE course = ?", (course,)))

    def lti_users(self, course: str) -> dict[str, str]:
        """Hub user → the LMS's id of the person (LTI 1.3), of the students who launched."""
        with self._open() as db:
            return dict(db.execute("SELECT user, lti_user FROM person WHERE course = ?", (course,)))

    def outcomes(self, course: str, link: str) -> dict[str, tuple[str, str, str]]:
        """Hub user → consumer, address and source id, of the students who launched this link with LTI 1.1."""
        asks = "SELECT user, consumer, url, sourcedid FROM outcome WHERE course = ? AND link = ?"
        with self._open() as db:
            return {user: (consumer, *rest) for user, consumer, *rest in db.execute(asks, (course, link))}

    def keep_roster(self, course: str, members: Iterable[Member], users: Mapping[str, str], now: float) -> None:
        """Keep who is in a course; users: id → hub user, where that is known. Who is not listed any more has left."""
        with self._open() as db:
            db.execute("UPDATE roster SET active = 0 WHERE course = ?", (course,))
            db.executemany(
                "INSERT OR REPLACE INTO roster VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (course, each.id, each.name, each.part is Part.STUDENT, each.active, users.get(each.id, ""))
                    for each in members
                ],
            )
            db.execute("UPDATE course SET roster_at = ? WHERE course = ?", (now, course))

    def roster(self, course: str) -> dict[str, Listed]:
        """Those whom the LMS listed as students of a course, by its id of them."""
        with self._open() as db:
            asks = "SELECT lti_user, name, user, active FROM roster WHERE course = ? AND student"
            return {id: Listed(name, user, bool(active)) for id, name, user, active in db.execute(asks, (course,))}

    def note_sent(self, course: str, lines: Iterable[Sent]) -> None:
        """Write lines into the record of the course."""
        with self._open() as db:
            db.executemany(
                "INSERT INTO sent (course, at, sender, assignment, user, points, maximum, failed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(course, *line) for line in lines],
            )

    def sent(self, course: str, latest: int = 1000) -> list[Sent]:
        """The record of the course, the latest lines first."""
        asks = (
            "SELECT at, sender, assignment, user, points, maximum, failed FROM sent WHERE course = ?"
            " ORDER BY number DESC LIMIT ?"
        )
        with self._open() as db:
            return [Sent(*row) for row in db.execute(asks, (course, latest))]

    def last_sent(self, course: str, assignment: str) -> dict[str, float]:
        """Hub user → what was sent last and arrived, as a part of the whole."""
        asks = "SELECT user, points / maximum FROM sent WHERE (course, assignment, failed) = (?, ?, '') ORDER BY number"
        with self._open() as db:
            return dict(db.execute(asks, (course, assignment)))

    def forget(self, user: str) -> None:
        """Remove what is kept of a person."""
        with self._open() as db:
            who = "user = ?1 OR lti_user IN (SELECT lti_user FROM person WHERE user = ?1)"
            db.execute(f"DELETE FROM roster WHERE {who}", (user,))  # nosec B608
            for table in _OF_A_PERSON:
                db.execute(f"DELETE FROM {table} WHERE user = ?", (user,))  # nosec B608

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        with closing(sqlite3.connect(self.path, timeout=1)) as db, db:
            ((version,),) = db.execute("PRAGMA user_version")
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"{self.path} is of version {version}, and this hub knows {VERSION}")
            if version == 0:
                db.executescript(f"{_SCHEMA};{lms_dates.TABLE}; PRAGMA user_version = {VERSION}")
            yield db
