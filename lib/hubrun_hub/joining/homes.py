"""Joins the home of one hub user to that of another; see the package."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from hubrun_hub.autograding import container
from hubrun_hub.docker_command import docker, nodes
from hubrun_hub.docker_filter.create import LABEL
from hubrun_hub.failed import Failed
from hubrun_hub.homes import btrfs, serve
from hubrun_hub.homes.courses import staying
from hubrun_hub.homes.places import HomeError, Homes, is_subvolume, limit_bytes
from hubrun_hub.joining.confined import as_owner
from hubrun_hub.lti import people_file
from hubrun_hub.lti.full_names import FullNames
from hubrun_hub.student_volume import volume

HUB = "jupyterhub.service"
# What the LMS calls people, beside the file of who is who (`LaunchAuthenticator.full_names_file`).
FULL_NAMES = "lti_full_names.sqlite"
# In the order of nbgrader's own: below each of these of a course's folders there is one for each person.
COURSE_FOLDERS = (
    "inbound", "feedback", "course/submitted", "course/autograded", "course/feedback", "course/not_autograded",
)  # fmt: skip
_KEPT = ".before-joining"
_HOMES = Homes()
_BUSY_S = 30


class Places(NamedTuple):
    """Where things are: the file of who is who, the hub's database, the folders of courses."""

    people: Path
    hub: Path
    courses: Path


class Look(NamedTuple):
    """Lines for people: what would be moved, and what is in the way."""

    moves: list[str]
    problems: list[str]


def look(places: Places, one: str, into: str) -> Look:
    """Say what joining the user `one` to `into` would do. Reads only. Raises Failed, sqlite3.Error, OSError."""
    moves: list[str] = []
    problems: list[str] = []
    with closing(_read_only(places.hub)) as db:
        users = {name for (name,) in db.execute("SELECT name FROM users WHERE name IN (?, ?)", (one, into))}
        groups = [name for (name,) in db.execute(_GROUPS, (one,))] if one in users else []
    if not places.people.exists():
        raise Failed("nobody came in yet: the file of who is who does not exist")
    with closing(_read_only(places.people)) as db:
        people_file.check_present(db)
        known = {name for (name,) in db.execute("SELECT user FROM person WHERE user IN (?, ?)", (one, into))}
    problems += [f"{name} is not a user of the hub" for name in (one, into) if name not in users]
    problems += [f"nobody is known to come as {into}"] if into not in known else []
    problems += ["these are one home already"] if one == into else []
    if problems:
        return Look(moves, problems)
    if _volume_of(one):
        moves.append(f"all files of {one} into the folder {_folder(one)} of the home of {into}")
        there = _data(into) / _folder(one) if _volume_of(into) else None
        if there and os.path.lexists(there) and _files(one):
            problems.append(f"{into} has a folder {_folder(one)} already: let them rename it")
    for parent in _course_folders(places):
        if (parent / one).is_dir() and not (parent / one).is_symlink():
            names = sorted(each.name for each in (parent / one).iterdir())
            moves.append(f"{parent}/{one} to {into}: {', '.join(names) or 'empty'}")
            problems += [f"{parent}/{into} has {name} too" for name in names if os.path.lexists(parent / into / name)]
    for book in _gradebooks(places):
        said = as_owner(book, _grades, one, into)
        moves += [f"{said['count']} submissions in {book}"] if said["there"] else []
        problems += [f"{book}: both have a submission for {name}" for name in said["both"]]
    moves += [f"groups: {', '.join(groups)}"] if groups else []
    moves.append(f"whoever came as {one} comes as {into} from then on; the user {one} goes")
    return Look(moves, problems)


def join(places: Places, one: str, into: str) -> None:
    """Do what `look` says, or nothing. Raises Failed, after everything is back and the hub runs."""
    with staying(_HOMES):
        _join(places, one, into)


def _join(places: Places, one: str, into: str) -> None:
    systemctl("disable", "--now")
    undo: list[Callable[[], object]] = []
    copied: list[Path] = []
    try:
        seen = look(places, one, into)
        if seen.problems:
            raise Failed("; ".join(seen.problems))
        stop_servers([one, into])
        _join_volumes(one, into, undo)
        for parent in _course_folders(places):
            if (parent / one).is_dir() and not (parent / one).is_symlink():
                copied += _join_folders(parent, one, into, undo)
        books = _gradebooks(places)
        for book in books:
            undo.append(lambda book=book: as_owner(book, _put_back))  # type: ignore[misc]
            as_owner(book, _join_grades, one, into)
        _join_users(places, one, into)
    except BaseException as error:
        try:
            for step in reversed(undo):
                step()
        except (Failed, HomeError, OSError, subprocess.SubprocessError) as another:
            raise Failed(f"{error}. Not everything could be put back ({another}); the hub is stopped") from error
        systemctl("enable", "--now")
        raise Failed(f"{error}. Everything is where it was, and the hub runs") from error
    for book in books:
        as_owner(book, _forget_copy)
    for path in copied:
        _removed(path)
    if _volume_of(one):
        docker("volume", "rm", volume(one))
    if is_subvolume(_HOMES.moving(one)):
        serve.remove(_HOMES, one)
    names = places.people.with_name(FULL_NAMES)
    if names.exists():
        FullNames(names).forget(one)
    systemctl("enable", "--now")


# -- files


def _folder(one: str) -> str:
    return f"from-{one}"


def _has_disk(user: str) -> bool:
    """Whether the user's files are on the disk of homes (hubrun_hub/homes)."""
    return is_subvolume(_HOMES.person(user))


def _volume_of(user: str) -> bool:
    return bool(shutil.which("docker")) and volume(user) in docker("volume", "ls", "-q").split()


def _data(user: str) -> Path:
    if _has_disk(user):
        return _HOMES.person(user)
    return Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume(user)).strip())


def _files(user: str) -> Path | None:
    """The folder with the files of a user who has a volume; None where there are none.

    The folder itself is missing where a run was killed between the two steps of `_join_volumes`.
    """
    data = _data(user)
    return data if data.exists() and any(data.iterdir()) else None


def stop_servers(users: list[str]) -> None:
    """Stop the servers of these users, and autograding, and remove their containers, on nodes too.

    Raises Failed where something else uses their files, and for a node that is away: a server may be at work there.
    """
    if not shutil.which("docker"):
        return
    container.end()  # it writes to gradebooks; its timer waits for the hub (programs/autograde.py)
    for user in users:
        # By their volume: the names of containers say nothing. What else uses it is not a server, and not ours to stop.
        named = docker("ps", "-a", "--format", "{{.Names}}", "--filter", f"volume={volume(user)}").split()
        servers = [each for each in named if each.startswith("jupyter-")]
        if servers:
            docker("stop", *servers)
            docker("rm", "-f", "-v", *servers)
        if others := set(named) - set(servers):
            raise Failed(f"the volume of {user} is used by {', '.join(sorted(others))}")
    for node in nodes():
        _stop_on_node(users, node)


def _stop_on_node(users: list[str], node: str) -> None:
    # There their volumes have no names.
    labels = [f"label={LABEL}={user}" for user in users]
    found = [one for label in labels for one in docker("ps", "-aq", "--filter", label, node=node).split()]
    if found:
        docker("stop", *found, node=node)
        docker("rm", "-f", "-v", *found, node=node)


def _join_volumes(one: str, into: str, undo: list[Callable[[], object]]) -> None:
    data = _files(one) if _volume_of(one) else None
    if data is None:
        return
    if _has_disk(one) or _has_disk(into):
        _copy_home(data, one, into, undo)
        return
    if not _volume_of(into):
        docker("volume", "create", volume(into))
    home = os.open(_data(into), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        # Whatever a student may have put there, this fails then, but for an empty folder (rename(2)).
        os.rename(data, _folder(one), dst_dir_fd=home)
    finally:
        os.close(home)
    there = _data(into) / _folder(one)
    data.mkdir()  # as Docker finds it missing otherwise

    def back() -> None:
        data.rmdir()
        os.rename(there, data)

    undo.append(back)


def _copy_home(data: Path, one: str, into: str, undo: list[Callable[[], object]]) -> None:
    """As `_join_volumes`, where files are on the disk of homes: nothing is renamed from one subvolume to another.

    Who has more than the limit then keeps it, and can only delete.
    """
    if not _volume_of(into) and not _has_disk(into):
        serve.make(_HOMES, into, limit_bytes())
    there = _data(into) / _folder(one)
    copy = there.with_name(f".{there.name}.copy")
    joined = _HOMES.moving(one) if _has_disk(one) else data.with_name(f"{data.name}.joined")
    if os.path.lexists(there):
        raise Failed(f"{into} has a folder {there.name} already")

    def limited() -> None:
        if _has_disk(into):
            btrfs.set_limit(_HOMES.person(into), limit_bytes())

    _removed(copy)  # of a run that was killed
    undo += [lambda: _removed(there), lambda: _removed(copy), limited]
    if _has_disk(into):
        btrfs.run("qgroup", "limit", "none", _HOMES.person(into))
    btrfs.run("-a", "--reflink=auto", data, copy, program="cp", seconds=3600)
    limited()
    copy.rename(there)
    data.rename(joined)
    undo.append(lambda: joined.rename(data))


def _removed(path: Path) -> None:
    btrfs.run("-rf", "--one-file-system", path, program="rm")


def _course_folders(places: Places) -> list[Path]:
    courses = sorted(path for path in places.courses.glob("*") if path.is_dir() and not path.is_symlink())
    folders = [course / below for course in courses for below in COURSE_FOLDERS]
    # `course` and what is below it are written by people's containers: a link there leads nowhere that counts.
    return [each for each in folders if each.is_dir() and not each.is_symlink() and not each.parent.is_symlink()]


def _join_folders(parent: Path, one: str, into: str, undo: list[Callable[[], object]]) -> list[Path]:
    """Rename within a folder that people's containers may write to: should one be a link by now, nothing is done.

    What people handed in, where each is a subvolume (homes/courses.py), is copied: they alone write there, and their
    servers are stopped. Returns what is to go at the end.
    """
    apart = parent.name == "inbound" and any(is_subvolume(parent / user) for user in (one, into))
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with _opened(parent, flags) as above:
        if not os.path.lexists(parent / into):
            os.rename(one, into, src_dir_fd=above, dst_dir_fd=above)
            undo.append(lambda: os.rename(parent / into, parent / one))
            return []
        if apart and is_subvolume(parent / into):
            btrfs.set_limit(parent / into, 0)  # it has its own again within the hour
        with _opened(one, flags, above) as source, _opened(into, flags, above) as target:
            for name in sorted(os.listdir(source)):
                if os.path.lexists(f"/proc/self/fd/{target}/{name}"):
                    raise Failed(f"{parent}/{into} has {name} too")
                if apart:
                    undo.append(lambda name=name: _removed(parent / into / name))  # type: ignore[misc]
                    btrfs.run(
                        "-aT", "--reflink=auto", parent / one / name, parent / into / name, program="cp", seconds=3600
                    )
                    continue
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
                undo.append(lambda name=name: os.rename(parent / into / name, parent / one / name))  # type: ignore[misc]
    return [parent / one] if apart else []


@contextmanager
def _opened(path: Path | str, flags: int, above: int | None = None) -> Iterator[int]:
    file = os.open(path, flags, dir_fd=above)
    try:
        yield file
    finally:
        os.close(file)


# -- gradebooks, which people's containers write: as their owners (`confined`)


def _gradebooks(places: Places) -> list[Path]:
    found = sorted(places.courses.glob("*/course/gradebook.db"))
    return [path for path in found if path.is_file() and not path.is_symlink() and not path.parent.is_symlink()]


_ASSIGNMENTS = """
SELECT assignment.name FROM submitted_assignment JOIN assignment ON assignment.id = assignment_id WHERE student_id = ?
"""


def _grades(path: Path, one: str, into: str) -> dict[str, object]:
    """Whether the gradebook has `one`, with how many submissions, and for what both have one."""
    with closing(open_gradebook(path)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"student", "submitted_assignment", "assignment"} <= tables:
            return {"there": False, "count": 0, "both": []}
        theirs, others = ([name for (name,) in db.execute(_ASSIGNMENTS, (user,))] for user in (one, into))
        there = db.execute("SELECT 1 FROM student WHERE id = ?", (one,)).fetchone() is not None
        return {"there": there, "count": len(theirs), "both": sorted(set(theirs) & set(others))}


def _join_grades(path: Path, one: str, into: str) -> None:
    kept = path.with_name(path.name + _KEPT)
    shutil.copy2(path, kept)
    with closing(open_gradebook(path)) as db:
        refuse_programs(db)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "student" not in tables:
            return
        with transaction(db):
            if not db.execute("SELECT 1 FROM student WHERE id = ?", (into,)).fetchone():
                db.execute("UPDATE student SET id = ? WHERE id = ?", (into, one))
            for table in tables:
                for key in db.execute(f'PRAGMA foreign_key_list("{table}")').fetchall():
                    if key[2] == "student":
                        db.execute(f'UPDATE "{table}" SET "{key[3]}" = ? WHERE "{key[3]}" = ?', (into, one))  # nosec B608
            db.execute("DELETE FROM student WHERE id = ?", (one,))


def _put_back(path: Path) -> None:
    kept = path.with_name(path.name + _KEPT)
    if kept.exists():
        kept.replace(path)


def _forget_copy(path: Path) -> None:
    path.with_name(path.name + _KEPT).unlink(missing_ok=True)


def open_gradebook(path: Path) -> sqlite3.Connection:
    """A gradebook, for who has its owner's rights alone."""
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    # Functions of ours, or of SQLite that do something, are not for what stands in a schema: sqlite.org/pragma.html.
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def refuse_programs(db: sqlite3.Connection) -> None:
    """Raise Failed for what would run by itself while names are written. nbgrader makes no such thing (its api.py)."""
    asks = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%'"
    if found := db.execute(asks).fetchone():
        raise Failed(f"has the {found[0]} {found[1]!r:.60}, which nbgrader does not make: remove it, and run it again")


# -- the hub, and who is who

_GROUPS = """
SELECT groups.name FROM groups JOIN user_group_map ON groups.id = group_id JOIN users ON users.id = user_id
WHERE users.name = ?
"""
_SPAWNERS = "SELECT spawners.id FROM spawners JOIN users ON users.id = user_id WHERE users.name IN (?, ?)"


def _join_users(places: Places, one: str, into: str) -> None:
    """Give `into` the groups and roles of `one`, and whatever `one` is known by; `one` goes. The hub must be stopped."""
    with closing(sqlite3.connect(places.hub, timeout=_BUSY_S, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = ON")  # as JupyterHub does: what belongs to a user goes with it
        db.execute("ATTACH ? AS who", (str(places.people),))
        marks = db.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'hubrun_marks'").fetchone()
        with transaction(db):
            numbers: Mapping[str, int] = dict(
                db.execute("SELECT name, id FROM users WHERE name IN (?, ?)", (one, into))
            )
            for table in ("user_group_map", "user_role_map"):
                db.execute(
                    f"UPDATE OR IGNORE {table} SET user_id = ? WHERE user_id = ?",
                    (numbers[into], numbers[one]),  # nosec B608
                )
            # Their containers are gone.
            db.execute(
                f"DELETE FROM servers WHERE id IN (SELECT server_id FROM spawners WHERE id IN ({_SPAWNERS}))",
                (one, into),
            )  # nosec B608
            db.execute(f"UPDATE spawners SET server_id = NULL, state = NULL WHERE id IN ({_SPAWNERS})", (one, into))  # nosec B608
            db.execute("DELETE FROM users WHERE id = ?", (numbers[one],))
            if marks:
                db.execute(
                    "UPDATE OR IGNORE hubrun_marks SET user = ? WHERE user = ? AND kind <> 'unclaimed'", (into, one)
                )
                db.execute("DELETE FROM hubrun_marks WHERE user = ?", (one,))
            people_of = dict(db.execute("SELECT user, number FROM who.person WHERE user IN (?, ?)", (one, into)))
            if one in people_of:
                pair = (people_of[into], people_of[one])
                db.execute("UPDATE who.stable_id SET person = ? WHERE person = ?", pair)
                db.execute("UPDATE OR IGNORE who.field SET person = ? WHERE person = ?", pair)
                db.execute("DELETE FROM who.person WHERE number = ?", pair[1:])
            db.execute("DELETE FROM who.unclaimed WHERE user = ?", (one,))


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def systemctl(*args: str) -> None:
    """Stop the hub, and see that no boot starts it meanwhile, or the opposite; a hub that is no service is not ours."""
    if subprocess.run(["systemctl", "cat", HUB], capture_output=True, check=False).returncode:
        return
    done = subprocess.run(
        ["systemctl", *args, HUB], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"systemctl {' '.join(args)} {HUB}: {done.stderr.strip()[-300:]}")
