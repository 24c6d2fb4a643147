"""The way to a repository: its settings, its password and its credentials, which count together or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path

from hubrun_hub.backup.password import write
from hubrun_hub.backup.repository import CREDENTIALS, FOLDER, PASSWORD, READY, WRONG_PASSWORD, Repository, load
from hubrun_hub.failed import Failed

_SETTINGS = "backup.json"
# In this order they take their places: what a kill leaves, the next run finds to be otherwise than it should be.
_FILES = (CREDENTIALS.name, PASSWORD.name, _SETTINGS)


def accept(given: str, new: bool, folder: Path = FOLDER) -> None:
    """Try another way to a repository, and keep it only if it leads there. Raises Failed; then the present one stays.

    given: JSON, {name of a file: its text}; what is not given is as it was, and a password that there is none of is made.
    new: where there is nothing yet, the repository is made.
    """
    tried = folder / "backup-tried"
    # With that of a run that was killed there may be a repository by now.
    left = (tried / PASSWORD.name).read_text() if (tried / PASSWORD.name).exists() else ""
    tried.mkdir(mode=0o700, exist_ok=True)
    try:
        texts = {name: (folder / name).read_text() for name in _FILES if (folder / name).exists()} | json.loads(given)
        made = PASSWORD.name not in texts
        texts.setdefault(PASSWORD.name, left or f"RESTIC_PASSWORD={secrets.token_hex(32)}\n")
        for name in _FILES:
            if name not in texts:
                (tried / name).unlink(missing_ok=True)
            else:
                write(tried / name, texts[name])
        settings = load(tried)
        try:
            if Repository(settings, tried).look(new) != READY:
                Repository(settings, tried).make()
        except Failed as error:
            if made and WRONG_PASSWORD in str(error):
                raise Failed(
                    f"{settings.repository}: there are backups already, and this server does not have their password: set "
                    "backup_password_file, or backup_password_env, to the one of their recovery key, or backup_to to an "
                    "empty place"
                ) from None
            raise
        for name in _FILES:
            if (tried / name).exists():
                os.replace(tried / name, folder / name)
    finally:
        shutil.rmtree(tried, ignore_errors=True)
