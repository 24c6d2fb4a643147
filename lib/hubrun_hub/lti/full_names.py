"""What the LMS calls people, for their teachers: formgrader shows it beside the name of the hub's user.

It is in a file of its own (/var/lib/jupyterhub/lti_full_names.sqlite), which only the hub's account can read, and goes
with the hub's user. Only those who teach a course are told, the names of that course (`handlers.Names`), and nothing
else is done with it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

_LENGTH = 100
_SCHEMA = "CREATE TABLE IF NOT EXISTS full_name (user TEXT PRIMARY KEY, name TEXT)"


def full_name(full: object, given: object = None, family: object = None) -> str:
    """Return a person's name as one text, `given` and `family` with a tab between them where both are known.

    People write their own names in many LMSs, and teachers export tables of them: what a spreadsheet takes for a formula
    (OWASP, "CSV Injection") and characters that nobody sees are left out.
    """
    parts = [_clean(given), _clean(family)]
    return "\t".join(parts) if all(parts) else _clean(full) or " ".join(filter(None, parts))


def _clean(text: object) -> str:
    if not isinstance(text, str):
        return ""
    kept = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text[:1000])
    return re.sub(r"^[\s=+\-@]+", "", " ".join(unicodedata.normalize("NFC", kept).split()))[:_LENGTH].strip()


class FullNames:
    """The file `path`; it is made, readable for its owner alone, when it is not there. All methods raise sqlite3.Error, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, user: str, name: str) -> None:
        """Keep what the LMS calls `user`; nothing is written where it is known, or the LMS does not say it."""
        if name and self.of([user]) != {user: name}:
            with closing(self._open()) as db, db:
                db.execute("INSERT OR REPLACE INTO full_name VALUES (?, ?)", (user, name))

    def of(self, users: Iterable[str]) -> dict[str, str]:
        """The names of those of the `users` of whom one is known."""
        with closing(self._open()) as db:
            find = "SELECT name FROM full_name WHERE user = ?"
            found = {user: db.execute(find, (user,)).fetchone() for user in users}
        return {user: str(row[0]) for user, row in found.items() if row}

    def forget(self, user: str) -> None:
        """Remove the name of `user`."""
        with closing(self._open()) as db, db:
            db.execute("DELETE FROM full_name WHERE user = ?", (user,))

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        db = sqlite3.connect(self.path, timeout=1)
        db.execute(_SCHEMA)
        return db
