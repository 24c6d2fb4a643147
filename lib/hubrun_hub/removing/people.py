"""Removes all that there is of people; see the package."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from hubrun_hub import student_volume
from hubrun_hub.backup import state
from hubrun_hub.courses import exam_changes
from hubrun_hub.docker_command import docker
from hubrun_hub.failed import Failed
from hubrun_hub.homes import btrfs
from hubrun_hub.homes.places import Homes, is_subvolume
from hubrun_hub.joining.confined import as_owner
from hubrun_hub.joining.homes import Places, open_gradebook, refuse_programs, transaction
from hubrun_hub.removing import KEPT, TRASH, TRASH_VOLUME
from hubrun_hub.removing.look import folders_of, gradebooks, volumes
from hubrun_hub.removing.whose import Wanted

# A database of the whole site, on a slow disk.
_SECONDS = 600
# No pipe or device is opened, and no link followed. What is larger, of holes mostly, grep(1) would keep in memory as one line.
_NAMING = """
trash=$1 names=$2
shift 2
find -H "$@" \\( -name "$trash" -o -name removing.json \\) -prune -o -type f -size -100M -print0 |
    xargs -0 -r grep -lawiFs -f "$names" --
"""
_GATE = Path("/run/nginx-jupyterhub-gate")
_CONTAINERS = Path("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db")
# Of the hub's databases, and those beside them (lti/people_file.py, full_names.py, nonces.py, services/service_file.py): table → what goes with a user,
# in this order. What else the hub has of a user goes by its own rule ON DELETE CASCADE.
_SPAWNERS = "SELECT {} FROM spawners JOIN users ON users.id = user_id WHERE users.name = ?"
_OF_USERS = {
    "oauth_clients": f"DELETE FROM oauth_clients WHERE identifier IN ({_SPAWNERS.format('oauth_client_id')})",
    "servers": f"DELETE FROM servers WHERE id IN ({_SPAWNERS.format('server_id')})",
    "users": "DELETE FROM users WHERE name = ?",
    "hubrun_marks": "DELETE FROM hubrun_marks WHERE user = ?",
    "roster": "DELETE FROM roster WHERE user = ?1 OR lti_user IN (SELECT lti_user FROM person WHERE user = ?1)",
    "person": "DELETE FROM person WHERE user = ?",
    "outcome": "DELETE FROM outcome WHERE user = ?",
    "sent": "DELETE FROM sent WHERE ?1 IN (user, sender)",
    "due": "DELETE FROM due WHERE user = ?",
    "unclaimed": "DELETE FROM unclaimed WHERE user = ?",
    "full_name": "DELETE FROM full_name WHERE user = ?",
    "entered": "DELETE FROM entered WHERE user = ?",
}
_OF_CONSUMER = {
    "stable_id": "DELETE FROM stable_id WHERE consumer = ?",
    "field": "DELETE FROM field WHERE consumer = ?",
    "consumer": "DELETE FROM consumer WHERE name = ?",
    "course": "DELETE FROM course WHERE consumer = ?",
    "outcome": "DELETE FROM outcome WHERE consumer = ?",
}


def put_away(wanted: Wanted, places: Places, top: Path | None) -> None:
    """With the hub stopped, and these people's servers: nothing of them is found any more. Raises Failed; run it again then."""
    _put_homes_away(wanted.users)
    if top:
        for folder in folders_of(top, wanted.users):
            throw_away(folder, top)
        for book in gradebooks(top):
            as_owner(book, _forget_grades, list(wanted.users), seconds=_SECONDS)
    consumer = wanted.name if wanted.kind == "consumer" else ""
    forget(places, wanted.users, consumer, wanted.marks)
    _forget_figures(wanted.users)


def throw_away(folder: Path, top: Path) -> None:
    """Move a folder below `top` into the trash there; a course that is a subvolume (homes/courses.py) has one of its own."""
    for trash in (top / TRASH, top / folder.relative_to(top).parts[0] / TRASH):
        trash.mkdir(mode=0o700, exist_ok=True)
        try:
            folder.rename(trash / uuid.uuid4().hex)
            return
        except OSError as error:
            if error.errno != errno.EXDEV or trash.parent != top:
                raise


def empty_trash(top: Path | None) -> None:
    """Remove what was put away. Raises Failed, HomeError."""
    if TRASH_VOLUME in docker("volume", "ls", "-q").split():
        docker("volume", "rm", TRASH_VOLUME)
    homes = Homes()
    if (homes.root / "moving").is_dir():
        thrown = list((homes.root / "moving").glob(".*"))
        within = [each for folder in thrown if not is_subvolume(folder) for each in folder.iterdir()]
        btrfs.remove(homes.root, *(each for each in (*thrown, *within) if is_subvolume(each)))
        for folder in thrown:
            shutil.rmtree(folder, ignore_errors=True)
    for trash in (top / TRASH, *top.glob(f"*/{TRASH}")) if top else ():
        # rm(1) follows no link, and knows folders that are deeper than Python's stack.
        done = subprocess.run(["rm", "-rf", "--", str(trash)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"rm: {done.stderr.strip()[-300:]}")


def _put_homes_away(users: Iterable[str]) -> None:
    for volume in volumes(users):
        if volume.plain and volume.data.exists():
            docker("volume", "create", TRASH_VOLUME)
            trash = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", TRASH_VOLUME).strip())
            volume.data.rename(trash / uuid.uuid4().hex)
        if volume.plain and not volume.data.exists():
            volume.data.mkdir()  # as Docker finds it missing otherwise
        docker("volume", "rm", volume.name)
    homes = Homes()
    if not (homes.root / "people").is_dir():
        return
    homes.check_mounted()
    for user in users:
        with homes.alone(user, 20):
            for path in (homes.person(user), homes.moving(user), homes.snapshots(user)):
                if path.is_dir():
                    # No user's name has a dot there (student_volume.escaped).
                    path.rename(homes.root / "moving" / f".{uuid.uuid4().hex}")
            homes.moving(user).with_suffix(".failed").unlink(missing_ok=True)
            for folder in homes.work(user):
                shutil.rmtree(folder, ignore_errors=True)
        (homes.locks / homes.person(user).name).unlink(missing_ok=True)


# -- databases


def forget(
    places: Places, users: Iterable[str], consumer: str = "", marks: Iterable[str] = (), groups: Iterable[str] = ()
) -> None:
    """Remove these users, this consumer, these marks and groups from the hub's databases, and from what staff changed of exams.
    The hub must be stopped."""
    for path in sorted(places.hub.parent.glob("*.sqlite*")):
        if path.name.endswith(("-journal", "-wal", "-shm")):
            continue
        as_owner(path, _forget, list(users), consumer, list(marks), list(groups), seconds=_SECONDS)
    if (changes := places.hub.with_name(exam_changes.FILE.name)).exists():
        as_owner(changes, exam_changes.forget, list(users), [group.removeprefix("course-") for group in groups])


def _forget(path: Path, users: list[str], consumer: str, marks: list[str], groups: list[str]) -> None:
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
        try:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError:
            return  # one that was damaged and put aside: `look` for words that are left names it
        db.execute("PRAGMA foreign_keys = ON")
        with transaction(db):
            for table, statement in _OF_USERS.items():
                if table in tables and (table != "oauth_clients" or "spawners" in tables):
                    db.executemany(statement, [(user,) for user in users])
            for table, statement in _OF_CONSUMER.items():
                if table in tables and consumer:
                    db.execute(statement, (consumer,))
            if "hubrun_marks" in tables:
                db.executemany("DELETE FROM hubrun_marks WHERE mark = ?", [(mark,) for mark in marks])
            if "groups" in tables:
                db.executemany("DELETE FROM groups WHERE name = ?", [(group,) for group in groups])
            if "chosen" in tables:
                courses = [(group.removeprefix("course-"),) for group in groups]
                # A file of before dates of the LMS has none of the last one.
                for table in {"course", "link", "person", "outcome", "chosen", "roster", "sent", "due"} & tables:
                    db.executemany(f"DELETE FROM {table} WHERE course = ?", courses)  # nosec B608
        _clean(db)


def _clean(db: sqlite3.Connection) -> None:
    """What was deleted is still in the file's free space, and in a journal that stays: sqlite.org/lang_vacuum.html."""
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("VACUUM")


def _forget_grades(path: Path, users: list[str]) -> None:
    with closing(open_gradebook(path)) as db:
        refuse_programs(db)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "student" not in tables:
            return
        known = [user for user in users if db.execute("SELECT 1 FROM student WHERE id = ?", (user,)).fetchone()]
        with transaction(db):
            _delete(db, "student", known, tables)
        if known:
            _clean(db)


def _delete(db: sqlite3.Connection, table: str, ids: list[str], tables: set[str]) -> None:
    """Delete these rows, and before them those that refer to them: nbgrader's tables have no rule for it."""
    for child in sorted(tables if ids else ()):
        for key in db.execute(f'PRAGMA foreign_key_list("{child}")').fetchall():
            if key[2] == table:
                asks = f'SELECT id FROM "{child}" WHERE "{key[3]}" = ?'  # nosec B608
                _delete(db, child, [row[0] for each in ids for row in db.execute(asks, (each,))], tables)
    db.executemany(f'DELETE FROM "{table}" WHERE id = ?', [(each,) for each in ids])  # nosec B608


# -- what the server keeps of its own


def _forget_figures(users: Iterable[str], folder: Path = KEPT) -> None:
    """Who uses how much (watching/usage.py), and what backups say of homes (backup/state.py)."""
    names = {name for user in users for name in (user, student_volume.escaped(user))}
    for file, keys in (("usage.json", ("homes",)), ("backup.json", ("left_out",))):
        path = folder / file
        if not path.exists():
            continue
        known = json.loads(path.read_text())
        for key in keys:
            # A folder in a course has its user's name at the end.
            known[key] = {
                name: value for name, value in known.get(key, {}).items() if name.rpartition("/")[2] not in names
            }
        if known.get("test_restore", {}).get("home") in names:
            known["test_restore"]["home"] = ""
        state.write(known, path)


def overwrite_names(users: Iterable[str], tries: int = 40) -> None:
    """What nginx remembers of people for ten minutes goes (nginx-gate.conf.j2). Docker's and containerd's lists keep removed
    names in their free pages (bbolt) until these are used again: use them."""
    names = {name for user in users for name in (user, quote(user, safe="@~"), student_volume.escaped(user))}
    for remembered in _GATE.glob("*"):
        with suppress(FileNotFoundError):  # its time was over
            if any(f" {name}/".encode() in remembered.read_bytes() for name in names):
                remembered.unlink()
    pattern = rf"(jupyterhub-(user|old)-|JUPYTERHUB_USER=|/user/)({'|'.join(map(re.escape, names))})(?![a-z0-9-])"
    named = re.compile(pattern.encode())
    listed = Path(docker("info", "--format", "{{.DockerRootDir}}").strip(), "volumes", "metadata.db")
    image = docker("image", "ls", "-q", "--filter", "label=hubrun.context").split()[:1]
    docker("volume", "rm", "-f", "hubrun-overwrite")  # of a run that was killed
    for _ in range(tries if names else 0):
        if listed.exists() and named.search(listed.read_bytes()):
            docker("volume", "create", "hubrun-overwrite")
            docker("volume", "rm", "hubrun-overwrite")
        elif image and _CONTAINERS.exists() and named.search(_CONTAINERS.read_bytes()):
            docker("run", "--rm", "--network=none", "--entrypoint=true", *image)
        else:
            return


def left(wanted: Wanted, folders: Iterable[str]) -> list[str] | None:
    """The files below these folders that still name one of these people; of what they are known by, what has five letters.

    None where it takes too long to look: all else is done by then.
    """
    words = [*wanted.users, *(word for word in wanted.words if len(word) >= 5)]
    there = [folder for folder in folders if Path(folder).exists()]
    patterns = "\n".join(word for word in words if word and "\n" not in word)
    if not (patterns and there):
        return []
    with os.fdopen(os.memfd_create("names"), "w", errors="surrogateescape") as names:
        print(patterns, file=names, flush=True)
        done = subprocess.run(
            ["timeout", str(_SECONDS), "sh", "-c", _NAMING, "sh", TRASH, f"/proc/self/fd/{names.fileno()}", *there],
            pass_fds=[names.fileno()], capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    return None if done.returncode == 124 else sorted(done.stdout.splitlines())
