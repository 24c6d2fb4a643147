"""Restores a whole site, onto a server that was just installed."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from hubrun_hub import student_volume
from hubrun_hub.backup import databases, state, tree
from hubrun_hub.backup.repository import FOLDER, Repository, Snapshot
from hubrun_hub.config_parts import OURS
from hubrun_hub.courses.mounts import is_name
from hubrun_hub.docker_command import docker, engines
from hubrun_hub.failed import Failed
from hubrun_hub.homes import btrfs, courses, folders, serve
from hubrun_hub.homes.places import Homes, is_subvolume, limit_bytes
from hubrun_hub.joining.confined import as_owner

# What the install writes for this server, and no backup brings back.
_INSTALLED = (
    "jupyterhub_config.py", "docker-filter.json", "student-network.nft", "started-once*", "backup.json", "homes.json", "images*", "conf.d.loaded",
    *(f"conf.d/{name}" for name in OURS),
)  # fmt: skip
_HUB, _PROXY = "jupyterhub", "jupyterhub-proxy"
# {"snapshot": id, "day": its day, "state": one of these}. While it is begun, runbook 02 refuses to start the hub.
NOTE = state.FOLDER / "restored.json"
BEGUN, WRITTEN, DONE = "begun", "written", "done"
_FULL = "no space left on device|disk quota exceeded"


def noted() -> dict[str, Any]:
    """What is known of a restore of this server; {} of one that never was."""
    return dict(json.loads(NOTE.read_text())) if NOTE.exists() else {}


def chosen(repository: Repository, which: str, over: bool) -> Snapshot:
    """The backup to restore; one that was begun is the one. Raises Failed, for a site with people unless `over`."""
    begun = noted()
    if begun and begun["state"] != DONE:
        return repository.chosen(begun["snapshot"])
    found = repository.chosen(which)
    there = [*tree.homes(), *_people()]
    if there and not over:
        raise Failed(
            f"this site has people already ({len(set(there))}): files, grades and logins of theirs would be replaced by those "
            f"of {found.day}. If that is what you want, set restore_over_people=true"
        )
    return found


def restored(repository: Repository, which: str) -> Snapshot | None:
    """The backup that is meant, if it is the one that was restored here to its end. Raises Failed."""
    begun = noted()
    if begun.get("state") != DONE:
        return None
    found = repository.chosen(which)
    return found if found.id == begun["snapshot"] else None


def restore(repository: Repository, snapshot: Snapshot) -> list[str]:
    """Restore it; what of people's files could not be written. The hub is stopped meanwhile, and at a failure stays so.

    Raises Failed. Run again, it begins at the beginning; where all was written, it starts the services alone.
    """
    unwritten: list[str] = []
    if noted() != _note(snapshot, WRITTEN):
        state.write(_note(snapshot, BEGUN), NOTE)
        unwritten = _write(repository, snapshot)
        state.write(_note(snapshot, WRITTEN), NOTE)
    _systemctl("enable", "--now", _PROXY)
    _systemctl("enable", "--now", _HUB)
    subprocess.run(["systemctl", "reload", "nginx"], check=False, capture_output=True)  # 03 may come later
    state.write(_note(snapshot, DONE), NOTE)
    return unwritten


def _write(repository: Repository, snapshot: Snapshot) -> list[str]:
    # The proxy as well: it must begin with the token that comes back, whoever starts it.
    _systemctl("disable", "--now", _HUB, _PROXY)
    for node in engines():
        running = docker("ps", "-q", "--filter", "name=^jupyter-", node=node).split()
        if running:
            docker("stop", *running, node=node)
    names = {each["name"] for each in repository.nodes(snapshot.id, "/homes") if each["path"] != "/homes"}
    users = sorted(student_volume.user_of(f"{student_volume.PREFIX}{name}") for name in names)
    with _homes(users, _hand_ins(repository, snapshot)):
        for each in (*tree.SERVER, tree.COURSES):
            Path(each).mkdir(parents=True, exist_ok=True)
            if each != tree.COURSES:
                # Where a link is, restic 0.14 (Debian 12) writes none: the certificate's are links.
                subprocess.run(["find", each, "-xdev", "-type", "l", "-delete"], check=True)
        for each in map(Path, repository.settings.also):
            each.parent.mkdir(parents=True, exist_ok=True)
            each.touch(mode=0o600)
        places = {name: folder for name, folder in tree.homes().items() if name in names}
        for folder in (*places.values(), tree.COURSES):
            # Whoever opens one of these waits for ever.
            subprocess.run(["find", str(folder), "-type", "p", "-delete"], check=True)
        top = tree.put_together(tree.sources(repository.settings, places), writable=True)
        unwritten = _restic(repository, snapshot, top)
        manifest = json.loads((top / "server/manifest.json").read_text())
        unwritten += _take_over(top / "server", manifest, repository.settings.hub_user)
    return unwritten


def _hand_ins(repository: Repository, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """The courses in the backup, each with those who handed in something."""
    for course in repository.nodes(snapshot.id, "/courses"):
        inbound = f"{course['path']}/inbound"
        for each in repository.nodes(snapshot.id, inbound) if is_name(course["name"]) else ():
            if each["path"] != inbound and each["type"] == "dir" and is_name(each["name"]):
                yield course["name"], each["name"]


@contextmanager
def _homes(users: list[str], hand_ins: Iterable[tuple[str, str]] = ()) -> Iterator[None]:
    """Have a home for each, where new ones are made here; nobody else moves or uses them meanwhile. The same for courses that
    are on the disk of homes, and what people handed in there (course, user).

    On a disk of their own they have no limit until all is written: whoever had more than it is now keeps it.
    """
    if not folders.on_a_disk():
        for user in users:
            docker("volume", "create", student_volume.volume(user))
        yield
        return
    homes, there = Homes(), folders.folders()
    with ExitStack() as held:
        (homes.root / "limit").unlink(missing_ok=True)  # 04 sets the limits if this is killed
        held.enter_context(courses.staying(homes))
        if courses.are_on_disk(homes):
            for course, user in hand_ins:
                courses.make(homes, course, user, 0)
            courses.set_limits(homes, 0)
        for user in users:
            held.enter_context(homes.alone(user, 20))
            if user not in there:
                serve.make(homes, user, 0)
            elif is_subvolume(homes.person(user)):
                btrfs.set_limit(homes.person(user), 0)
        yield
        serve.set_limits(homes, limit_bytes())


def _restic(repository: Repository, snapshot: Snapshot, top: Path) -> list[str]:
    # One after the other: what restic says of students' files has their names in it, and may read like an error of others.
    excluded = [f"--exclude=/server{FOLDER}/{name}" for name in _INSTALLED]
    ours = _unwritten(repository, snapshot, top, "--exclude=/homes", "--exclude=/courses", *excluded)
    if ours or not (top / "server/manifest.json").is_file():
        raise Failed(f"not everything could be written: {', '.join(ours[:5]) or 'it has no manifest'}")
    return _unwritten(repository, snapshot, top, "--exclude=/server")


def _unwritten(repository: Repository, snapshot: Snapshot, top: Path, *excluded: str) -> list[str]:
    """Restore all but what is excluded; what could not be written. Raises Failed when the repository cannot be read to its end,
    and for a full disk.
    """
    found: list[str] = []
    full: list[str] = []

    def line(text: str) -> None:
        if said := re.match(r"(?:ignoring error for|error:?) (/.*?): ", text):
            found.append(said[1])
            if re.search(_FULL, text, re.IGNORECASE):
                full.append(said[1])

    said = repository.restic(
        "restore", snapshot.id, "--target", str(top), *excluded, line=line, tolerated=(1,)
    )  # fmt: skip
    # A name may say it, too.
    if full and any(_is_full(each) for each in (tree.STATE, tree.COURSES, *top.glob("homes/*"))):
        raise Failed(f"the disk of {ascii(full[0])} is full: make room, or homes_gb larger by 04, and run it again")
    last = said.rstrip().rpartition("\n")[2]
    if last.startswith("Fatal:"):
        if not re.match(r"Fatal: There were \d+ errors", last):
            raise Failed(repository.reason(last))
        repository.look()  # of one that went away all files of the rest cannot be written
    return found


def _is_full(folder: Path) -> bool:
    room = shutil.disk_usage(folder)
    return room.free < room.total // 10


def _take_over(server: Path, manifest: dict[str, Any], account: str) -> list[str]:
    """Databases take their places, and what was the hub's account's is so here, where it may have another number.

    Gradebooks that cannot. Raises Failed for another database.
    """
    hub, was = pwd.getpwnam(account), manifest["hub"]
    failed = databases.put_back(databases.databases(server / str(tree.STATE)[1:], tree.COURSES))
    if lost := [why for path, why in failed.items() if path.is_relative_to(server)]:
        raise Failed("; ".join(lost))
    for folder in (FOLDER, tree.STATE):
        for at, _, files in os.walk(folder):
            for each in (at, *(os.path.join(at, name) for name in files)):
                now = os.lstat(each)
                uid = hub.pw_uid if now.st_uid == was[0] else now.st_uid
                os.lchown(each, uid, hub.pw_gid if now.st_gid == was[1] else now.st_gid)
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


def _note(snapshot: Snapshot, state: str) -> dict[str, Any]:
    return {"snapshot": snapshot.id, "day": snapshot.day, "state": state}


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"systemctl {' '.join(words)}: {done.stderr.strip()[-300:]}")
