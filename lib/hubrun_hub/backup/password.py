"""Another password of the repository, in the place of the present one, which opens it until the new one does.

A run that was killed is carried on from what is there: the new password in NEXT_PASSWORD with the id of the old one's key; a
key of the repository for it; the new password, still with that id, in PASSWORD. The old key goes last.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from dataclasses import replace
from pathlib import Path

from hubrun_hub.backup.repository import FOLDER, NEXT_PASSWORD, PASSWORD, WRONG_PASSWORD, Repository
from hubrun_hub.failed import Failed

_NAME, _OLD, _ROTATED = "RESTIC_PASSWORD", "# instead of key ", "# rotated "


def renew(kept: Repository, given: str = "", folder: Path = FOLDER) -> None:
    """Give the repository another password: `given`, or one that is made here. Raises Failed.

    kept: the repository with the password of the server.
    """
    password, following = folder / PASSWORD.name, folder / NEXT_PASSWORD.name
    new = replace(kept, password=following.name)
    kept.restic("unlock", seconds=600)  # a lock of a run that was killed; others' stay
    if following.exists() and given and _value(following) != given:
        if _opens(new):
            kept.restic("key", "remove", _key(new))
        following.unlink()
    if not following.exists() and not _old(password):
        write(following, f"{_NAME}={given or secrets.token_hex(32)}\n{_OLD}{_key(kept)}\n")
    if following.exists():
        if not _opens(new):
            kept.restic("key", "add", "--new-password-file", "/dev/stdin", data=_value(following))
            new.look()
        os.replace(following, password)
    old = _old(password)
    if old in _keys(kept):
        kept.restic("key", "remove", old)
    # What was given is kept as 10_backup writes it.
    write(password, f"{_NAME}={_value(password)}\n" + ("" if given else f"{_ROTATED}{int(time.time())}\n"))


def _keys(repository: Repository) -> dict[str, bool]:
    """The ids of the repository's keys, and whether it is the one that its password opens."""
    listed = json.loads(repository.restic("key", "list", "--json", seconds=120))
    return {each["id"]: each["current"] for each in listed}


def _key(repository: Repository) -> str:
    return next(id for id, current in _keys(repository).items() if current)


def _opens(repository: Repository) -> bool:
    """Whether its password does. Raises Failed where the repository cannot be reached, or used at all."""
    try:
        repository.look()
    except Failed as error:
        if WRONG_PASSWORD in str(error):
            return False
        raise
    return True


def _value(file: Path) -> str:
    return next(line.partition("=")[2] for line in file.read_text().splitlines() if line.startswith(f"{_NAME}="))


def _old(file: Path) -> str:
    """The key that is to go; "" for none."""
    found = re.search(f"^{_OLD}(\\w+)$", file.read_text(), re.MULTILINE)
    return found[1] if found else ""


def write(file: Path, text: str) -> None:
    """Write a file that root alone reads; it is whole at every moment."""
    new = file.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as to:
        to.write(text)
        to.flush()
        os.fsync(to.fileno())
    os.replace(new, file)
