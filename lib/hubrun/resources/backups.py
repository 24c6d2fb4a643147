"""Backups of a site: the repository, its password, the first of them, and what is restored. The server's own command does the work."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts, unified
from hubrun.redaction.secret import Secret
from hubrun.resources.rotated import due
from hubrun.server_paths import BACKUP, BACKUP_CREDENTIALS, BACKUP_ENV, BACKUP_NEXT, BACKUP_SETTINGS, BACKUP_STATE
from hubrun.shell import quote

# Compared by a digest with a salt that is new each time: what is printed says nothing of a secret. One that others than root
# may read is none.
_ACCESS = f"""
salt=$(head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
echo "salt=$salt"
for file in {{}}; do
    [ "$(stat -c '%a|%U:%G' "$file" 2> /dev/null)" = '600|root:root' ] || continue
    echo "$file=$({{ printf %s "$salt"; cat "$file"; }} | sha256sum | cut -d' ' -f1)"
done
! grep -qs '^RESTIC_PASSWORD=.' {BACKUP_ENV} || echo password=yes
[ ! -e {BACKUP_SETTINGS} ] || echo "text=$(base64 -w0 < {BACKUP_SETTINGS})"
"""
# The first copies all that there is, over a line that may be slow.
_HOURS = 12
# One that goes on, after the connection of an earlier run was lost, is waited for.
_RUN = """
systemctl start hubrun-backup.service && exit 0
journalctl -u hubrun-backup.service -n 20 --no-pager -o cat | grep -v '^hubrun-backup.service:'
exit 1
"""


@dataclass(frozen=True)
class BackupAccess(Resource):
    """The settings of backups on the server, and what it takes to open their repository; kept only if all of it does.

    settings: the text of BACKUP_SETTINGS. password, credentials: None for those that are there; a password that there is
    none of is made on the server. new: where there is no repository yet, it is made.
    """

    settings: str
    password: Secret | None
    credentials: Secret | None
    new: bool

    label_format = "the way to the backups"

    @override
    def probe(self) -> str:
        return quote(_ACCESS, [path for path, _ in self._secrets])

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        given = {}
        what = []
        if now.get("text") is None or base64.b64decode(now["text"]).decode(errors="replace") != self.settings:
            given[BACKUP_SETTINGS] = self.settings
            what.append("settings")
        for path, secret in self._secrets:
            if secret and now.get(path) != hashlib.sha256(f"{now['salt']}{secret.reveal()}".encode()).hexdigest():
                given[path] = secret.reveal()
                what.append(f"the {secret.name.replace('_', ' ')} that you gave")
        if not self.password and "password" not in now:
            what.append("a new password, which is the key to all backups (see the last check)")
        if not what:
            return []
        old = base64.b64decode(now.get("text", "")).decode(errors="replace")
        data = json.dumps({PurePosixPath(path).name: text for path, text in given.items()}).encode()
        shown = f"editor {BACKUP_SETTINGS} {BACKUP_ENV}; restic cat config"
        diff = unified(BACKUP_SETTINGS, old, self.settings) if old != self.settings else ""
        script = f"{BACKUP} accept{' new' * self.new}"
        return [
            Action(
                f"open the repository with {', '.join(what)}; keep what opens it",
                script,
                shown,
                data,
                diff,
                seconds=300,
            )
        ]

    @property
    def _secrets(self) -> list[tuple[str, Secret | None]]:
        return [(BACKUP_ENV, self.password), (BACKUP_CREDENTIALS, self.credentials)]


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


@dataclass(frozen=True)
class FirstBackup(Resource):
    """There is a backup at `repository`, by the unit that makes one each night."""

    repository: str

    label_format = "a first backup"

    @override
    def probe(self) -> str:
        return quote(
            f"""grep -qsF -e {{}} {BACKUP_STATE} && sed -nE 's/^ "last_ok": "([^"]+)".*/last_ok=\\1/p' {BACKUP_STATE}""",
            f'"repository": "{self.repository}"',
        )

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
