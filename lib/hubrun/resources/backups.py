"""Backups of a site: the repository, its password, the first of them, and what is restored. The server's own command does the work."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.redaction.secret import Secret
from hubrun.resources.rotated import due
from hubrun.server_paths import BACKUP, BACKUP_ENV, BACKUP_NEXT, BACKUP_STATE
from hubrun.shell import quote

# The first copies all that there is, over a line that may be slow.
_HOURS = 12
# One that goes on, after the connection of an earlier run was lost, is waited for.
_RUN = """
systemctl start hubrun-backup.service && exit 0
journalctl -u hubrun-backup.service -n 20 --no-pager -o cat | grep -v '^hubrun-backup.service:'
exit 1
"""


class BackupRepository(Resource):
    """The repository that the server's settings name, which its password opens."""

    label_format = "the repository for backups"

    @override
    def probe(self) -> str:
        return f"{BACKUP} look new 2>&1 | tail -n 1 | sed 's/^/said=/'"

    @override
    def plan(self, found: str) -> list[Action]:
        said = facts(found).get("said", "")
        if said == "ready":
            return []
        # Where it cannot be used the reason comes once more, and nothing is made.
        return [
            Action("make the repository for backups", f"{BACKUP} look new\n{BACKUP} make", "restic init", seconds=300)
        ]


class FirstBackup(Resource):
    """There is a backup, by the unit that makes one each night."""

    label_format = "a first backup"

    @override
    def probe(self) -> str:
        return f"""sed -nE 's/^ "last_ok": "([^"]+)".*/last_ok=\\1/p' {BACKUP_STATE} 2> /dev/null"""

    @override
    def plan(self, found: str) -> list[Action]:
        if "last_ok" in facts(found):
            return []
        title = "make the first backup, and restore a home of it for a test"
        return [Action(title, _RUN, "systemctl start hubrun-backup", seconds=_HOURS * 3600)]


@dataclass(frozen=True)
class BackupPassword(Resource):
    """The password of the backups is `given`, or one that the server made within a day; the one before opens nothing."""

    given: Secret | None
    salt: str = field(default_factory=lambda: secrets.token_hex(16), compare=False)

    label_format = "the password of the backups"

    @override
    def probe(self) -> str:
        # As of any secret that was given: nothing is printed of it to whoever does not know it and the salt.
        return quote(
            f"""salt={{}}
            [ ! -e {BACKUP_NEXT} ] && ! grep -qs '^# instead of' {BACKUP_ENV} || echo half=1
            sed -n 's/^# rotated /rotated=/p' {BACKUP_ENV}
            password=$(sed -n 's/^RESTIC_PASSWORD=//p' {BACKUP_ENV})
            echo "digest=$(printf %s "$salt$password" | sha256sum | cut -d' ' -f1)"
            echo "now=$(date +%s)" """,
            self.salt,
        )

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        given = self.given.reveal() if self.given else ""
        differs = now.get("digest") != hashlib.sha256(f"{self.salt}{given}".encode()).hexdigest()
        if "half" not in now and not (differs if self.given else due(found)):
            return []
        title = f"give the repository {'the password of yours' if self.given else 'a new password'}, and remove the one before"
        title += " (begun before)" if "half" in now else ""
        words, data = (" given", f"{given}\n".encode()) if self.given else ("", b"")
        shown = "restic key add; restic key remove OLD"
        return [Action(title, f"{BACKUP} password{words}", shown, data, seconds=1800)]


@dataclass(frozen=True)
class Restored(Resource):
    """What the command's words name ("person", "ada", "2026-11-20", "week1") is back on the server."""

    words: tuple[str, ...]

    @property
    @override
    def label(self) -> str:
        return f"restored {' '.join(self.words)}"

    @override
    def probe(self) -> str:
        return quote(f"{BACKUP} find {{}} 2>&1", self.words)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if now.get("there") == "yes":
            return []
        where = f", into {now['into']}" if now.get("into") else ""
        title = f"restore {' '.join(self.words[:2])} as of {now.get('day', 'that day')}{where}"
        shown = quote("hubrun-backup restore {}", self.words)
        return [Action(title, quote(f"{BACKUP} restore {{}}", self.words), shown, seconds=_HOURS * 3600)]
