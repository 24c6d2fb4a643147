"""Autogrades what was taken when it was due, in courses that ask for it; a timer starts it each minute. See `autograding`.

One assignment after another, each once: what waits then comes with the next start. It takes no part in the taking of
work (`programs.due`), and holds none of that up.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hubrun_hub.autograding import container, records
from hubrun_hub.autograding.waiting import Work, waiting
from hubrun_hub.courses import due_records, exam_changes
from hubrun_hub.courses.course_settings import settings_of
from hubrun_hub.courses.due_dates import all_due
from hubrun_hub.courses.exam_schedule import Group, with_changes
from hubrun_hub.courses.mounts import ROOT, words_of
from hubrun_hub.docker_filter import settings
from hubrun_hub.exams import servers
from hubrun_hub.failed import Failed
from hubrun_hub.homes import courses as hand_ins
from hubrun_hub.homes.places import HomeError, Homes
from hubrun_hub.lti.services import lms_dates

_CAN_BE = (OSError, ValueError, TypeError, KeyError, AttributeError, sqlite3.Error)


def main() -> int:
    """Do it; the exit code."""
    site, well = with_changes(settings.read(settings.SITE), exam_changes.read()), True
    try:
        people = servers.people()
        found = _waiting(site, people)
    except _CAN_BE as error:
        print(f"<3>{error!r}: it is tried again", file=sys.stderr)
        return 1
    words = words_of(group for groups in people.values() for group in groups)
    for work in found:
        if _hub_is_put_away():
            return 0
        try:
            with hand_ins.staying(Homes()):
                well = _autograde(work, site, words) and well
        except HomeError as error:
            print(f"<3>{work.course}, {work.assignment}: {error}: it is tried again", file=sys.stderr)
            well = False
    return int(not well)


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10


def _waiting(site: Mapping[str, Any], people: Mapping[str, list[Group]]) -> list[Work]:
    found = all_due(site, people, lms_dates.read(lms_dates.FILE) if site.get("lms_dates") else {})
    words = words_of(group for groups in people.values() for group in groups)
    asked = {course: settings_of(site, says).get("autograde") for course, says in words.items()}
    mine = {(each.course, each.user) for each in found if asked.get(each.course)}
    taken = {(course, user): due_records.taken(Path(ROOT, course, "due", user)) for course, user in mine}
    tries = {(course, user): records.tries(due_records.read(_record(course, user))) for course, user in mine}
    return waiting(asked, found, taken, tries, _now())


def _record(course: str, user: str) -> Path:
    return Path(ROOT, course, "graded", user)


def _hub_is_put_away() -> bool:
    """Whether the hub is kept from running while people are removed or joined (joining/homes.py): gradebooks change then."""
    words = ["systemctl", "is-enabled", "jupyterhub.service"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() == "disabled"


def _autograde(work: Work, site: Mapping[str, Any], words: Mapping[str, Mapping[str, object]]) -> bool:
    """Autograde an assignment; whether it could be. That some student's notebook could not is no fault of the server."""
    about, left, trouble, number = f"{work.course}, {work.assignment}", dict(work.keys), "", 0
    begun: set[str] = set()
    try:
        command = container.command(site, work.course, words)
        container.check_folders(command)
        job = {"assignment": work.assignment, "users": list(left), "feedback": work.feedback}
        for said in container.run(command, job):
            user = said.get("begun") or said.get("done") or said.get("failed") or ""
            trouble = said.get("trouble", trouble)
            if user not in left:
                continue
            if "begun" in said:
                _keep(work, [user], "", begins=True)
                begun.add(user)
            elif user in begun:
                what = _clean(said.get("words", ""))
                _keep(work, [user], what, done="done" in said)
                del left[user]
                number += "done" in said
                if "failed" in said:
                    print(f"<4>{about}: {user} is not autograded: {what}", flush=True)
    except (Failed, OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        trouble = f"{error}" or repr(error)
    if number:
        print(f"{about}: {number} of {len(work.keys)} are done", flush=True)
    if trouble:
        trouble = _clean(trouble)
        print(f"<4>{about}: not autograded: {trouble}", flush=True)
        # Who was begun has had their try.
        _keep(work, [user for user in left if user not in begun], trouble, begins=True)
    return not trouble


def _keep(work: Work, users: Iterable[str], said: str, begins: bool = False, done: bool = False) -> None:
    """Keep what came of it; of nobody who was removed meanwhile."""
    for user in users:
        if not Path(ROOT, work.course, "due", user).exists():
            continue
        record = _record(work.course, user)
        found = due_records.read(record)
        known = records.tries(found)
        for key in work.keys[user]:
            each = known.get(key, records.Try())
            each = each.begun(_now()) if begins else each
            found[key] = each._replace(said=said or each.said, done=done).kept()
        due_records.write(record, found)


def _clean(words: str) -> str:
    """One line without what a terminal would take for something else."""
    return ascii(" ".join(words.split()))[1:-1][:300]


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
