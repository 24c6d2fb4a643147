"""Takes what each student has of an assignment at the moment when it is due, or when their exam ends, submitted or not; a
timer starts it every ten seconds, and it waits for a moment that comes before the next time. See `courses.due_dates` and
`exams.collect`.

Where homes are on a disk of their own, all that are due at one moment are kept in snapshots first: what somebody saves
while others' work is copied is not in theirs. What cannot be taken for a reason that passes, as while Docker restarts or a
disk is full, is tried again.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path

from hubrun_hub.courses import due_records, exam_changes
from hubrun_hub.courses.due_dates import Due, all_due
from hubrun_hub.courses.exam_schedule import with_changes
from hubrun_hub.courses.mounts import ROOT, Membership
from hubrun_hub.docker_filter import folders, settings
from hubrun_hub.exams import collect, servers
from hubrun_hub.homes import btrfs
from hubrun_hub.homes import courses as hand_ins
from hubrun_hub.homes.places import HomeError, Homes, limit_bytes
from hubrun_hub.lti.services import lms_dates

_SNAPSHOT = ".due-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_AHEAD, _LATE = timedelta(seconds=12), timedelta(days=7)


def main() -> int:
    """Do it; the exit code."""
    site, now, well = with_changes(settings.read(settings.SITE), exam_changes.read()), _now(), True
    try:
        said = lms_dates.read(lms_dates.FILE) if site.get("lms_dates") else {}
        found = all_due(site, servers.people(), said)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, sqlite3.Error) as error:
        print(f"<3>{error!r}: it is tried again", file=sys.stderr)
        return 1
    homes = site.get("homes", "")
    try:
        for at, batch in groupby(_left(found, now), key=lambda due: due.at):
            time.sleep(max(0.0, (at - _now()).total_seconds()))
            collect.check_disk(homes)
            with hand_ins.staying(Homes()):
                well = _take(list(batch), homes) and well
    except (OSError, HomeError) as error:
        print(f"<3>{error}: it is tried again", file=sys.stderr)
        return 1
    return int(not well)


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10


def _left(found: Iterable[Due], now: datetime) -> list[Due]:
    """Those whose moment has come or comes before the next start of this program, and that were not taken for it, or later."""
    near = [due for due in found if now - _LATE < due.at <= now + _AHEAD]
    return [due for due in near if not _was_taken(due)]


def _was_taken(due: Due) -> bool:
    """Whether it was taken at its moment, or a later one. Of what was due before that, something else stands there now."""
    return any(each.assignment == due.assignment and each.at >= due.at for each in due_records.taken(_record(due)))


def _record(due: Due) -> Path:
    return Path(ROOT, due.course, "due", due.user)


def _take(batch: list[Due], homes: str) -> bool:
    """Whether nothing is left to be tried again."""
    well = True
    with _kept({due.user for due in batch}, homes) as found:
        for due in batch:
            if (words := _take_one(due, found[due.user])) is None:
                well = False
                continue
            record, key = _record(due), due_records.Taken(due.assignment, due.at).key
            due_records.write(record, due_records.read(record) | {key: words})
            print(f"{due.course}, {due.assignment}, due at {due.at.isoformat()}: {due.user}: {words}", flush=True)
    return well


def _take_one(due: Due, home: Path | Exception | None) -> str | None:
    """What came of it, in words; None where it is to be tried again. home: why it is not known, where it is not."""
    inbound, words = Path(ROOT, due.course, "inbound", due.user), "there is none"
    try:
        if isinstance(home, Exception):
            raise home
        if not inbound.is_dir():
            _make_hand_ins(due)
        with hand_ins.without_limit(inbound):
            try:
                if home and (path := collect.take(home, (due.folder, due.assignment), inbound, due.user, due.terms())):
                    return f"taken as {path.name}"
            except (OSError, collect.TooMuch) as error:
                if isinstance(error, OSError) and error.errno in _FULL:
                    raise
                words = f"not taken: {error}"
            collect.nothing(inbound, due.user, due.assignment, due.terms())
    except (OSError, HomeError, folders.UnsafeFolder, subprocess.SubprocessError) as error:
        print(f"<3>{due.course}, {due.assignment}: {due.user}: {error}: it is tried again", file=sys.stderr)
        return None
    return words


def _make_hand_ins(due: Due) -> None:
    """As the first start of a server in this course does: of who comes afterwards it is known that nothing was there."""
    if hand_ins.are_on_disk(homes := Homes()):
        hand_ins.make(homes, due.course, due.user, limit_bytes())
    folders.make(Path(ROOT), due.user, [Membership(due.course, teaches=False)])


@contextmanager
def _kept(users: set[str], homes: str) -> Iterator[dict[str, Path | Exception | None]]:
    """User → their home as it is now, None where there is none, or why it is not known. homes: the folder of all, or ""."""
    found: dict[str, Path | Exception | None] = {}
    try:
        for user in sorted(users):
            try:
                home = collect.home_of(user, homes)
                if home and homes and home.is_relative_to(homes):
                    snapshot = Path(homes, f"{_SNAPSHOT}{home.name}")
                    btrfs.run("subvolume", "snapshot", "-r", home, snapshot)
                    home = snapshot
                found[user] = home
            except (OSError, HomeError, subprocess.SubprocessError) as error:
                found[user] = error
        yield found
    finally:
        if homes:  # those too of a time that was ended in between
            btrfs.remove(Path(homes), *Path(homes).glob(f"{_SNAPSHOT}*"))


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
