"""What of what was seen is trouble, and what to do about it. Pure: `./hubrun status` and the alarms judge by this alone."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

Level = Literal["warning", "broken"]

DISK_PERCENT, FULL_PERCENT, FULL_MB = 85, 95, 512
CERTIFICATE_DAYS, ENDS_DAYS = 14, 3
# As long as one more server takes, with what stays free (starting/line.py): who comes then waits.
MEMORY_MB = 450
# It is made each night; a night may be missed.
BACKUP_HOURS, BACKUP_DAYS = 36, 7
RESTORE_DAYS = 15
# unattended-upgrades comes each day.
UPDATES_HOURS = 48
STARTS_S, STARTS = 3600, 3
# Over a weekend, and a day to do it.
FORMER_SECRET_DAYS = 3
_DAY = 86400.0


class Trouble(NamedTuple):
    """key: what it is about, the same at each look. do: what an operator does. quiet: not for alarms: it can wait for the
    next look at the status. No text of it names a person: alarms leave the server.
    """

    key: str
    level: Level
    text: str
    do: str
    quiet: bool = False


def judge(seen: Mapping[str, Any]) -> list[Trouble]:
    """The troubles in what `seen.look` returned, the broken first."""
    found = [trouble for part in _PARTS for trouble in part(seen)]
    return sorted(found, key=lambda trouble: trouble.level != "broken")


def _units(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    for unit, state in seen.get("units", {}).items():
        name = unit.removesuffix(".service")
        if state == "missing":
            yield Trouble(f"unit {name}", "broken", f"{name} is not installed", "Run ./hubrun install")
        elif state not in ("active", "reloading"):
            do = f"systemctl start {name}; journalctl -u {name} -n 50 says why"
            yield Trouble(f"unit {name}", "broken", f"{name} does not run ({state})", do)


def _hub(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    hub = seen.get("hub")
    if not hub:
        return
    if not hub["answers"]:
        do = "journalctl -u jupyterhub -u jupyterhub-proxy -n 50 says why"
        yield Trouble("hub", "broken", f"the hub does not answer: {hub['problem']}", do)
    elif hub["problem"]:
        yield Trouble(
            "hub health", "warning", f"the hub says: {hub['problem']}", "journalctl -u jupyterhub -n 50 says more"
        )


def _certificate(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    shown = seen.get("certificate")
    if not shown:
        return
    do = "journalctl -u certbot says why it is not renewed; with tls: files put a new one there, and run 03"
    if shown["until"] is None:
        yield Trouble("certificate", "broken", f"there is no certificate: {shown['problem']}", "Run 03 again")
        return
    days = (shown["until"] - seen["at"]) / _DAY
    if days < 0:
        yield Trouble("certificate", "broken", f"the certificate ended {_ago(-days)}: nobody gets in", do)
    elif days < CERTIFICATE_DAYS:
        level: Level = "broken" if days < ENDS_DAYS else "warning"
        yield Trouble("certificate", level, f"the certificate ends in {days:.0f} days", do)


def _disks(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    for disk in seen.get("disks", []):
        path, used, files = disk["path"], disk["used"], disk["files_used"]
        full = used > FULL_PERCENT or disk["left_mb"] < FULL_MB or files > FULL_PERCENT
        if not (full or used > DISK_PERCENT or files > DISK_PERCENT):
            continue
        what = f"{files} % of its files are used" if files > used else f"{used} % used, {_size(disk['left_mb'])} left"
        do = "./hubrun status names who uses most; docker image prune removes what images left; or make the disk larger"
        yield Trouble(f"disk {path}", "broken" if full else "warning", f"the disk at {path} is nearly full: {what}", do)


def _memory(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    memory = seen.get("memory")
    if memory and memory["available_mb"] < MEMORY_MB and not _room_on_nodes(seen):
        left = f"{_size(memory['available_mb'])} of {_size(memory['total_mb'])} are left"
        do = "Give the server more memory, lower user_memory_mb, or let idle_minutes stop servers sooner"
        yield Trouble("memory", "warning", f"memory is nearly used up: {left}, and whoever comes now waits", do)


def _room_on_nodes(seen: Mapping[str, Any]) -> bool:
    ready = [node["said"] for node in seen.get("nodes", []) if node["alive"] and not node["drained"]]
    return any(said["homes"] and said["memory_mb"] >= MEMORY_MB for said in ready)


def _docker(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    docker = seen.get("docker")
    if not docker:
        return
    if not docker["image_id"]:
        text = f"the students' image {docker['image']} is missing: no server can start"
        yield Trouble("image", "broken", text, "Run 04 again: it builds it")
    if not docker["live_restore"] and not docker["swarm"]:
        text = "live-restore is off: all students' servers end when Docker is updated"
        yield Trouble("live-restore", "warning", text, "Run 04 again: it sets it")


def _nodes(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    for node in seen.get("nodes", []):
        name, said = node["name"], node["said"]
        # One that is drained may be off.
        level: Level = "warning" if node["drained"] else "broken"
        if not node["alive"]:
            do = f"systemctl status hubrun-node@{name} says why; its people start elsewhere, with their files"
            yield Trouble(f"node {name}", level, f"node {name} does not answer", do, quiet=node["drained"])
        elif not said["homes"]:
            do = f"On {name}: systemctl status hubrun-node-homes; or run 04 again"
            yield Trouble(f"node {name}", level, f"node {name} has not the disk with everybody's files", do)
        elif node["docker"]:
            do = f"On {name}: systemctl status docker; or run 04 again"
            yield Trouble(f"node {name}", level, f"node {name}: its Docker does not answer: {node['docker']}", do)
        elif said["disk_free_mb"] < FULL_MB:
            do = f"On {name}: docker image prune removes what images left; or make the disk larger"
            text = f"the disk of node {name} is nearly full: {_size(said['disk_free_mb'])} left"
            yield Trouble(f"node disk {name}", "broken", text, do)


def _starts(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    starts = [each for each in seen.get("starts", []) if each["at"] > seen["at"] - STARTS_S]
    failed = [each for each in starts if not each["ok"]]
    last = starts[-STARTS:]
    do = "./hubrun status says whose and why; journalctl -u jupyterhub says more"
    # One person's alone may be of what they wrote into their home.
    if len(last) == STARTS and not any(each["ok"] for each in last) and len({each["user"] for each in last}) > 1:
        yield Trouble("starts", "broken", f"the last {STARTS} starts of students' servers failed", do)
    elif len(failed) >= STARTS:
        text = f"{len(failed)} of the {len(starts)} starts of students' servers in the last hour failed"
        yield Trouble("starts", "warning", text, do)


def _backup(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    backup = seen.get("backup")
    if backup is None:
        return
    do = "Run ./hubrun run backup once more; journalctl -u hubrun-backup says why"
    ok, error = _time(backup.get("last_ok")), backup.get("last_error")
    hours = (seen["at"] - ok) / 3600 if ok else None
    if hours is None:
        yield Trouble("backup", "warning", "there was no backup yet", do)
    elif hours > BACKUP_HOURS:
        level: Level = "broken" if hours > BACKUP_DAYS * 24 else "warning"
        yield Trouble("backup", level, f"the last backup was made {_ago(hours / 24)}", do)
    if error:
        yield Trouble("backup error", "warning", "the last backup failed", do)
    trial = backup.get("test_restore") or {}
    at = _time(trial.get("at"))
    if trial and not trial.get("ok"):
        yield Trouble("test restore", "broken", "the test restore failed: the backup may be of no use", do)
    elif at and seen["at"] - at > RESTORE_DAYS * _DAY:
        text = f"the last test restore was made {_ago((seen['at'] - at) / _DAY)}"
        yield Trouble("test restore", "warning", text, do)


def _former_secrets(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    for each in seen.get("former_secrets", []):
        days = (each["until"] - seen["at"]) / _DAY
        if each["used"] and days < FORMER_SECRET_DAYS:
            text = f"the LMS of consumer {each['consumer']} still launches with its old secret, which ends in {days:.0f} days"
            do = "Enter the new one in the LMS, or launches are refused from then on; ./hubrun run rotate shows where it is"
            yield Trouble(f"secret {each['consumer']}", "warning", text, do)


def _updates(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    updates = seen.get("updates")
    if not updates:
        return
    since = seen["at"] - updates["last"] if updates["last"] else None
    late = not updates["by_itself"] or since is None or since > UPDATES_HOURS * 3600
    if updates["security"] and late:
        why = "" if updates["by_itself"] else " (upgrade: none)"
        do = "apt-get update && apt-get dist-upgrade; journalctl -u apt-daily-upgrade says why it did not happen by itself"
        yield Trouble("updates", "warning", f"{updates['security']} security updates wait{why}", do, quiet=True)
    if updates["reboot"]:
        do = "Choose an hour when nobody works, and reboot: students' servers end, and their files stay"
        yield Trouble("reboot", "warning", "updates wait for a reboot", do, quiet=True)


def _watching(seen: Mapping[str, Any]) -> Iterator[Trouble]:
    for part, why in seen.get("unread", {}).items():
        yield Trouble(f"unread {part}", "warning", f"{part} cannot be looked at: {why}", "Log in, and look by hand")
    alarms = seen.get("alarms") or {}
    if alarms.get("error"):
        do = "Correct it, and run ./hubrun run watch"
        yield Trouble("alarms", "warning", f"alarms do not arrive: {alarms['error']}", do, quiet=True)


_PARTS = (
    _units,
    _hub,
    _docker,
    _nodes,
    _starts,
    _certificate,
    _disks,
    _memory,
    _backup,
    _former_secrets,
    _updates,
    _watching,
)


def _time(text: object) -> float | None:
    """An ISO time as seconds since 1970; None where there is none. Python 3.10 does not know the Z of RFC 3339."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or datetime.timezone.utc).timestamp()  # noqa: UP017 - Python 3.10


def _ago(days: float) -> str:
    return f"{days:.0f} days ago" if days >= 2 else f"{days * 24:.0f} hours ago"


def _size(megabytes: int) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes} MB"
