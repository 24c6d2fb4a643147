"""Brings servers and their network to what exams want at this moment; a timer starts it every ten seconds. See `exams`.

exam            does it
exam hosts      prints each exam that is near with its hosts and their addresses
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hubrun_hub.courses import exam_address as address
from hubrun_hub.courses import exam_schedule as schedule
from hubrun_hub.courses.mounts import ROOT, is_name, words_of
from hubrun_hub.docker_filter import settings
from hubrun_hub.exams import collect, servers
from hubrun_hub.homes.places import HomeError

# Which exams' work was taken, and whose: a file for each.
TAKEN = Path("/var/lib/hubrun/exams")
# How long after its end an exam's work is still taken, should the server have been off.
_LATE = timedelta(days=7)


def main() -> int:
    """Do it; the exit code."""
    site = schedule.with_changes(settings.read(settings.SITE), schedule.read_changes())
    now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10
    found = schedule.exams(site)
    near = [exam for exam in found if exam.is_near(now)]
    if sys.argv[1:] == ["hosts"]:
        for exam in near:
            print(exam.course, json.dumps({host: address.find(host) for host in exam.hosts}))
        return 0
    over = [
        exam for exam in found if exam.ends <= now < exam.ends + _LATE and not (TAKEN / f"{exam.key}.json").exists()
    ]
    if not (near or over or address.HOSTS.exists()):
        return 0
    hosts, failed = _find_hosts(near), False
    try:
        groups, there = servers.people(), servers.running()
        wrong = servers.misplaced(there, groups, site, now)
        failed = not _load(
            {each.address: each.exam for each in there if each.exam}, hosts, [each.address for each in wrong]
        )
        for each in wrong:
            print(f"{each.user}: their server ends, as an exam has {'ended' if each.exam else 'begun'}", flush=True)
        servers.stop(wrong)
        if over:
            collect.check_disk(site.get("homes", ""))
    except (OSError, ValueError, HomeError, sqlite3.Error, subprocess.SubprocessError) as error:
        print(f"<3>{error}: it is tried again", file=sys.stderr)
        return 1
    for exam in over:
        _take(exam, site, groups, now)
    if not near:
        address.HOSTS.unlink(missing_ok=True)
    return int(failed)


def _find_hosts(near: list[schedule.Exam]) -> dict[str, dict[str, list[str]]]:
    """Exam → host → addresses, kept for the service before Docker, which tells them to containers."""
    try:
        before = json.loads(address.HOSTS.read_text())
    except (OSError, ValueError):
        before = {}
    found = {
        exam.key: address.joined(before.get(exam.key, {}), {host: address.find(host) for host in exam.hosts})
        for exam in near
    }
    address.HOSTS.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = address.HOSTS.with_suffix(".new")
    fresh.write_text(json.dumps(found))
    fresh.rename(address.HOSTS)
    return found


def _load(containers: dict[str, str], hosts: dict[str, dict[str, list[str]]], cut: list[str]) -> bool:
    """Whether the rules have it. What they miss is reached by nobody, so that this holds up nothing else."""
    text = address.elements(containers, hosts, cut)
    return subprocess.run(["nft", "-f", "-"], input=text, text=True, check=False, timeout=60).returncode == 0


def _take(exam: schedule.Exam, site: dict[str, Any], groups: dict[str, list[schedule.Group]], now: datetime) -> None:
    """Take everybody's work of an exam that is over, and write down whose there was."""
    said: dict[str, str] = {}
    for user, mine in sorted(groups.items()):
        for sat, course in schedule.sat(site, mine):
            if sat.key == exam.key and exam.assignment and is_name(user):
                said[user] = _take_one(exam, user, course, str(words_of(mine)[course].get("folder") or course), site)
                print(f"{exam.course}, {exam.assignment}: {user}: {said[user]}", flush=True)
    TAKEN.mkdir(mode=0o700, parents=True, exist_ok=True)
    (TAKEN / f"{exam.key}.json").write_text(json.dumps({"course": exam.course, "at": now.isoformat(), "taken": said}))


def _take_one(exam: schedule.Exam, user: str, course: str, folder: str, site: dict[str, Any]) -> str:
    """What came of it, in words."""
    try:
        inbound, home = Path(ROOT, course, "inbound", user), collect.home_of(user, site.get("homes", ""))
        path = collect.take(home, (folder, exam.assignment), inbound, user) if home else None
    except (OSError, HomeError, collect.TooMuch, subprocess.SubprocessError) as error:
        return f"not taken: {error}"
    return f"taken as {path.name}" if path else "there is none"


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
