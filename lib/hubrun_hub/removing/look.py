"""Counts what there is of people, or of a course. Reads only."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from hubrun_hub import student_volume
from hubrun_hub.docker_command import docker, engines
from hubrun_hub.failed import Failed
from hubrun_hub.homes.move import OLD
from hubrun_hub.homes.places import Homes
from hubrun_hub.joining.confined import as_owner
from hubrun_hub.joining.homes import COURSE_FOLDERS, Places, open_gradebook
from hubrun_hub.removing import TRASH
from hubrun_hub.removing.whose import Wanted

# Who looks waits for it.
_SECONDS = 60
# Of a course: a file for each person (courses/due_records.py, autograding/records.py).
_RECORDS = ("due", "graded")


class Part(NamedTuple):
    """Something that goes: how many of what, where, and of how many bytes (-1: it took too long to count them)."""

    what: str
    where: str
    number: int
    size: int = 0


class Volume(NamedTuple):
    """A volume of Docker's with somebody's files. plain: they are in `data`; else on the disk of homes."""

    name: str
    plain: bool
    data: Path


def parts(wanted: Wanted, places: Places, top: Path | None) -> list[Part]:
    """What there is of `wanted`. top: the courses, as `tree` shows them; None where there are none. Raises Failed."""
    servers = Part("servers that run, and are stopped", "Docker", len(running(wanted.users)))
    if wanted.kind == "course":
        folder = top / wanted.name if top else None
        found = [_files("files of the course", places.courses / wanted.name, [folder] if folder else [])]
        groups = (
            f"SELECT count(*) FROM groups WHERE name IN ('course-{wanted.name}', 'course-{wanted.name}-instructors')"
        )
        return [*_there([*found, Part("its groups", "the hub", _count(places.hub, groups))]), *_there([servers])]
    homes = Homes()
    plain = [each.data for each in volumes(wanted.users) if each.plain]
    disk = [homes.person(user) for user in wanted.users if homes.person(user).is_dir()]
    snapshots = [
        each for user in wanted.users if homes.snapshots(user).is_dir() for each in homes.snapshots(user).iterdir()
    ]
    folders = [path for path in (folders_of(top, wanted.users) if top else ())]
    books = list(gradebooks(top)) if top else []
    rows = sum(as_owner(book, _submissions, list(wanted.users)) for book in books)
    marks = ",".join("?" * len(wanted.users))
    people = f"SELECT count(*) FROM stable_id WHERE person IN (SELECT number FROM person WHERE user IN ({marks}))"
    return _there([
        _files("files of homes", "Docker's volumes", plain), _files("files of homes", str(homes.root), disk),
        Part("snapshots of homes", str(homes.root), len([each for each in snapshots if each.is_dir()])),
        _files("files handed in, collected and sent back", str(places.courses), folders),
        Part("submissions with grades", "gradebooks of courses", rows),
        Part("users", "the hub", _count(places.hub, f"SELECT count(*) FROM users WHERE name IN ({marks})", wanted.users)),
        Part("ids of the LMS", "who is who", _count(places.people, people, wanted.users)),
        servers,
    ])  # fmt: skip


def _there(found: Iterable[Part]) -> list[Part]:
    return [part for part in found if part.number]


def running(users: Iterable[str]) -> list[str]:
    """The containers of these users, by Docker's ids, on the manager and on nodes."""
    words = ("ps", "-q", "--filter", "label=hubrun.student", "--format", '{{.ID}} {{.Label "hubrun.student"}}')
    pairs = (line.split(" ", 1) for node in engines() for line in docker(*words, node=node).splitlines())
    return [container for container, user in pairs if user in set(users)]


def volumes(users: Iterable[str]) -> list[Volume]:
    """The volumes of these users, those of before the disk of homes too. On nodes they have no names, and go with containers."""
    there = set(docker("volume", "ls", "-q").split())
    escaped = [student_volume.escaped(user) for user in users]
    names = [name for each in escaped for name in (student_volume.PREFIX + each, OLD + each) if name in there]
    if not names:
        return []
    said = docker("volume", "inspect", "--format", "{{.Name}} {{len .Options}} {{.Mountpoint}}", *names)
    found = (line.split(" ", 2) for line in said.splitlines())
    return [Volume(name, options == "0", Path(data)) for name, options, data in found]


def roots(top: Path) -> Iterator[Path]:
    """The folder of each course, and what of courses was restored beside them."""
    for course in sorted(top.iterdir()):
        if course.name != TRASH and _is_folder(course):
            yield course
            with suppress(OSError):  # its people change it meanwhile
                yield from (each for each in sorted((course / "course").glob("restored-*")) if _is_folder(each))


def folders_of(top: Path, users: Iterable[str]) -> Iterator[Path]:
    """The folders of these users in all courses, and what the server noted of them there."""
    named = list(users)
    for root in roots(top):
        for below in COURSE_FOLDERS:
            yield from (path for user in named if _is_folder(path := root / below / user))
        yield from (path for kind in _RECORDS for user in named if _is_file(path := root / kind / user))


def gradebooks(top: Path) -> Iterator[Path]:
    """The gradebooks of all courses, with the copies that backups make."""
    for root in roots(top):
        for name in ("gradebook.db", ".gradebook.db.hubrun-copy"):
            with suppress(OSError):
                if (path := root / "course" / name).is_file() and not path.is_symlink():
                    yield path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not path.is_symlink()
    except OSError:  # whatever they put there
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink()
    except OSError:
        return False


def _files(what: str, where: Path | str, folders: list[Path]) -> Part:
    there = [str(each) for each in folders if each.exists()]
    if not there:
        return Part(what, str(where), 0)
    # find(1) follows no link, goes to any depth, and opens no file.
    command = ["find", *there, "-type", "f", "-printf", "%b\\n"]
    try:
        blocks = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).stdout.split()
    except subprocess.TimeoutExpired:
        return Part(what, str(where), len(there), -1)
    # A folder without a file in it goes, too.
    return Part(what, str(where), len(blocks) or len(there), sum(map(int, blocks)) * 512)


def _submissions(path: Path, users: list[str]) -> int:
    with closing(open_gradebook(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'submitted_assignment'").fetchone():
            return 0
        asks = "SELECT count(*) FROM submitted_assignment WHERE student_id = ?"
        return sum(int(db.execute(asks, (user,)).fetchone()[0]) for user in users)


def _count(database: Path, query: str, values: Iterable[str] = ()) -> int:
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            return int(db.execute(query, tuple(values)).fetchone()[0])
    except sqlite3.Error as error:
        raise Failed(f"{database}: {error}") from error
