"""A course as one file that opens without this project, and its removal."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sqlite3
import stat
import subprocess
import tarfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

from hubrun_hub.failed import Failed
from hubrun_hub.joining.confined import as_owner
from hubrun_hub.joining.homes import FULL_NAMES, Places, open_gradebook
from hubrun_hub.removing import ARCHIVES
from hubrun_hub.watching import usage

# A file that says to be this much larger than it is on the disk is not read: nobody lives to see its end.
_HOLLOW = 1 << 30
# What an archive that was damaged says.
UNREADABLE = (tarfile.TarError, EOFError, zlib.error)
_README = """\
Course {course} ({title}), as it was on {at}.

grades.csv    one line for each student and assignment, from nbgrader's gradebook. UTF-8, for any spreadsheet.
people.csv    who was in the course, as the hub called them, and by which name the LMS did.
files/        the course's folder on the server, as it was:
  course/       what its instructors see: source, release, submitted, autograded, feedback, gradebook.db (SQLite)
  outbound/     assignments that were released
  inbound/      what was handed in, a folder for each student
  feedback/     what was sent back to them
  due/          what the server took of whom when it was due, where it did
  graded/       what came of autograding it, where the server did that
  shared/, groups/   what its staff shared, and its groups' work, where it had these

To open it: tar -xf FILE. Notebooks open in Jupyter, gradebook.db with nbgrader or any program for SQLite.
"""
_GRADES = """
SELECT student.id, student.first_name, student.last_name, assignment.name, submitted_assignment.timestamp,
    (SELECT sum(coalesce(manual_score, auto_score, 0) + CASE WHEN coalesce(manual_score, auto_score) IS NULL THEN 0
        ELSE coalesce(extra_credit, 0) END) FROM grade JOIN submitted_notebook ON submitted_notebook.id = grade.notebook_id
        WHERE submitted_notebook.assignment_id = submitted_assignment.id),
    (SELECT sum(coalesce(late_submission_penalty, 0)) FROM submitted_notebook
        WHERE submitted_notebook.assignment_id = submitted_assignment.id),
    (SELECT sum(max_score) FROM (SELECT id, max_score FROM grade_cells UNION ALL SELECT id, max_score FROM task_cells) AS cells
        JOIN base_cell ON base_cell.id = cells.id JOIN notebook ON notebook.id = base_cell.notebook_id
        WHERE notebook.assignment_id = assignment.id)
FROM submitted_assignment JOIN student ON student.id = student_id JOIN assignment ON assignment.id = assignment_id
ORDER BY 4, 1
"""
_COLUMNS = (
    "student",
    "first_name",
    "last_name",
    "assignment",
    "handed_in_utc",
    "raw_score",
    "late_penalty",
    "max_score",
)


def archive(course: str, source: Path, top: Path, places: Places) -> Path:
    """Make the archive of a course from its folder `source`, test that it holds all of it, and give it its name.

    top: of a tree in which `source` is at COURSE/files (`tree.put_together`). Raises Failed; then there is no new archive.
    """
    ARCHIVES.mkdir(mode=0o700, parents=True, exist_ok=True)
    final = ARCHIVES / f"{course}-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}.tar.gz"
    part = final.with_name(f"{final.name}.part")
    began = time.time()
    _explain(course, source, top / course, places)
    # In its sparse form a file of holes is as small as on the disk. 1: a file changed while it was read; that is seen below.
    done = subprocess.run(
        ["tar", "-C", str(top), "--sparse", "--format=gnu", "-czf", str(part), course],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, umask=0o077,
    )  # fmt: skip
    try:
        if done.returncode not in (0, 1):
            raise Failed(
                f"the archive cannot be written: {ascii((done.stderr.strip().splitlines() or ['tar failed'])[-1][-300:])}"
            )
        if missing := differing(part, course, top / course / "files", began):
            raise Failed(f"the archive lacks {len(missing)} files, such as {ascii(missing[0][:200])}; run it again")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.utime(part, (began, began))
    part.rename(final)
    return final


def existing(course: str) -> Path | None:
    """The last archive of a course; None where there is none."""
    name = re.compile(rf"{re.escape(course)}-\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d\.tar\.gz")
    found = [each for each in ARCHIVES.glob("*.tar.gz") if name.fullmatch(each.name)] if ARCHIVES.is_dir() else []
    return max(found, key=lambda each: each.name, default=None)


def is_current(found: Path, folder: Path) -> bool:
    """Whether nothing in the course's folder changed since the archive was begun."""
    command = ["find", str(folder), "-newerct", f"@{found.stat().st_mtime:.3f}", "-print", "-quit"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0 and not done.stdout  # it fails at what goes while it looks


def holds(found: Path, course: str, live: Path) -> bool:
    """Whether the archive can be read, and has all of the folder `live`."""
    try:
        return not differing(found, course, live)
    except (*UNREADABLE, OSError):
        return False


def digest(path: Path) -> str:
    """SHA-256 of a file, as sha256sum(1) prints it."""
    with path.open("rb") as file:
        return _hashed(file)


class Entry(NamedTuple):
    """What is at a path: its kind (f, d, l, or other), bytes, and digest or target; "" for what is not read."""

    kind: str
    size: int = 0
    what: str = ""


def differing(found: Path, course: str, live: Path, began: float = float("inf")) -> list[str]:
    """What is in the folder `live` and not, or otherwise, in the archive; what changed after `began` may differ."""
    kept = _in_archive(found, f"{course}/files/")
    return [
        path
        for path, changed, seen in _on_disk(live)
        if changed < began and not _same(kept.get(path), seen, live, path)
    ]


def _same(kept: Entry | None, seen: Entry, live: Path, path: str) -> bool:
    if kept is None or kept.kind != seen.kind:
        return False
    if seen.kind == "f":
        return kept.size == seen.size and kept.what in ("", _digest_below(live, path) if kept.what else "")
    return kept.what == seen.what


def _in_archive(found: Path, folder: str) -> dict[str, Entry]:
    """Path below `folder` → what the archive has there."""
    kept: dict[str, Entry] = {}
    links: dict[str, str] = {}
    with tarfile.open(found, "r|gz", errorlevel=2) as tar:
        for member in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # of a stream nobody asks for them again
            if not member.name.startswith(folder):
                continue
            path = member.name.removeprefix(folder)
            if member.isreg():
                # Of a sparse file the parts that are there: (offset, size) each, which typeshed takes for bytes.
                parts: Any = member.sparse
                stored = sum(size for _, size in parts) if parts else member.size
                hollow = member.size > stored + _HOLLOW
                data = None if hollow else tar.extractfile(member)
                kept[path] = Entry("f", member.size, _hashed(data) if data else "")
            elif member.islnk():
                links[path] = member.linkname.removeprefix(folder)
            else:
                kind = "l" if member.issym() else "d" if member.isdir() else "other"
                kept[path] = Entry(kind, what=member.linkname if kind == "l" else "")
    return kept | {path: kept[first] for path, first in links.items() if first in kept}


def _on_disk(live: Path) -> Iterator[tuple[str, float, Entry]]:
    """Path below `live`, when it changed last (s since 1970), and what it is; without digests."""
    command = ["find", str(live), "-mindepth", "1", "-printf", "%y %C@ %s %l\\0%P\\0"]
    words = map(os.fsdecode, subprocess.run(command, capture_output=True, check=False).stdout.split(b"\0"))
    for about, path in zip(words, words, strict=False):
        kind, changed, size, link = about.split(" ", 3)
        if kind != "s":  # a socket, of a program that has ended: tar leaves it out
            entry = Entry("f", int(size)) if kind == "f" else Entry(kind if kind in "dl" else "other", what=link)
            yield path, float(changed), entry


def _digest_below(top: Path, path: str) -> str:
    """The digest of a file, however deep it lies; "" of what is none by now. No link is followed."""
    at = os.open(top, os.O_PATH | os.O_DIRECTORY)
    try:
        *folders, name = path.split("/")
        for folder in folders:
            below = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at), "rb") as file:
            return _hashed(file) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else ""
    except OSError:
        return ""
    finally:
        os.close(at)


def _hashed(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    while part := file.read(1 << 20):
        found.update(part)
    return found.hexdigest()


# -- what is beside the files


def _explain(course: str, source: Path, folder: Path, places: Places) -> None:
    title, inside = usage.members(places.hub).get(course, ("", set()))
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    text = _README.format(course=course, title=title or "without a title", at=at)
    staff = _members(places.hub, f"course-{course}-instructors")
    names = _full_names(places)
    people = [(user, "instructor" if user in staff else "student", names.get(user, "")) for user in sorted(inside)]
    _table(folder / "people.csv", ("user", "role", "name"), people)
    book = source / "course" / "gradebook.db"
    try:
        if book.is_file() and not book.is_symlink():
            _table(folder / "grades.csv", _COLUMNS, as_owner(book, _grades))
    except (Failed, OSError) as error:  # whatever its instructors made of it, the course can be archived
        text += f"\nThere is no grades.csv, because gradebook.db cannot be read: {ascii(str(error))}\n"
    (folder / "README.txt").write_text(text)


def _members(hub: Path, group: str) -> set[str]:
    with closing(sqlite3.connect(f"{hub.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        return {user for name, _, user in db.execute(usage.GROUPS) if name == group and user}


def _full_names(places: Places) -> dict[str, str]:
    path = places.people.with_name(FULL_NAMES)
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        return {user: str(name).replace("\t", " ") for user, name in db.execute("SELECT user, name FROM full_name")}


def _grades(path: Path) -> list[list[Any]]:
    with closing(open_gradebook(path)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return [list(row) for row in db.execute(_GRADES)] if "submitted_assignment" in tables else []


def _table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows([_harmless(value) for value in row] for row in rows)


def _harmless(value: Any) -> Any:
    """A spreadsheet takes some beginnings of a text for a formula (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r\n") and value else value
