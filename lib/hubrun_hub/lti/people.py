"""What the LMS called each person at their last launch, so that a change of `lti_username_key` loses nobody's files.

Somebody's name on the hub is made from one field of the launch. When the operator chooses another field, each person
gets another name, and with it an empty home, unless it is known who they are under the new field. Therefore the values
of all fields that may be chosen are kept for each hub user, the last one of each: SIS id, login, e-mail address, and
the LMS's own ids. This is personal data. It stays in this one file on the hub's own server
(/var/lib/jupyterhub/lti_people.sqlite), which only the hub's account can read, is used for renaming, and to
tell whether a name still means the same person, and goes when the hub's user is deleted. It never goes into the log.

Only the standard library: the program that compares names on the server (hubrun_hub/renaming) uses this too.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

# The fields, by their names in LTI 1.1, that lti_username_key may sensibly name (the table in runbook 02).
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
# Fields in which LTI 1.1 and 1.3 say different things of the same person: the value of each version is kept.
DIFFERENT_BY_VERSION = ("user_id",)

# left_as_is: whom the operator decided to leave with this other name before them, until they launch as `user` again.
SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (
    user TEXT, field TEXT, version TEXT, value TEXT, consumer TEXT, prefix TEXT, at REAL,
    PRIMARY KEY (user, field, version)
);
CREATE TABLE IF NOT EXISTS left_as_is (user TEXT PRIMARY KEY, name TEXT);
"""


class People:
    """The file `path`; it is made, readable for its owner alone, when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(
        self, user: str, identities: Mapping[str, str], *, version: str, consumer: str, prefix: str, now: float
    ) -> None:
        """Keep what a launch in this version of LTI ("1.1", "1.3") says of `user`: field → value. `now`: s since 1970.

        A field that the launch does not have keeps its last value. Raises sqlite3.Error, OSError.
        """
        rows = [
            (user, field, version if field in DIFFERENT_BY_VERSION else "", value, consumer, prefix, now)
            for field, value in identities.items()
        ]
        with closing(self._open()) as db, db:
            db.executemany("INSERT OR REPLACE INTO identity VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            db.execute("DELETE FROM left_as_is WHERE user = ?", (user,))

    def holder(self, user: str, *, version: str, consumer: str) -> str:
        """The LMS's own id (`user_id`) of the person who last launched as `user` from this consumer; "" for nobody.

        Raises sqlite3.Error, OSError.
        """
        asks = "SELECT value FROM identity WHERE (user, field, version, consumer) = (?, 'user_id', ?, ?)"
        with closing(self._open()) as db:
            found = db.execute(asks, (user, version, consumer)).fetchone()
        return str(found[0]) if found else ""

    def forget(self, user: str) -> None:
        """Remove what is kept of `user`. Raises sqlite3.Error, OSError."""
        with closing(self._open()) as db, db:
            db.execute("DELETE FROM identity WHERE user = ?", (user,))
            db.execute("DELETE FROM left_as_is WHERE user = ?", (user,))

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        # Opened for each launch: a file that was restored, or removed, counts at once. The hub waits meanwhile.
        db = sqlite3.connect(self.path, timeout=1)
        db.executescript(SCHEMA)
        return db
