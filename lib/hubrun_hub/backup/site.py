"""Restores a whole site, onto a server that was just installed."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from hubrun_hub import student_volume
from hubrun_hub.backup import databases, state, tree
from hubrun_hub.backup.repository import FOLDER, Repository, Snapshot
from hubrun_hub.config_parts import OURS
from hubrun_hub.joining.confined import as_owner
from hubrun_hub.joining.failed import Failed

# What the install writes for this server, and no backup brings back.
_INSTALLED = (
    "jupyterhub_config.py", "docker-filter.json", "student-network.nft", "started-once", "backup.json", "conf.d.loaded",
    *(f"conf.d/{name}" for name in OURS),
)  # fmt: skip
_HUB = "jupyterhub"
# {"snapshot": id, "day": its day, "done": whether}
NOTE = state.FOLDER / "restored.json"


def noted() -> dict[str, Any]:
    """What is known of a restore of this server; {} of one that never was."""
    return dict(json.loads(NOTE.read_text())) if NOTE.exists() else {}


def chosen(repository: Repository, which: str, over: bool) -> Snapshot:
    """The backup to restore; one that was begun is the one. Raises Failed, for a site with people unless `over`."""
    begun = noted()
    if begun and not begun["done"]:
        return repository.chosen(begun["snapshot"])
    found = repository.chosen(which)
    there = [*tree.homes(), *_people()]
    if there and not over:
        raise Failed(
            f"this site has people already ({len(set(there))}): files, grades and logins of theirs would be replaced by those "
            f"of {found.day}. If that is what you want, set restore_over_people=true"
        )
    return found


def is_restored(snapshot: Snapshot) -> bool:
    """Whether this backup was restored here, to its end."""
    return noted() == _note(snapshot, done=True)


def restore(repository: Repository, snapshot: Snapshot) -> list[str]:
    """Restore it; what of people's files could not be written. The hub is stopped meanwhile, and at a failure stays so.

    Raises Failed. Run again, it begins at the beginning.
    """
    state.write(_note(snapshot, done=False), NOTE)
    _systemctl("disable", "--now", _HUB)
    running = tree.docker("ps", "-q", "--filter", "name=^jupyter-").split()
    if running:
        tree.docker("stop", *running)
    names = {each["name"] for each in repository.nodes(snapshot.id, "/homes") if each["path"] != "/homes"}
    for name in sorted(names):
        tree.docker("volume", "create", f"{student_volume.PREFIX}{name}")
    for each in (*tree.SERVER, tree.COURSES):
        Path(each).mkdir(parents=True, exist_ok=True)
        if each != tree.COURSES:
            # Where a link is, restic 0.14 (Debian 12) writes none: the certificate's are links.
            subprocess.run(["find", each, "-xdev", "-type", "l", "-delete"], check=True)
    for each in map(Path, repository.settings.also):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.touch(mode=0o600)
    folders = {name: folder for name, folder in tree.homes().items() if name in names}
    for folder in folders.values():
        # Whoever opens one of these waits for ever.
        subprocess.run(["find", str(folder), "-xdev", "-type", "p", "-delete"], check=True)
    top = tree.put_together(tree.sources(repository.settings, folders), writable=True)
    unwritten = _restic(repository, snapshot, top)
    unwritten += _take_over(top / "server", json.loads((top / "server/manifest.json").read_text()))
    _systemctl("restart", "jupyterhub-proxy")
    _systemctl("enable", "--now", _HUB)
    subprocess.run(["systemctl", "reload", "nginx"], check=False, capture_output=True)  # 03 may come later
    state.write(_note(snapshot, done=True), NOTE)
    return unwritten


def _restic(repository: Repository, snapshot: Snapshot, top: Path) -> list[str]:
    # One after the other: what restic says of students' files has their names in it, and may read like an error of others.
    excluded = [f"--exclude=/server{FOLDER}/{name}" for name in _INSTALLED]
    ours = _unwritten(repository, snapshot, top, "--exclude=/homes", "--exclude=/courses", *excluded)
    if ours or not (top / "server/manifest.json").is_file():
        raise Failed(f"not everything could be written: {', '.join(ours[:5]) or 'it has no manifest'}")
    return _unwritten(repository, snapshot, top, "--exclude=/server")


def _unwritten(repository: Repository, snapshot: Snapshot, top: Path, *excluded: str) -> list[str]:
    """Restore all but what is excluded; what could not be written. Raises Failed when the repository cannot be read to its end."""
    found: list[str] = []

    def line(text: str) -> None:
        if said := re.match(r"(?:ignoring error for|error:?) (/.*?): ", text):
            found.append(said[1])

    said = repository.restic(
        "restore", snapshot.id, "--target", str(top), *excluded, line=line, tolerated=(1,)
    )  # fmt: skip
    last = said.rstrip().rpartition("\n")[2]
    if last.startswith("Fatal:"):
        if not re.match(r"Fatal: There were \d+ errors", last):
            raise Failed(repository.reason(last))
        repository.look()  # of one that went away all files of the rest cannot be written
    return found


def _take_over(server: Path, manifest: dict[str, Any]) -> list[str]:
    """Databases take their places, and what was the hub's account's is so here, where it may have another number.

    Gradebooks that cannot. Raises Failed for another database.
    """
    hub, was = tree.STATE.stat(), manifest["hub"]
    failed = databases.put_back(databases.databases(server / str(tree.STATE)[1:], tree.COURSES))
    if lost := [why for path, why in failed.items() if path.is_relative_to(server)]:
        raise Failed("; ".join(lost))
    for folder in (FOLDER, tree.STATE):
        for at, _, files in os.walk(folder):
            for each in (at, *(os.path.join(at, name) for name in files)):
                now = os.lstat(each)
                uid = hub.st_uid if now.st_uid == was[0] else now.st_uid
                os.lchown(each, uid, hub.st_gid if now.st_gid == was[1] else now.st_gid)
    return [str(path) for path in failed]


def _people() -> list[str]:
    """The hub users of the people who came in, by the file of who is who; without those of 06_verify."""
    file = tree.STATE / "lti_people.sqlite"
    if not file.exists():
        return []
    found: list[str] = as_owner(file, _users)
    return [each for each in found if not each.startswith("hubruntest")]


def _users(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        return [str(user) for (user,) in db.execute("SELECT user FROM person")]


def _note(snapshot: Snapshot, done: bool) -> dict[str, Any]:
    return {"snapshot": snapshot.id, "day": snapshot.day, "done": done}


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"systemctl {' '.join(words)}: {done.stderr.strip()[-300:]}")
