"""What runbooks 10 and 11 ask for by their parameters, and the shell that stands between a server and its backups."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hubrun import params
from hubrun.desired.resource import Action, Resource
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources import backups
from hubrun.resources.backups import BackupAccess, BackupRepository, FirstBackup, Restored
from hubrun.resources.ssh_identity import SshIdentity
from hubrun.sections.backup import backup_setup, restoring
from hubrun_hub.backup.repository import Settings

FINGERPRINT = "SHA256:" + "A" * 43
AWS = "AWS_ACCESS_KEY_ID=AKIA1\nAWS_SECRET_ACCESS_KEY=very-secret-1\n"


def site(**changes: Any) -> Site:
    return params.build({"site": "bio", "domain": "hub.example.edu", **changes}, "here")


def kinds(resources: list[Resource]) -> list[type[Resource]]:
    return [type(each) for each in resources]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backup_to": "nas:/x"}, "backup_to is 'nas:/x': must be a whole path on the server"),
        ({"backup_to": "rest:https://me:pass@nas/"}, "backup_to is"),
        ({"backup_to": "sftp:me@nas:x"}, "needs backup_host_fingerprint"),
        ({"backup_to": "s3:https://s3.example.edu/b"}, "needs backup_credentials_env"),
        ({"restore_date": "20.11.2026"}, "must be a day, such as 2026-11-20"),
        ({"restore_site": "newest"}, "must be latest, or a day"),
        ({"restore_course": "a/b"}, "must be the id of a course"),
        ({"restore_path": "../x"}, "restore_path is"),
        ({"backup_keep_daily": 0}, "backup_keep_daily is 0"),
    ],
)
def test_parameters_that_cannot_be_right_are_refused_before_anything_is_touched(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        site(**changes)
    assert says in str(caught.value) and "pass@" not in str(caught.value)


def test_without_backup_to_there_is_nothing_to_do_and_that_is_said() -> None:
    with pytest.raises(BadInput, match="backup_to is not set"):
        backup_setup.access(site())


@pytest.mark.parametrize(
    ("to", "text", "says"),
    [
        ("s3:https://s3.example.edu/b", "AWS_ACCESS_KEY_ID=a\n", "AWS_SECRET_ACCESS_KEY="),
        ("s3:https://s3.example.edu/b", AWS + "LD_PRELOAD=/x\n", "are not lines"),
        ("s3:https://s3.example.edu/b", AWS + "just-a-secret\n", "are not lines"),
        ("rest:https://nas.example.edu/", AWS, "RESTIC_REST_USERNAME="),
        ("/mnt/backup", AWS, "there are no credentials for /mnt/backup"),
    ],
)
def test_credentials_that_restic_would_not_understand_are_refused_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, to: str, text: str, says: str
) -> None:
    monkeypatch.setenv("CREDENTIALS", text)
    with pytest.raises(BadInput) as caught:
        backup_setup.access(site(backup_to=to, backup_credentials_env="CREDENTIALS"))
    assert says in str(caught.value) and "secret-1" not in str(caught.value) and "just-a" not in str(caught.value)


def test_what_the_way_to_each_place_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("four plain words\n")
    monkeypatch.setenv("CREDENTIALS", AWS)
    folder = kinds(backup_setup.access(site(backup_to="/mnt/backup")))

    def asked(of: Site) -> BackupAccess:
        (found,) = (each for each in backup_setup.access(of) if isinstance(each, BackupAccess))
        return found

    assert SshIdentity not in folder
    given = site(backup_to="/mnt/backup", backup_password_file=str(tmp_path / "password"))
    assert asked(given).password and not asked(site(backup_to="/mnt/backup")).password
    sftp = kinds(backup_setup.access(site(backup_to="sftp:me@nas:x", backup_host_fingerprint=FINGERPRINT)))
    assert SshIdentity in sftp
    assert asked(site(backup_to="s3:https://s3.example.edu/b", backup_credentials_env="CREDENTIALS")).credentials
    # Who gave the password has it.
    assert len(backup_setup.tests(given)) == len(backup_setup.tests(site(backup_to="/mnt/backup"))) - 1


def test_the_settings_are_those_that_the_server_reads() -> None:
    read = Settings(
        **json.loads(
            backup_setup.settings(site(backup_to="/mnt/backup", tls="files", tls_certificate="/c", tls_key="/k"))
        )
    )
    assert (read.repository, read.also, read.keep["daily"]) == ("/mnt/backup", ["/c", "/k"], 7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"restore_person": "ada"}, ("person", "ada", "latest")),
        ({"restore_person": "ada", "restore_path": "w 1/a", "restore_date": "2026-11-20"}, ("person", "ada", "2026-11-20", "w 1/a")),
        ({"restore_course": "bio"}, ("course", "bio", "latest")),
        ({"restore_site": "latest"}, ("site", "latest")),
        ({"restore_site": "2026-11-20", "restore_over_people": True}, ("site", "2026-11-20", "over")),
        ({}, ()),
        ({"restore_path": "x"}, ()),
        ({"restore_course": "bio", "restore_path": "x"}, ()),
        ({"restore_person": "ada", "restore_site": "latest"}, ()),
        ({"restore_site": "latest", "restore_date": "2026-11-20"}, ()),
    ],
)  # fmt: skip
def test_one_thing_is_restored_at_a_time(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    if words:
        assert restoring.words(site(**changes)) == words
        return
    with pytest.raises(BadInput, match="what is to be restored is one thing"):
        restoring.words(site(**changes))


RESTORED = Restored(("person", "ada", "latest", "week 1"))


@pytest.mark.parametrize(
    ("resource", "found", "titles"),
    [
        (BackupRepository(), "said=ready", []),
        (BackupRepository(), "said=nothing is there yet", ["make the repository for backups"]),
        (FirstBackup("/mnt/backup"), "last_ok=2026-11-20T01:30:00+00:00", []),
        (FirstBackup("/mnt/backup"), "", ["make the first backup, and restore a home of it for a test"]),
        (RESTORED, "snapshot=1\nday=2026-11-20\nthere=yes\ninto=x", []),
        (RESTORED, "snapshot=1\nday=2026-11-20\nthere=no\ninto=restored-2026-11-20/week 1", ["restore person ada as of 2026-11-20, into restored-2026-11-20/week 1"]),
        (RESTORED, "error: it is not reached", ["restore person ada as of that day"]),
    ],
)  # fmt: skip
def test_plans(resource: Resource, found: str, titles: list[str]) -> None:
    assert [action.title for action in resource.plan(found)] == titles


def sh(script: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["sh", "-c", script], input=data, capture_output=True, check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="its files are root's")
def test_only_what_differs_is_tried_and_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BACKUP_ENV", "BACKUP_CREDENTIALS", "BACKUP_SETTINGS"):
        path = tmp_path / Path(getattr(backups, name)).name
        monkeypatch.setattr(backups, "_ACCESS", backups._ACCESS.replace(getattr(backups, name), str(path)))
        monkeypatch.setattr(backups, name, str(path))
    given = BackupAccess("settings\n", Secret("RESTIC_PASSWORD=first-word\n", "backup_password"), None, new=False)
    made = BackupAccess("settings\n", None, None, new=True)

    def action(access: BackupAccess) -> Action | None:
        actions = access.plan(sh(access.probe()).stdout.decode())
        assert len(actions) < 2 and not [
            each for each in actions if "first-word" in each.script + each.title + each.shown + each.diff
        ]
        return actions[0] if actions else None

    first = action(given)
    assert (
        first
        and first.title == "open the repository with settings, the backup password that you gave; keep what opens it"
    )
    assert first.data and json.loads(first.data) == {
        "backup.json": "settings\n",
        "backup.env": "RESTIC_PASSWORD=first-word\n",
    }
    (tmp_path / "backup.json").write_text("settings\n")
    alone = action(made)
    assert alone and "a new password" in alone.title and alone.data == b"{}" and alone.script.endswith("accept new")
    (tmp_path / "backup.env").write_text("RESTIC_PASSWORD=first-word\n")
    (tmp_path / "backup.env").chmod(0o600)
    assert action(given) is None and action(made) is None
    (tmp_path / "backup.env").chmod(0o644)
    assert action(given)
