"""What was begun, and what was done: for the next run, and for a data protection officer."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hubrun_hub.backup import repository, state
from hubrun_hub.failed import Failed
from hubrun_hub.removing import NOTE, RECEIPTS
from hubrun_hub.removing.look import Part
from hubrun_hub.removing.whose import Wanted

_JOURNAL = Path("/etc/systemd/journald.conf.d/hubrun.conf")
# What a backup drops is removed from its disk by the prune of each week (backup/take.py).
_PRUNE = 8


def begin(wanted: Wanted, asked: str, found: Iterable[Part]) -> None:
    """Keep what is begun, before anything is removed."""
    NOTE.parent.mkdir(exist_ok=True)
    state.write({**wanted._asdict(), "asked": asked, "parts": [part._asdict() for part in found], "archive": {}}, NOTE)


def begun() -> dict[str, Any] | None:
    """What was begun and is not done; None where there is nothing."""
    try:
        return dict(json.loads(NOTE.read_text()))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Failed(f"{NOTE} cannot be read: {error}") from None


def wanted_of(note: Mapping[str, Any]) -> Wanted:
    """What a note is about."""
    return Wanted(note["kind"], note["name"], *(tuple(note[name]) for name in ("users", "words", "marks")))


def end(note: Mapping[str, Any], by: str, left: int | None) -> None:
    """Keep the receipt, which names nobody, and forget what was begun.

    left: how many files outside of homes still name them; None where that took too long. Who was removed is in it as a digest that takes long to make, so
    that the same command, and whoever knows the name, finds it again.
    """
    RECEIPTS.mkdir(mode=0o700, exist_ok=True)
    salt = os.urandom(16).hex()
    people = {} if note["kind"] == "person" else {"name": note["name"], "people": len(note["users"])}
    receipt = {
        "kind": note["kind"], **people, "at": state.now(), "by": by,
        "removed": [{key: part[key] for key in ("what", "where", "number", "size")} for part in note["parts"]],
        "archive": note["archive"], "named_in": left, "backups": backups(), "logs": logs(date.today()),
        "salt": salt, "digests": sorted({_digest(salt, each) for each in (note["name"], note["asked"])}),
    }  # fmt: skip
    state.write(receipt, RECEIPTS / f"{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}-{salt[:6]}.json")
    NOTE.unlink()


def of(asked: str) -> dict[str, Any] | None:
    """The last receipt of who was called so; None where there is none."""
    for path in sorted(RECEIPTS.glob("*.json"), reverse=True) if RECEIPTS.is_dir() else ():
        receipt = json.loads(path.read_text())
        if _digest(receipt["salt"], asked) in receipt["digests"]:
            return {
                **{name: value for name, value in receipt.items() if name not in ("salt", "digests")},
                "file": str(path),
            }
    return None


def _digest(salt: str, text: str) -> str:
    return hashlib.scrypt(text.casefold().encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=16).hex()


def backups() -> str:
    """Until when backups hold what was there until now, in words."""
    last = state.read()["last_ok"]
    if not last:
        return "there are none"
    try:
        keep = repository.load().keep
    except Failed:
        return "it is not known how long they are kept"
    return f"until {until(date.fromisoformat(last[:10]), keep)}, while one is made each night"


def until(last: date, keep: Mapping[str, int]) -> date:
    """The day on which the backup of `last` is removed, at the latest (restic, "Removing backup snapshots"). Pure."""
    months = last.month - 1 + keep.get("monthly", 0)
    ends = [
        last + timedelta(days=keep.get("daily", 0)),
        last + timedelta(weeks=keep.get("weekly", 0), days=7 if keep.get("weekly") else 0),
        date(last.year + months // 12, months % 12 + 1, 1) if keep.get("monthly") else last,
    ]
    return max(ends) + timedelta(days=_PRUNE)


def logs(today: date, journal: Path = _JOURNAL) -> str:
    """Until when the server's logs name the hub's users, in words."""
    text = journal.read_text() if journal.exists() else ""
    if days := re.search(r"^MaxRetentionSec=(\d+)day", text, re.MULTILINE):
        return f"until {today + timedelta(days=max(int(days[1]), 14) + 1)}"
    return "nginx's for 14 days; the journal until 1 GB of newer lines are in it (with log_days: for so many days)"
