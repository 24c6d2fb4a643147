"""What somebody has of an assignment, taken out of their home as it is, and put where submissions are collected from.

Root does it, so that whatever a student did is no way out: no link is followed, on the way or at the end, nothing but plain
files is copied, and of these no more than `MOST_BYTES` and `MOST_FILES`. What was taken is root's: its student can read it
and not remove it, as the folder around it is sticky (sticky(7)). Its time is when anything in it was changed last, by the
kernel's own mark, which nobody in a container can set.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

from .. import student_volume
from ..courses.mounts import HAND_INS
from ..homes.places import Homes, is_subvolume

# With what each file counts besides, less than an instructor's side takes (hubrun_student/nbgrader/exchange.py).
MOST_BYTES, MOST_FILES, DEPTH = 75 * 2**20, 5000, 20
_STAGED = ".taken."
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe or a device does not hold us up: it is opened, and is no plain file.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def check_disk(homes: str) -> None:
    """Raise HomeError where homes have a disk of their own, and it is not there: then nothing can be said of anybody."""
    if homes:
        Homes(Path(homes)).check_mounted()


def home_of(user: str, homes: str) -> Path | None:
    """The folder of somebody's files; None where they have none. homes: the folder of all homes on a disk of their own, or "".

    Raises OSError, HomeError, SubprocessError. That the disk is there was checked: without it nobody would have any.
    """
    if homes and is_subvolume(person := Homes(Path(homes)).person(user)):
        return person
    words = ["docker", "volume", "inspect", "-f", "{{.Mountpoint}}", student_volume.volume(user)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode and "no such volume" not in done.stderr.lower():
        raise OSError(f"docker volume: {done.stderr.strip()[-200:]}")
    return Path(done.stdout.strip()) if done.returncode == 0 else None


class TooMuch(Exception):
    """There is more than is taken; the text says what."""


class _Room:
    """What may still be copied; changed: when anything of what was copied changed last, in seconds since 1970."""

    def __init__(self) -> None:
        self.bytes, self.files, self.changed = MOST_BYTES, MOST_FILES, 0.0

    def take(self, found: os.stat_result) -> None:
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        self.changed = max(self.changed, found.st_ctime)
        self.bytes, self.files = self.bytes - size, self.files - 1
        if self.bytes < 0 or self.files < 0:
            raise TooMuch(f"more than {MOST_BYTES >> 20} MB or {MOST_FILES} files")


def take(home: Path, inside: tuple[str, ...], inbound: Path, user: str, terms: str = "") -> Path | None:
    """Copy the folder `inside` of a home into `inbound`, this user's folder of submissions; where it is now.

    terms: what its name says besides (courses/due_dates.py). None where the home has no such folder. `inbound`'s parent is root's alone. Raises OSError, TooMuch; nothing is left then.
    """
    with _at(home, inside) as source:
        if source is None:
            return None
        with _staged(inbound) as staged:
            room = _Room()
            _copy(source, staged, room, DEPTH)
            stamp = _stamp(room.changed)
            # As nbgrader's own submissions: by the second one feedback finds its way back (release_feedback.py there).
            for name, text in (("timestamp.txt", stamp), ("submission_secret.txt", secrets.token_hex(64))):
                (staged / name).unlink(missing_ok=True)
                (staged / name).write_text(text)
                (staged / name).chmod(0o644)
            return _hand_in(staged, inbound, f"{user}+{inside[-1]}+{stamp}", terms)


def nothing(inbound: Path, user: str, assignment: str, terms: str = "") -> None:
    """Leave an empty folder where nothing could be taken: by it is known that what comes later was not there. Raises OSError."""
    with _staged(inbound) as staged:
        _hand_in(staged, inbound, f"{user}+{assignment}+{_stamp(time.time())}", terms)


@contextmanager
def _staged(inbound: Path) -> Iterator[Path]:
    """A folder in `inbound`, which may be a subvolume, out of which nothing is renamed; only root gets in, and what is left goes.

    As the folder around it is sticky, nobody else puts something into its place.
    """
    inbound.chmod(HAND_INS)
    for left in inbound.glob(f"{_STAGED}*"):  # of a time that was killed
        if left.lstat().st_uid == os.getuid():
            shutil.rmtree(left)
    staged = inbound / f"{_STAGED}{secrets.token_hex(8)}"
    staged.mkdir(mode=0o700)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _hand_in(staged: Path, inbound: Path, name: str, terms: str) -> Path:
    """Put it among the submissions, under a name that nobody can guess, by a rename that follows no link: rename(2)."""
    staged.chmod(0o755)
    return staged.rename(inbound / f"{name}+{secrets.token_hex(8)}{terms}")


def _stamp(seconds: float) -> str:
    """As nbgrader writes times."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f UTC")  # noqa: UP017 - Python 3.10


@contextmanager
def _at(home: Path, inside: tuple[str, ...]) -> Iterator[int | None]:
    """The folder, opened part by part from a home that is root's to name; None where one is missing or is none."""
    folder = os.open(home, _FOLDER)
    try:
        for name in inside:
            if "/" in name or name in ("", ".", ".."):
                raise OSError(f"{name!r} is no name of a folder")
            try:
                below = os.open(name, _FOLDER, dir_fd=folder)
            except (
                FileNotFoundError,
                NotADirectoryError,
            ):  # a link is no folder here: open(2), O_DIRECTORY, O_NOFOLLOW
                yield None
                return
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _copy(source: int, target: Path, room: _Room, depth: int) -> None:
    room.changed = max(room.changed, os.fstat(source).st_ctime)
    if depth == 0:
        raise TooMuch(f"more than {DEPTH} folders deep")
    with os.scandir(source) as entries:
        names = [entry.name for entry in islice(entries, MOST_FILES + 1)]
    if len(names) > MOST_FILES:  # before all of a million are in memory
        raise TooMuch(f"more than {MOST_FILES} files in one folder")
    for name in sorted(names):
        try:
            found = os.stat(name, dir_fd=source, follow_symlinks=False)
        except FileNotFoundError:
            continue
        # Hidden ones are of git, editors and Jupyter's checkpoints: the instructor's side leaves them out too.
        if name.startswith(".") or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            continue
        try:
            opened = os.open(name, _FOLDER if stat.S_ISDIR(found.st_mode) else _FILE, dir_fd=source)
        except FileNotFoundError:
            continue
        try:
            found = os.fstat(opened)
            room.take(found)
            if stat.S_ISDIR(found.st_mode):
                (target / name).mkdir(mode=0o755)
                (target / name).chmod(0o755)
                _copy(opened, target / name, room, depth - 1)
            elif stat.S_ISREG(found.st_mode):
                _write(opened, target / name, found.st_size)
        finally:
            os.close(opened)


def _write(opened: int, path: Path, size: int) -> None:
    """As many bytes as it had when it was counted: it may grow meanwhile."""
    with path.open("xb") as file:
        while size > 0 and (piece := os.read(opened, min(size, 1 << 20))):
            file.write(piece)
            size -= len(piece)
    path.chmod(0o644)
