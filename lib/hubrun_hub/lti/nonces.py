"""Launches that were used, so that none is used twice; also not after a restart of the hub.

In a small database of its own. Only launches with a valid signature get here, and each stays no longer than it would
be accepted: strangers cannot fill it.
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
        return db

    def use(self, scope: str, nonce: str, now: float, until: float) -> bool:
        """Whether `nonce` was not used before in `scope`; from now on it was, until the time `until` (s since 1970)."""
        digest = hashlib.sha256(f"{len(scope)}:{scope}{nonce}".encode("utf-8", "surrogatepass")).digest()
        self._db.execute("DELETE FROM nonce WHERE until < ?", (now,))
        added = self._db.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?)", (digest, until))
        return added.rowcount == 1

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM nonce").fetchone()[0])
