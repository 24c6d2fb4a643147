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
from datetime import datetime, timezone

from hubrun_hub.courses import exam_address as address
from hubrun_hub.courses import exam_changes
from hubrun_hub.courses import exam_schedule as schedule
from hubrun_hub.docker_filter import settings
from hubrun_hub.exams import servers
from hubrun_hub.failed import Failed
from hubrun_hub.nodes.nodes_file import MANAGER


def main() -> int:
    """Do it; the exit code."""
    site = schedule.with_changes(settings.read(settings.SITE), exam_changes.read())
    now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10
    near = list({exam.key: exam for exam in schedule.exams(site) if exam.is_near(now)}.values())
    if sys.argv[1:] == ["hosts"]:
        for exam in near:
            print(exam.course, json.dumps({host: address.find(host) for host in exam.hosts}))
        return 0
    if not (near or address.HOSTS.exists()):
        return 0
    hosts, failed = _find_hosts(near), False
    try:
        groups, there = servers.people(), servers.running()
        wrong = servers.misplaced(there, groups, site, now)
        # What containers on nodes reach is not in this server's rules, and no node says what is.
        here = {each.address: each.exam for each in there if each.exam and each.node == MANAGER}
        cut = [each.address for each in wrong if each.node == MANAGER]
        failed = not _load(here, hosts, cut)
        for each in wrong:
            print(f"{each.user}: their server ends, as an exam has {'ended' if each.exam else 'begun'}", flush=True)
        servers.stop(wrong)
    except (OSError, ValueError, sqlite3.Error, subprocess.SubprocessError, Failed) as error:
        print(f"<3>{error}: it is tried again", file=sys.stderr)
        return 1
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


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
