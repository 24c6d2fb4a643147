"""The picture of a site's runs over time: a mark for each, its status by shape and colour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hubrun.records.ledger.manifest import Record
from hubrun.records.pages import summary

WIDTH = 1000
_LEFT, _RIGHT, _STEP, _BASE = 24, 976, 16, 22
# Wide enough apart that "31 Dec 2026" does not run into its neighbour.
_LABEL = 96


@dataclass(frozen=True)
class Mark:
    """A run. x, y: its middle in the picture's units, from the top left. label: what a pointer shows."""

    x: float
    y: float
    status: str
    label: str


@dataclass(frozen=True)
class Timeline:
    """marks: oldest first. ticks: (x, text) of the dates below. line: y of the axis. text: the picture in words."""

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    line: float
    height: float
    text: str


def timeline(records: Sequence[Record]) -> Timeline | None:
    """The picture of these runs, oldest first; None without a run whose time is known. Runs close together are stacked."""
    runs = [(at, record) for record in records if (at := summary.local(record.started))]
    if not runs:
        return None
    begin, end = runs[0][0], max(runs[-1][0], runs[0][0] + timedelta(hours=1))

    def place(at: datetime) -> float:
        return round(_LEFT + (at - begin) / (end - begin) * (_RIGHT - _LEFT), 1)

    levels: list[float] = []  # of each level the x of its last mark
    spots = []
    for at, record in runs:
        x = place(at)
        level = next((number for number, last in enumerate(levels) if x - last >= _STEP), len(levels))
        levels[level : level + 1] = [x]
        spots.append((x, level, record))
    line = len(levels) * _STEP + 10
    marks = [Mark(x, line - 13 - level * _STEP, record.status, f"{summary.when(record.started)}: {record.mode}, {record.status}") for x, level, record in spots]  # fmt: skip
    ticks: list[tuple[float, str]] = []
    for at, _ in runs:
        if not ticks or place(at) - ticks[-1][0] >= _LABEL:
            ticks.append((place(at), f"{at.day} {at:%b %Y}"))
    return Timeline(tuple(marks), tuple(ticks), line, line + _BASE, _words(runs))


def _words(runs: Sequence[tuple[datetime, Record]]) -> str:
    count: dict[str, int] = {}
    for _, record in runs:
        count[record.status] = count.get(record.status, 0) + 1
    counts = ", ".join(f"{number} {status}" for status, number in count.items())
    first, last = (summary.when(record.started) for record in (runs[0][1], runs[-1][1]))
    number = f"{len(runs)} runs" if len(runs) > 1 else "1 run"
    return f"{number} from {first} to {last}: {counts}. The table below has each of them."
