"""Looks at the hub's people, and at what is theirs on the server. Reads, and changes nothing."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from hubrun_hub.renaming import next_names
from hubrun_hub.renaming.next_names import Differing, Noted, Wanted
from hubrun_hub.student_volume import volume

# Sizes are counted for so long, in seconds; of what is left it is only said that there are files.
_COUNTING_S = 20.0
_USERNAME_KEY = re.compile(r"""^\s*c\.\w+\.username_key\s*=\s*["'](\w+)["']""", re.MULTILINE)
_PART = "25-lti.py"
# In the order of nbgrader's own: below each of these of a course's folders there is one for each person.
COURSE_FOLDERS = ("inbound", "feedback", "course/submitted", "course/autograded", "course/feedback")


class Failed(Exception):
    """Something on the server is not as it must be; the text is one line for people."""


class Places(NamedTuple):
    """Where things are. state: the hub's folder. config: its configuration. courses: the folders of courses."""

    state: Path
    config: Path
    courses: Path

    @property
    def hub(self) -> Path:
        return self.state / "jupyterhub.sqlite"

    @property
    def people(self) -> Path:
        return self.state / "lti_people.sqlite"

    @property
    def journal(self) -> Path:
        return self.state / "renaming.json"


class Look(NamedTuple):
    """users: the hub's. found: who gets another name. left: of these and the unknown, whom the operator decided to leave.

    key: the one that is in force, "" when that cannot be told. problems: user → why they cannot be renamed.
    sizes: name → bytes of the files (-1: not counted), for each name with files.
    """

    users: list[str]
    found: Differing
    left: dict[str, str]
    key: str
    problems: dict[str, str]
    sizes: dict[str, int]


def look(settings: dict[str, Any], counting_s: float = _COUNTING_S) -> Look:
    """Compare the names of the hub's people. settings: `places`, `key`, `consumers`. Raises Failed, sqlite3.Error."""
    places = places_of(settings)
    with closing(_open(places.hub)) as db:
        users = [str(name) for (name,) in db.execute("SELECT name FROM users")]
    notes, left = _notes(places.people)
    key, wanted = _wanted(places.config, settings)
    every = next_names.differing(users, notes, wanted)
    found = Differing(
        {user: name for user, name in every.names.items() if left.get(user) != name},
        [user for user in every.unknown if user not in left],
        every.known,
    )
    theirs = {*found.names, *found.names.values(), *found.unknown}
    sizes = _sizes(places, theirs, counting_s) if theirs else {}
    return Look(users, found, left, key, next_names.obstacles(found, users, sizes), sizes)


def report(settings: dict[str, Any]) -> str:
    """What `look` found as JSON; "" when nobody is concerned."""
    places = places_of(settings)
    try:
        seen = look(settings)
    except (Failed, sqlite3.Error, OSError) as error:
        return json.dumps({"error": str(error)})
    interrupted = places.journal.exists()
    if not (seen.found.names or seen.found.unknown or interrupted):
        return ""
    return json.dumps(
        {
            "people": [
                {"old": old, "new": new, "bytes": seen.sizes.get(old), "problem": seen.problems.get(old, "")}
                for old, new in seen.found.names.items()
            ],
            "unknown": [{"old": user, "bytes": seen.sizes.get(user)} for user in seen.found.unknown],
            "key": seen.key,
            "interrupted": interrupted,
        }
    )


def places_of(settings: dict[str, Any]) -> Places:
    """Where things are, from `settings["places"]`."""
    return Places(*(Path(path) for path in settings["places"]))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)


def _notes(path: Path) -> tuple[dict[str, dict[str, list[Noted]]], dict[str, str]]:
    """What was noted of each user, and who is left as they are with which other name before them."""
    notes: dict[str, dict[str, list[Noted]]] = {}
    if not path.exists():
        return notes, {}
    with closing(_open(path)) as db:
        for user, field, *noted in db.execute("SELECT user, field, value, consumer, prefix, version, at FROM identity"):
            notes.setdefault(user, {}).setdefault(field, []).append(Noted(*noted))
        return notes, dict(db.execute("SELECT user, name FROM left_as_is"))


def _wanted(config: Path, settings: dict[str, Any]) -> tuple[str, Wanted]:
    """The lti_username_key that is in force, and what will be configured. A later part of conf.d wins in both."""
    parts = sorted((config / "conf.d").glob("*.py"))
    texts = {
        path.name: path.read_text(errors="replace")
        for path in [config / "jupyterhub_config.py", *parts]
        if path.exists()
    }
    now = [key for text in texts.values() for key in _USERNAME_KEY.findall(text)]
    later = [
        key for name, text in texts.items() if name > _PART and name[0].isdigit() for key in _USERNAME_KEY.findall(text)
    ]
    key = later[-1] if later else settings["key"]
    consumers = {name: (prefix, versions) for name, prefix, versions in settings["consumers"]}
    present = now[-1] if now else ""
    return present, Wanted(key, consumers, present not in ("", key), "LaunchAuthenticator" in texts.get(_PART, ""))


# -- what is whose


def docker(*args: str) -> str:
    """What a docker command prints. Raises Failed."""
    done = subprocess.run(["docker", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"docker {' '.join(args[:2])}: {done.stderr.strip()[-300:]}")
    return done.stdout


def volumes(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name of a user → what Docker says of their volume, for those of `names` who have one. Raises Failed."""
    if not shutil.which("docker"):
        return {}
    there = set(docker("volume", "ls", "-q").split())
    wanted = {volume(name): name for name in names}
    known = sorted(there & wanted.keys())
    found: list[dict[str, Any]] = json.loads(docker("volume", "inspect", *known)) if known else []
    return {wanted[each["Name"]]: each for each in found}


def course_folders(places: Places) -> list[Path]:
    """The folders of courses that have one for each person."""
    courses = sorted(path for path in places.courses.glob("*") if path.is_dir() and not path.is_symlink())
    folders = [course / below for course in courses for below in COURSE_FOLDERS]
    # `course` and what is below it are written by people's containers: a link there leads nowhere that counts.
    return [path for path in folders if path.is_dir() and not path.is_symlink()]


def _sizes(places: Places, names: set[str], counting_s: float) -> dict[str, int]:
    """Bytes of the files of each of `names` who has some, in the volume and the folders of courses; -1: not counted."""
    found: dict[str, int] = {}
    theirs = {name: [Path(each["Mountpoint"])] for name, each in volumes(names).items()}
    for parent in course_folders(places):
        for name in names:
            if (parent / name).is_dir():
                theirs.setdefault(name, []).append(parent / name)
    end = time.monotonic() + counting_s
    for name, folders in theirs.items():
        if any(True for folder in folders for _ in folder.glob("*")):
            found[name] = _bytes(folders, end)
    return found


def _bytes(folders: list[Path], end: float) -> int:
    """The bytes of all files below; -1 when counting takes longer than until `end` (time.monotonic)."""
    command = ["find", *map(str, folders), "-type", "f", "-printf", "%s\\n"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return -1
    return sum(map(int, done.stdout.split()))
