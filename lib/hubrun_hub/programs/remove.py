"""Removes a person, a course, or a consumer with its people; for runbook 15, run by root. Prints JSON, or what is wrong.

look KIND NAME                what there is of it, what is to be typed as a yes, and whether it was begun or done
archive NAME                  of a course: makes its archive
do KIND NAME CONFIRM BY       removes it. BY: who does, for the receipt

KIND: person, course or consumer. NAME: of a person the hub user, or a name or id by which the LMS knows nobody else.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from hubrun_hub.backup import state, tree
from hubrun_hub.failed import Failed
from hubrun_hub.homes.courses import staying
from hubrun_hub.homes.places import HomeError, Homes
from hubrun_hub.joining.homes import stop_servers, systemctl
from hubrun_hub.removing import ARCHIVES, KEPT, TRASH, course, look, people, receipt
from hubrun_hub.removing.whose import PLACES, Nobody, Wanted, find

# Where they may still be named: not in the homes of others, in logs or in backups.
_NAMED_IN = ("/etc", str(PLACES.hub.parent), str(KEPT), str(PLACES.courses))
_MOUNTS, _ARCHIVED = Path("/run/hubrun-remove"), Path("/run/hubrun-archive")

_GOES_ON_S = 600


def main(command: str, *words: str) -> dict[str, Any]:
    """Do what is asked, and say what came of it. Raises Failed and what is caught below."""
    if command == "look":
        return _look(*words)
    # One whose connection was lost goes on by itself: whoever carries it on waits for it.
    with state.alone(_GOES_ON_S if receipt.begun() else 0), staying(Homes()):
        return _archive(*words) if command == "archive" else _do(*words)


def _look(kind: str, asked: str) -> dict[str, Any]:
    begun = receipt.begun()
    if begun:
        if kind != begun["kind"] or asked not in (begun["name"], begun["asked"]):
            raise Failed(
                f"the removal of the {begun['kind']} {begun['name']} is half done: finish it first, with its name"
            )
        wanted = receipt.wanted_of(begun)
        about = {"confirm": wanted.confirm, "name": wanted.name, "parts": begun["parts"]}
        return {"state": "begun", **about, "archive": {}}
    try:
        wanted = find(kind, asked)
    except Nobody as error:
        if done := receipt.of(asked):
            return {"state": "done", "receipt": done}
        raise Nobody(str(error)) from None
    parts = [part._asdict() for part in look.parts(wanted, PLACES, _courses())]
    archive = course.existing(wanted.name) if kind == "course" else None
    current = archive is not None and course.is_current(archive, PLACES.courses / wanted.name)
    return {
        "state": "there", "confirm": wanted.confirm, "name": wanted.name, "parts": parts,
        "archive": _about(archive) if archive and current else {},
        "backups": receipt.backups(), "healthy": _hub_answers(),
    }  # fmt: skip


def _archive(asked: str) -> dict[str, Any]:
    wanted = find("course", asked)
    made = course.archive(
        wanted.name, PLACES.courses / wanted.name, _tree_of(wanted.name, PLACES.courses / wanted.name), PLACES
    )
    return _about(made)


def _do(kind: str, asked: str, confirm: str, by: str) -> dict[str, Any]:
    seen = _look(kind, asked)
    if seen["state"] == "done":
        return dict(seen["receipt"])
    if confirm != seen["confirm"]:
        raise Failed(f"the yes that is typed is {confirm!r}, and {seen['confirm']!r} is wanted: nothing was removed")
    if not (note := receipt.begun()):
        if not seen["healthy"]:
            raise Failed("the hub does not answer: put it right first (journalctl -u jupyterhub). Nothing was removed")
        wanted = find(kind, asked)
        receipt.begin(wanted, asked, look.parts(wanted, PLACES, _courses()))
        note = receipt.begun()
    assert note
    wanted = receipt.wanted_of(note)
    systemctl("disable", "--now")
    try:
        stop_servers(list(wanted.users))
        _put_away(wanted)
    finally:
        systemctl("enable", "--now")  # whatever failed: the others go on
    if kind == "course":
        note["archive"] = _archived_for_good(wanted)
    people.empty_trash(_courses())
    people.overwrite_names(wanted.users if kind != "course" else ())
    named = [] if kind == "course" else people.left(wanted, _NAMED_IN)
    for path in named or ():
        print(f"still named in {path!r}", file=sys.stderr)
    receipt.end(note, by, None if named is None else len(named))
    _hub_answers(60)  # as it starts again: what comes next is a test of it
    return dict(receipt.of(note["asked"]) or {})


def _put_away(wanted: Wanted) -> None:
    top = _courses()
    if wanted.kind != "course":
        people.put_away(wanted, PLACES, top)
        return
    groups = (f"course-{wanted.name}", f"course-{wanted.name}-instructors")
    if top and (top / wanted.name).is_dir():
        # Under its own name, until it is archived and tested. Who came into it after a try that failed is in it too.
        (top / TRASH).mkdir(mode=0o700, exist_ok=True)
        there = top / TRASH / wanted.name
        os.rename(top / wanted.name, there / f"came-{uuid.uuid4().hex}" if there.exists() else there)
    people.forget(PLACES, (), groups=groups)


def _archived_for_good(wanted: Wanted) -> dict[str, Any]:
    """The archive of a course that nobody can change any more: an earlier one, where it holds all of it."""
    source = PLACES.courses / TRASH / wanted.name
    if not source.is_dir():
        found = course.existing(wanted.name)
        return _about(found) if found else {}
    top = _tree_of(wanted.name, source)
    found = course.existing(wanted.name)
    if not found or not course.holds(found, wanted.name, top / wanted.name / "files"):
        found = course.archive(wanted.name, source, top, PLACES)
    return _about(found)


def _about(archive: Path) -> dict[str, Any]:
    return {"file": str(archive), "size": archive.stat().st_size, "sha256": course.digest(archive)}


def _courses() -> Path | None:
    """The courses, as no link leads out of them; None on a server that has none."""
    if not PLACES.courses.is_dir():
        return None
    top = _MOUNTS / "tree"
    return (
        top if top.is_dir() else tree.put_together({"courses": PLACES.courses}, writable=True, root=_MOUNTS)
    ) / "courses"


def _tree_of(name: str, source: Path) -> Path:
    if not source.is_dir():
        raise Failed(f"{name} has no folder: there is nothing to archive")
    ARCHIVES.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tree.put_together({f"{name}/files": source}, root=_ARCHIVED)


def _hub_answers(waits: int = 0) -> bool:
    """Whether the hub answers, within about so many seconds."""
    again = ["--retry", str(waits), "--retry-delay", "1", "--retry-all-errors"]
    command = ["curl", "-fsS", "-o", "/dev/null", "-m", "10", *again, "http://127.0.0.1:8000/hub/api"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    try:
        json.dump(main(*sys.argv[1:]), sys.stdout)
    except (
        Failed,
        HomeError,
        OSError,
        ValueError,
        sqlite3.Error,
        subprocess.SubprocessError,
        *course.UNREADABLE,
    ) as wrong:
        sys.exit(str(wrong))
