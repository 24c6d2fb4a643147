"""Launches that were used, so that none is used twice; also not after a restart of the hub.

In a small database of its own. Only launches with a valid signature get here, and each stays about as long as it would
be accepted: strangers cannot fill it. Whom a launch let in is kept beside it: a second click of that very person is no
replay (`click_handlers.Again`).
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path


class Nonces:
    """Used nonces in the file `path`. A file that is damaged is begun again: what it knew is of use for minutes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=5, isolation_level=None)
        # Not flushed to the disk: it must outlive the hub's process, not the machine's power.
        db.execute("PRAGMA synchronous = OFF")
        # The journal stays a file: to make one takes an inode, and the last one may be gone.
        db.execute("PRAGMA journal_mode = PERSIST")
        db.execute("CREATE TABLE IF NOT EXISTS nonce (digest BLOB PRIMARY KEY, until REAL) WITHOUT ROWID")
        db.execute("CREATE TABLE IF NOT EXISTS entered (digest BLOB PRIMARY KEY, user TEXT, until REAL) WITHOUT ROWID")
        return db

    def use(self, digest: bytes, now: float, until: float) -> bool:
        """Whether the nonce of `digest` was not used before; from now on it was, until the time `until` (s since 1970)."""
        self._db.execute("DELETE FROM nonce WHERE until < ?", (now,))
        self._db.execute("DELETE FROM entered WHERE until < ?", (now,))
        added = self._db.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?)", (digest, until))
        return added.rowcount == 1

    def is_used(self, digest: bytes, now: float) -> bool:
        """Whether it was used before, and is still remembered at the time `now`."""
        asks = "SELECT 1 FROM nonce WHERE digest = ? AND until >= ?"
        return self._db.execute(asks, (digest, now)).fetchone() is not None

    def free(self, digest: bytes) -> None:
        """Forget a launch that was used and let nobody in: it may be used once more."""
        self._db.execute("DELETE FROM nonce WHERE digest = ? AND digest NOT IN (SELECT digest FROM entered)", (digest,))

    def note_user(self, digest: bytes, user: str) -> None:
        """Keep whom a launch, which was used just now, let in; for as long as its nonce."""
        self._db.execute(
            "INSERT OR REPLACE INTO entered SELECT digest, ?, until FROM nonce WHERE digest = ?", (user, digest)
        )

    def user_of(self, digest: bytes) -> str:
        """The user whom a launch let in; "" where it let nobody in, or is not remembered."""
        found = self._db.execute("SELECT user FROM entered WHERE digest = ?", (digest,)).fetchone()
        return str(found[0]) if found else ""

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM nonce").fetchone()[0])


def digest_of(scope: str, nonce: str) -> bytes:
    """What stands for a nonce, which counts once in its scope: as long for each, whatever the LMS sent."""
    return hashlib.sha256(f"{len(scope)}:{scope}{nonce}".encode("utf-8", "surrogatepass")).digest()
