"""What a server said of itself, in lines and tables for people: the same on a terminal and on a page. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubrun.control_characters import in_one_line
from hubrun.records.ledger import summary

# Exit code → word and sign, as plugins of monitors have them (Monitoring Plugins Development Guidelines, "Return codes").
WORDS = {0: "fine", 1: "warning", 2: "broken", 3: "not reached"}
SIGNS = {0: "✓", 1: "!", 2: "✕", 3: "?"}
# What the table of several sites shows.
COLUMNS = ("servers", "memory", "disk", "certificate", "backup", "updates")
_LEVELS = {"warning": 1, "broken": 2}
_DAY = 86400.0


@dataclass(frozen=True)
class Table:
    """A heading, the names of the columns, and the rows; number: how many of the last columns hold numbers."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: int = 0


@dataclass(frozen=True)
class SiteStatus:
    """One site. error: why its server was not reached; then seen is empty. troubles, seen: as programs/status.py prints them."""

    file: Path
    site: str
    error: str = ""
    seen: dict[str, Any] = field(default_factory=dict)
    troubles: Sequence[dict[str, Any]] = ()

    @property
    def code(self) -> int:
        """The exit code that it stands for."""
        return 3 if self.error else max((_LEVELS[each["level"]] for each in self.troubles), default=0)

    @property
    def lines(self) -> list[tuple[int, str, str]]:
        """A line for each trouble: its code, what it is, what to do."""
        if self.error:
            return [(3, in_one_line(self.error), "")]
        return [(_LEVELS[each["level"]], in_one_line(each["text"]), each["do"]) for each in self.troubles]

    @property
    def as_of(self) -> str:
        """When the server looked, for people."""
        return when(self.seen["at"])

    def data(self) -> dict[str, Any]:
        """All of it, for JSON."""
        said = {"error": self.error} if self.error else {"troubles": list(self.troubles), "seen": self.seen}
        return {"site": self.site, "code": self.code, "status": WORDS[self.code], **said}

    def facts(self) -> dict[str, str]:
        """What is said of each part, in a few words; of a part that could not be looked at, that."""
        if self.error:
            return {}
        found = {}
        for name, says in _FACTS.items():
            try:
                found[name] = in_one_line(says(self.seen))
            except (KeyError, TypeError):  # it is in `unread`, or of another version
                found[name] = "not known"
        return found

    def tables(self, most: int | None = None) -> list[Table]:
        """Who uses how much, and the last starts; most: so many rows of each, None: all."""
        shares, starts = self.seen.get("shares", {}), self.seen.get("starts", [])
        people = [
            (each["user"], size(each["disk_mb"]), size(each["memory_mb"] or None))
            for each in shares.get("people", [])[:most]
        ]
        courses = [
            (each["name"], str(each["people"]), size(each["folder_mb"]), size(each["homes_mb"]), size(each["memory_mb"] or None))
            for each in shares.get("courses", [])[:most]
        ]  # fmt: skip
        last = [
            (when(each["at"]), each["user"], f"{each['seconds']:.0f} s" if each["ok"] else f"failed: {each['why']}")
            for each in reversed(starts[-most:] if most else starts)
        ]
        nodes = [_node(each) for each in self.seen.get("nodes", [])]
        measured = self.seen.get("measured")
        as_of = f", disk as of {when(measured)}" if measured else ", disk not measured (./hubrun run watch)"
        every = [
            Table("Nodes", ("node", "it", "servers", "memory left", "load"), nodes, 3),
            Table(f"Who uses most{as_of}", ("person", "disk", "memory now"), people, 2),
            Table("By course", ("course", "people", "course folder", "their homes", "memory now"), courses, 4),
            Table("Last starts", ("when", "person", "came to"), last),
        ]
        # What a server, or a student's, said of itself gives no orders where it is shown.
        return [replace(each, rows=[list(map(in_one_line, row)) for row in each.rows]) for each in every if each.rows]


def _node(node: dict[str, Any]) -> tuple[str, str, str, str, str]:
    said = node["said"]
    is_well = said and said["homes"] and not node["docker"]
    states = ["is away" if not node["alive"] else "answers" if is_well else "has a problem"]
    states += ["drained"] if node["drained"] else []
    if not (node["alive"] and said):
        return node["name"], ", ".join(states), "-", "-", "-"
    left = f"{size(said['memory_mb'])} of {size(said['total_mb'])}"
    return node["name"], ", ".join(states), str(len(node["servers"])), left, f"{said['load']:.1f} of {said['cpus']}"


def size(megabytes: int | None) -> str:
    """So many megabytes, in words; "-" for what is not known or not there."""
    if megabytes is None:
        return "-"
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes} MB"


def when(at: float) -> str:
    """A time in seconds since 1970, for people on this machine."""
    return summary.when(datetime.fromtimestamp(at, UTC).isoformat())


def _services(seen: dict[str, Any]) -> str:
    wrong = [f"{unit.removesuffix('.service')} {state}" for unit, state in seen["units"].items() if state != "active"]
    return ", ".join(wrong) or "hub, proxy, nginx, Docker and its filter run"


def _servers(seen: dict[str, Any]) -> str:
    docker = seen["docker"]
    servers = [*docker["servers"], *(each for node in seen.get("nodes", []) for each in node["servers"])]
    # Servers of courses with an image of their own are on another one by their nature.
    usual = [each for each in servers if each.get("image_name") in (None, docker["image"])]
    older = sum(each["image"] != docker["image_id"] for each in usual)
    return f"{len(servers)} run" + (f", {older} on an older image" if older else "")


def _starts(seen: dict[str, Any]) -> str:
    starts = seen["starts"]
    if not starts:
        return "none in the last day"
    failed = sum(not each["ok"] for each in starts)
    took = [each["seconds"] for each in starts if each["ok"]]
    middle = f", half of them within {statistics.median(took):.0f} s" if took else ""
    return f"the last {len(starts)} of the last day: {failed} failed{middle}"


def _memory(seen: dict[str, Any]) -> str:
    memory = seen["memory"]
    swap = memory["swap_mb"] - memory["swap_left_mb"]
    return f"{size(memory['available_mb'])} of {size(memory['total_mb'])} left" + (
        f", {size(swap)} in swap" if swap else ""
    )


def _disk(seen: dict[str, Any]) -> str:
    several = len(seen["disks"]) > 1
    return ", ".join(
        (f"{disk['path']}: " if several else "") + f"{disk['used']} % used, {size(disk['left_mb'])} left"
        for disk in seen["disks"]
    )


def _certificate(seen: dict[str, Any]) -> str:
    until = seen["certificate"]["until"]
    return f"{(until - seen['at']) / _DAY:.0f} days" if until else "none"


def _backup(seen: dict[str, Any]) -> str:
    backup = seen["backup"]
    if backup is None:
        return "not set up"
    trial = backup.get("test_restore")
    said = f"last {summary.when(backup['last_ok'])}" if backup.get("last_ok") else "never yet"
    if backup.get("last_error"):
        said += f", then failed: {backup['last_error']}"
    return said + (
        f", test restore {summary.when(trial['at'])}: {'good' if trial['ok'] else 'failed'}" if trial else ""
    )


def _updates(seen: dict[str, Any]) -> str:
    updates = seen["updates"]
    waiting, security = updates["waiting"], updates["security"]
    said = f"{waiting} wait, {security} of them for security" if waiting else "none wait"
    return ("not counted" if waiting is None else said) + (", a reboot waits" if updates["reboot"] else "")


def _alarms(seen: dict[str, Any]) -> str:
    alarms = seen["alarms"]
    return "not set up" if alarms is None else "do not arrive" if alarms["error"] else "are sent"


def _image(seen: dict[str, Any]) -> str:
    return f"{seen['docker']['image']} {seen['docker']['image_id'].removeprefix('sha256:')[:12]}"


_FACTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "services": _services, "servers": _servers, "starts": _starts, "memory": _memory, "disk": _disk,
    "certificate": _certificate, "backup": _backup, "updates": _updates, "alarms": _alarms,
    "image": _image,
}  # fmt: skip
