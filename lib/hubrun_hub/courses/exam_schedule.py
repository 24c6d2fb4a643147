"""Which exam somebody sits in at a moment; what that means for a server is in `exams`. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from .course_settings import settings_of
from .mounts import memberships, words_of

# On a container that is in an exam: its key.
LABEL = "hubrun.exam"
# Before an exam begins: addresses of its hosts are found.
AHEAD = timedelta(minutes=10)
# After its end nobody's server starts for so long: what they have is taken as it stood.
TAKING = timedelta(seconds=60)
# The longest that somebody's exam may be longer than the others'.
MOST_EXTRA_MINUTES = 24 * 60

# The name of a group, and what its launches said (its properties).
Group = tuple[str, Mapping[str, object]]


@dataclass(frozen=True)
class Exam:
    """An exam of the course that the site calls `course`. begins, ends: with their zone, as they were written.

    key: names it in labels and files. hosts: names. assignment: what is taken at its end, "" for nothing. extra_minutes: user
    of the hub → how much longer than until `ends` they have. stopped: when staff ended it for everybody, if they did.
    """

    key: str
    course: str
    begins: datetime
    ends: datetime
    hosts: tuple[str, ...]
    assignment: str = ""
    extra_minutes: Mapping[str, int] = field(default_factory=dict)
    stopped: datetime | None = None

    def of(self, user: str) -> Exam:
        """The exam as this person has it: with their own end."""
        own = self.ends + timedelta(minutes=self.extra_minutes.get(user, 0))
        return replace(self, ends=min(own, self.stopped or own), extra_minutes={})

    @property
    def over(self) -> datetime:
        """When the last of its people has ended."""
        return max(self.of(user).ends for user in ("", *self.extra_minutes))

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
        """Whether it is under way for somebody, about to begin, or ended a moment ago: a server that was just starting ends too."""
        return self.begins - AHEAD <= now < self.over + TAKING


def with_changes(site: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The site, with what staff changed of their courses' exams (`exam_changes.read`)."""
    return {**site, "exam_changes": changes}


def exam_in(entry: Mapping[str, Any], changed: Mapping[str, Any] | None = None, course: str = "") -> Exam | None:
    """The exam of an entry of the site's `course_settings`; None where it has none.

    changed: what staff changed of all exams, of which that of the course with this id counts; what of it is wrong does not.
    """
    if not (exam := entry.get("exam")):
        return None
    name = f"{entry.get('consumer', '')}\0{entry['course']}\0{exam['from']}"
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    found = (changed or {}).get(key, {}).get(course)
    change: Mapping[str, Any] = found if isinstance(found, dict) else {}
    begins, ends = (_moment(change.get(each)) or datetime.fromisoformat(exam[each]) for each in ("from", "until"))
    stopped = _moment(change.get("stopped"))
    return Exam(
        key, str(entry["course"]), begins, min(ends, stopped or ends), tuple(exam.get("hosts", ())),
        str(exam.get("assignment", "")), exam.get("extra_minutes", {}) | _minutes(change.get("extra_minutes")), stopped,
    )  # fmt: skip


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _minutes(said: object) -> dict[str, int]:
    found = said.items() if isinstance(said, dict) else ()
    return {user: each for user, each in found if type(each) is int and 0 <= each <= MOST_EXTRA_MINUTES}


def exam_of(site: Mapping[str, Any], says: Mapping[str, object], course: str) -> Exam | None:
    """The exam of the course with this id, of which its group says this (`words_of`), as its staff changed it."""
    return exam_in(settings_of(site, says), site.get("exam_changes"), course)


def exams(site: Mapping[str, Any]) -> list[Exam]:
    """All exams, past ones too: each as the site's file has it, and as staff of courses changed it."""
    changed = site.get("exam_changes", {})
    found = []
    for entry in site.get("course_settings", ()):
        if exam := exam_in(entry):
            found += [exam, *filter(None, (exam_in(entry, changed, course) for course in changed.get(exam.key, ())))]
    return found


def sat(site: Mapping[str, Any], groups: Iterable[Group], user: str) -> list[tuple[Exam, str]]:
    """The exams of `user`, who is in `groups`, as they have them, each with its course's id; none of a course that they teach."""
    known = list(groups)
    says = words_of(known)
    mine = [each.course for each in memberships(name for name, _ in known) if not each.teaches]
    found = [(exam_of(site, says[course], course), course) for course in mine]
    return [(exam.of(user), course) for exam, course in found if exam]


def sits_in(site: Mapping[str, Any], groups: Iterable[Group], user: str, now: datetime) -> tuple[Exam, str] | None:
    """The exam that this person sits in now, with its course's id. Of two at a time it is the one that ends first for them."""
    on = [(exam, course) for exam, course in sat(site, groups, user) if exam.is_on(now)]
    return min(on, key=lambda each: (each[0].ends, each[1]), default=None)
