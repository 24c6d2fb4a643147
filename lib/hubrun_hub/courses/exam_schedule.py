"""Which exam somebody sits in at a moment; what that means for a server is in `exams`. Pure."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .course_settings import settings_of
from .mounts import memberships, words_of

# On a container that is in an exam: its key.
LABEL = "hubrun.exam"
# Exam's key → "from" and "until", where its course's staff moved them (exams/page.py).
CHANGES = Path("/var/lib/jupyterhub/exams.json")
# Before an exam begins: addresses of its hosts are found.
AHEAD = timedelta(minutes=10)
# After its end nobody's server starts for so long: what they have is taken as it stood.
TAKING = timedelta(seconds=60)

# The name of a group, and what its launches said (its properties).
Group = tuple[str, Mapping[str, object]]


@dataclass(frozen=True)
class Exam:
    """An exam of the course that the site calls `course`. begins, ends: with their zone, as they were written.

    key: names it in labels and files. hosts: names. assignment: what is taken at its end, "" for nothing.
    """

    key: str
    course: str
    begins: datetime
    ends: datetime
    hosts: tuple[str, ...]
    assignment: str = ""

    @property
    def until(self) -> str:
        """When it ends, for people; with the day where it is another than that on which it begins."""
        return f"{self.ends:%H:%M}" if self.ends.date() == self.begins.date() else f"{self.ends:%Y-%m-%d %H:%M}"

    def is_on(self, now: datetime) -> bool:
        """Whether it is under way; it ends with the last second before `ends`."""
        return self.begins <= now < self.ends

    def was_just_on(self, now: datetime) -> bool:
        """Whether it ended a moment ago, and its work is being taken."""
        return bool(self.assignment) and self.ends <= now < self.ends + TAKING

    def is_near(self, now: datetime) -> bool:
        """Whether it is under way, about to begin, or ended a moment ago: a server that was just starting ends too."""
        return self.begins - AHEAD <= now < self.ends + TAKING


def with_changes(site: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The site, with exams that its courses' staff moved. changes: what CHANGES has; what of it is no time, counts for nothing."""
    entries = []
    for entry in site.get("course_settings", ()):
        exam = exam_in(entry)
        change = changes.get(exam.key, {}) if exam else {}
        moved = {name: time for name in ("from", "until") if (time := _time(change.get(name)))}
        entries.append(
            {**entry, "exam": {"planned": entry["exam"]["from"], **entry["exam"], **moved}} if moved else entry
        )
    return {**site, "course_settings": entries}


def _time(text: object) -> str:
    try:
        return str(text) if datetime.fromisoformat(str(text)).tzinfo else ""
    except ValueError:
        return ""


def read_changes(path: Path = CHANGES) -> dict[str, Any]:
    """What staff changed. The file is the hub's own, and root reads it too: neither a link nor a pipe leads anywhere."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
            found = json.loads(file.read(1 << 20))
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: each for key, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


def exam_in(entry: Mapping[str, Any]) -> Exam | None:
    """The exam of an entry of the site's `course_settings`; None where it has none."""
    if not (exam := entry.get("exam")):
        return None
    name = f"{entry.get('consumer', '')}\0{entry['course']}\0{exam.get('planned', exam['from'])}"
    begins, ends = (datetime.fromisoformat(exam[each]) for each in ("from", "until"))
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    return Exam(key, str(entry["course"]), begins, ends, tuple(exam.get("hosts", ())), str(exam.get("assignment", "")))


def exams(site: Mapping[str, Any]) -> list[Exam]:
    """All exams that the site's file has, past ones too."""
    found = (exam_in(entry) for entry in site.get("course_settings", ()))
    return [exam for exam in found if exam]


def sat(site: Mapping[str, Any], groups: Iterable[Group]) -> list[tuple[Exam, str]]:
    """The exams of somebody who is in `groups`, each with its course's id; those of a course that they teach are none."""
    known = list(groups)
    says = words_of(known)
    mine = [each.course for each in memberships(name for name, _ in known) if not each.teaches]
    found = [(exam_in(settings_of(site, says[course])), course) for course in mine]
    return [(exam, course) for exam, course in found if exam]


def sits_in(site: Mapping[str, Any], groups: Iterable[Group], now: datetime) -> tuple[Exam, str] | None:
    """The exam that this person sits in now, with its course's id. Of two at a time it is the one that ends first."""
    on = [(exam, course) for exam, course in sat(site, groups) if exam.is_on(now)]
    return min(on, key=lambda each: (each[0].ends, each[1]), default=None)
