"""Who uses how much of the disk: measured from time to time, because it takes minutes, and kept in a file."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from hubrun_hub.courses import mounts

# Whoever makes so many files that they cannot be counted by then keeps nobody else's from being counted.
_EACH_S = 120
# Name and properties of each group, with each of its users.
GROUPS = """
SELECT groups.name, groups.properties, users.name FROM groups
LEFT JOIN user_group_map ON groups.id = group_id LEFT JOIN users ON users.id = user_id
"""


def measure(courses: Path, homes: Mapping[str, Path]) -> dict[str, Any]:
    """What the homes (user → folder) and the folders of courses take, in MB; None where it could not be counted."""
    found = {user: _megabytes(folder) for user, folder in sorted(homes.items())}
    folders = [each for each in sorted(courses.glob("*")) if each.is_dir() and not each.is_symlink()]
    return {"at": time.time(), "homes": found, "courses": {each.name: _megabytes(each) for each in folders}}


def _megabytes(folder: Path) -> int | None:
    # du(1) follows no link, goes to any depth, and its total is that of what it could read while others write.
    try:
        done = subprocess.run(["du", "-sm", "--", str(folder)], capture_output=True, text=True, timeout=_EACH_S)
        return int(done.stdout.split()[0])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def members(database: Path) -> dict[str, tuple[str, set[str]]]:
    """Course → what people call it, and who is in it, by the hub's database. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=2)) as db:
        rows = db.execute(GROUPS).fetchall()
    found: dict[str, tuple[str, set[str]]] = {}
    for group, properties, user in rows:
        for each in mounts.memberships([group]):
            says = json.loads(properties or "{}")
            name, people = found.get(each.course, ("", set()))
            name = name or next((str(says[key]) for key in ("label", "title") if says.get(key)), "")
            found[each.course] = (name, people | ({user} if user else set()))
    return found


def shares(
    kept: Mapping[str, Any], courses: Mapping[str, tuple[str, set[str]]], servers: Iterable[Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Who uses how much, the largest first: by person, and by course with all of its people. Pure.

    kept: what `measure` returned; servers: those that run, with `user` and `memory_mb`. disk_mb is None where it is not
    known. A person of two courses counts in both.
    """
    homes: Mapping[str, int | None] = kept.get("homes", {})
    folders: Mapping[str, int | None] = kept.get("courses", {})
    memory: dict[str, int] = {}
    for each in servers:
        memory[each["user"]] = memory.get(each["user"], 0) + (each["memory_mb"] or 0)
    used = sorted(homes.keys() | memory.keys(), key=lambda user: (-(homes.get(user) or 0), -memory.get(user, 0), user))
    people = [{"user": user, "disk_mb": homes.get(user), "memory_mb": memory.get(user, 0)} for user in used]

    def disk(course: str) -> int:
        return sum(homes.get(user) or 0 for user in courses.get(course, ("", set()))[1])

    groups = []
    for course in sorted(
        courses.keys() | folders.keys(), key=lambda each: (-(folders.get(each) or 0) - disk(each), each)
    ):
        name, inside = courses.get(course, ("", set()))
        groups.append({
            "course": course, "name": name or course, "people": len(inside), "folder_mb": folders.get(course),
            "homes_mb": disk(course), "memory_mb": sum(memory.get(user, 0) for user in inside),
        })  # fmt: skip
    return {"people": people, "courses": groups}
