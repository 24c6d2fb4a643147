"""Backups of a site: what the server needs for them, the timer that makes them, and tests of what there is."""

from __future__ import annotations

import json
import re

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources.backups import BackupAccess, BackupRepository, FirstBackup
from hubrun.resources.files import Directory, File
from hubrun.resources.packages import Packages
from hubrun.resources.services import Service
from hubrun.resources.ssh_identity import SshIdentity
from hubrun.sections.hub import config
from hubrun.server_paths import (
    BACKUP,
    BACKUP_ENV,
    BACKUP_SSH,
    BACKUP_STATE,
    BACKUP_TIMER,
    BACKUP_UNIT,
    HUB_CODE,
    program,
)

PASSWORD = "RESTIC_PASSWORD"  # nosec B105 - a name
# restic's documentation, "Environment Variables".
_CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "rest": ("RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD"),
}
_MORE = {"s3": ("AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"), "rest": ()}
_COMMAND = f"""\
#!/bin/sh
# Written by hubrun (runbook 10_backup): changes here are put back.
[ "$(id -u)" = 0 ] || {{ echo "hubrun-backup is root's: sudo hubrun-backup $*" >&2; exit 1; }}
exec {program("backup")} "$@"
"""


def code_test() -> Test:
    """A test that the server has the program of this version, which 02 brings."""
    return Test(
        "the server has the program for backups", f"[ -e {HUB_CODE}/backup/access.py ] && echo there", prints="^there$",
        remedy="Run ./hubrun install first: the server was set up by a version before",
    )  # fmt: skip


def access(site: Site, new: bool = False) -> list[Resource]:
    """What it takes to reach the backups: restic, the command, secrets and settings.

    new: where there is no repository yet, it is made. Raises BadInput where a parameter is missing, or what it points
    at cannot be right.
    """
    target = site.backup_target
    if not target:
        raise BadInput("backup_to is not set", "parameters", "Say where backups go: runbook 10_backup has the choices")
    sftp = target.kind == "sftp"
    identity = SshIdentity(
        BACKUP_SSH, target.host, target.port, site.backup_host_fingerprint, f"hubrun-backup@{site.domain}"
    )
    return [
        Packages("restic", *(["openssh-client"] if sftp else [])),
        File(BACKUP, _COMMAND, mode=0o755),
        Directory("/var/lib/hubrun"),
        *([identity] if sftp else []),
        BackupAccess(settings(site), _password(site), _credentials(site, target.kind), new),
    ]


def settings(site: Site) -> str:
    """The text of BACKUP_SETTINGS (hubrun_hub/backup/repository.py, Settings)."""
    return json.dumps(
        {
            "site": site.site, "repository": site.backup_to, "image": site.image_name, "hub_user": site.hub_user,
            "keep": {"daily": site.backup_keep_daily, "weekly": site.backup_keep_weekly, "monthly": site.backup_keep_monthly},
            "also": [site.tls_certificate, site.tls_key] if site.tls == "files" else [],
            "environment": site.proxy_environment,
        },
        indent=2,
    ) + "\n"  # fmt: skip


def backups(site: Site) -> list[Resource]:
    """The repository, the timer, and a first backup."""
    return [
        BackupRepository(),
        config.unit(site, BACKUP_UNIT),
        config.unit(site, BACKUP_TIMER),
        Service("hubrun-backup.timer"),
        FirstBackup(site.backup_to),
    ]


def tests(site: Site) -> list[Test]:
    """Tests that backups are made, are young and can be restored; and that somebody has the key, if the server made it."""
    found = [
        Test(
            "the next backup has its time", "systemctl list-timers --no-legend hubrun-backup.timer",
            r"^[A-Z]\w\w \d{4}-\d\d-\d\d .*hubrun-backup", remedy="systemctl status hubrun-backup.timer",
        ),
        Test(
            "the last backup is whole, and from the last 26 hours",
            f"""sed -nE 's/^ "last_error": (".*"),?$/\\1/p' {BACKUP_STATE}
            last=$(sed -nE 's/^ "last_ok": "(.*)",?$/\\1/p' {BACKUP_STATE})
            [ $(($(date +%s) - $(date -d "$last" +%s))) -lt 93600 ] && grep -q '^ "last_error": ""' {BACKUP_STATE} && echo "of $last" """,
            prints="^of 20", remedy="See journalctl -u hubrun-backup; when that is put right: systemctl start hubrun-backup",
        ),
        Test(
            "a home was restored for a test, and was the same",
            f"""grep -A 5 '"test_restore"' {BACKUP_STATE}""", prints='"ok": true', remedy="See journalctl -u hubrun-backup",
        ),
    ]  # fmt: skip
    return found if site.backup_password() else [*found, _key_test()]


def _key_test() -> Test:
    return Test(
        "somebody has the recovery key", f"[ /var/lib/hubrun/backup-key-shown -nt {BACKUP_ENV} ] && echo shown", prints="^shown$",
        remedy="The server's password is on the server alone, and without it no backup can be read. On the server: sudo "
        "hubrun-backup key. Put what it shows where it is safe and the server is not; then run this again",
    )  # fmt: skip


def _password(site: Site) -> Secret | None:
    given = site.backup_password()
    if given is None:
        return None
    value = given.reveal()
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value):
        raise BadInput(
            "the password of the backups must be one line of plain letters, digits and signs",
            "parameter backup_password_file or backup_password_env",
        )
    return Secret(f"{PASSWORD}={value}\n", "backup_password")


def _credentials(site: Site, kind: str) -> Secret | None:
    given = site.backup_credentials()
    if given is None:
        return None
    where = "parameter backup_credentials_file or backup_credentials_env"
    needed = _CREDENTIALS.get(kind)
    if not needed:
        raise BadInput(
            f"there are no credentials for {site.backup_to}", where, "Leave it out: they are for s3 and rest"
        )
    lines = [line.strip() for line in given.reveal().splitlines() if line.strip()]
    pairs = [line.partition("=") for line in lines]
    # What a program says of a line that it does not understand must not show it.
    for name, _, value in pairs:
        if re.search("SECRET|TOKEN|PASSWORD", name) and len(value) >= 8:
            Secret(value, f"backup_credentials {name}")
    names = [name for name, sign, value in pairs if sign and re.fullmatch("[!-~]+", value)]
    if any(name not in (*needed, *_MORE[kind]) for name, *_ in pairs) or not set(needed) <= set(names):
        raise BadInput(
            f"the credentials for {kind} are not lines {'=… and '.join(needed)}=…", where, "Runbook 10 shows them"
        )
    return Secret("".join(f"{line}\n" for line in lines), "backup_credentials")
