"""The steps of a runbook: what went on under each heading, read from the notebook's own cells.

Each code cell says in `metadata.hubrun` what became of it; the engine writes that, and everything else is derived
from it, so that a manifest cannot say something else than its notebooks. Where a person runs cells, `earlier` holds what
became of a cell each time before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubrun.desired.cards import MIME
from hubrun.records.ledger import ticks
from hubrun.records.ledger.clock import CLOCK, iso
from hubrun.records.ledger.manifest import Cause, CellRun, Step, StepStatus, Tick, moment

if TYPE_CHECKING:  # nbformat takes a second to import, and the command line must not wait for it
    from nbformat import NotebookNode

# What scrapbook's glue puts into a cell's outputs: scrapbook, README, "Scraps" (data under the key "data").
_SCRAP = "application/scrapbook.scrap.json+json"
# The first of these that occurs among a step's cells is what the step came to.
_ORDER: tuple[StepStatus, ...] = ("failed", "interrupted", "running", "changed", "would change", "not checked")


@dataclass
class Listener:
    """Gets each step's title when it begins, lines of progress within it, and the step when it has ended."""

    started: Callable[[str], None]
    progress: Callable[[str], None]
    ended: Callable[[Step], None]


def now() -> str:
    """The time of the run, UTC, ISO 8601 with milliseconds."""
    return iso(CLOCK.now())


def seconds_between(started: str, ended: str) -> float:
    """Seconds from one ISO 8601 time to another; 0 where one is missing."""
    if not (started and ended):
        return 0.0
    return round((moment(ended) - moment(started)).total_seconds(), 3)


def titles(nb: NotebookNode) -> list[str]:
    """For each cell, the heading that stands above it."""
    title, found = "", []
    for cell in nb.cells:
        heading = re.match(r"#{1,3} +(.+)", cell.source) if cell.cell_type == "markdown" else None
        title = heading.group(1).strip() if heading else title
        found.append(title)
    return found


def is_code(cell: NotebookNode) -> bool:
    """Whether the kernel gets this cell."""
    return bool(cell.cell_type == "code" and cell.source.strip())


def mark(cell: NotebookNode, status: StepStatus, cause: Cause = "", reason: str = "") -> None:
    """Write what became of a cell into its metadata, with the time: of its start for "running", else of its end."""
    kept = cell.metadata.setdefault("hubrun", {})
    kept.update(status=status, cause=cause, reason=reason)
    if status == "not run":
        kept.update(started="", ended="")
    else:
        kept["started" if status == "running" else "ended"] = now()


def begin_again(cell: NotebookNode, source: str) -> None:
    """A person runs this cell, once more maybe: what became of it before goes to `earlier`, with what was changed then,
    and with its source where that was not `source`."""
    kept = cell.metadata.setdefault("hubrun", {})
    earlier = kept.setdefault("earlier", [])
    if kept.get("status", "not run") != "not run":
        before = {name: kept[name] for name in ("status", "cause", "reason", "started", "ended")}
        if cell.source != source:
            before["source"] = cell.source
        changed = [each for data in _data(cell) for each in data.get("results", []) if each.get("status") != "ok"]
        earlier.append(before | ({"results": changed} if changed else {}))
    cell.source, cell.outputs = source, []
    mark(cell, "not run")
    mark(cell, "running")


def failed_checks(cell: NotebookNode) -> str:
    """The checks that failed in a cell that went on nevertheless, as it does in a plan; "" when there are none."""
    checks = [check for each in _data(cell) for check in each.get("checks", []) if not check.get("ok")]
    said = [f"{each['check']}: expected {each.get('expected')}, came {each.get('came')}" for each in checks]
    return "; ".join([*said, *dict.fromkeys(check["do"] for check in checks if check.get("do"))])


def outcome(cell: NotebookNode) -> StepStatus:
    """What the outputs of a cell that ended without an error say: changed, would change, not checked or ok."""
    data = list(_data(cell))
    statuses = {result["status"] for each in data for result in each.get("results", [])}
    if any(each.get("unchecked") for each in data):
        statuses.add("not checked")
    return next((status for status in ("changed", "would change", "not checked") if status in statuses), "ok")  # type: ignore[return-value]


def derive(nb: NotebookNode) -> list[Step]:
    """The steps of a notebook, each with code or something ticked, as its cells' metadata and outputs tell them."""
    cells: dict[tuple[int, str], list[NotebookNode]] = {}
    heading = 0
    previous = ""
    for cell, title in zip(nb.cells, titles(nb), strict=True):
        heading += title != previous
        previous = title
        if is_code(cell) or ticks.kept(cell):
            cells.setdefault((heading, title), []).append(cell)
    return [_step(title, group) for (_, title), group in cells.items()]


def _step(title: str, cells: list[NotebookNode]) -> Step:
    ticked = [Tick(**tick) for cell in cells for tick in ticks.kept(cell)]
    marks = [cell.metadata.get("hubrun", {"status": "not run"}) for cell in cells if is_code(cell)]
    if not marks:
        return Step(title=title, status="ticked", ticked=ticked)
    runs = sorted(_runs(marks), key=lambda run: run.started)
    decisive = _decisive(marks)
    begun = [each for each in marks if each["status"] != "not run"]
    started = begun[0].get("started", "") if begun else ""
    ended = begun[-1].get("ended", "") if begun and begun[-1]["status"] != "running" else ""
    if runs:  # in any order
        started, ended = runs[0].started, "" if decisive["status"] == "running" else max(run.ended for run in runs)
    earlier = [result for each in marks for before in each.get("earlier", []) for result in before.get("results", [])]
    data = [each for cell in cells for each in _data(cell)]
    return Step(
        title=title,
        status=decisive["status"],
        cause=decisive.get("cause", ""),
        reason=decisive.get("reason", ""),
        started=started,
        ended=ended,
        seconds=seconds_between(started, ended),
        results=[*earlier, *(result for each in data for result in each.get("results", []))],
        checks=[check for each in data for check in each.get("checks", [])],
        unchecked=[title for each in data for title in each.get("unchecked", [])],
        notes=[note for each in data for note in each.get("notes", [])],
        ticked=ticked,
        runs=runs,
    )


def _runs(marks: list[dict[str, Any]]) -> Iterable[CellRun]:
    for number, kept in enumerate(marks, 1):
        if "earlier" in kept:
            yield from (
                CellRun(cell=number, **{name: each[name] for name in ("status", "cause", "reason", "started", "ended")})
                for each in [*kept["earlier"], kept]
                if each["status"] != "not run"
            )


def _decisive(marks: list[dict[str, Any]]) -> dict[str, Any]:
    decisive = next((each for status in _ORDER for each in marks if each["status"] == status), None)
    if decisive:
        return decisive
    left = [each for each in marks if each["status"] == "not run"]
    if left and len(left) < len(marks):
        if "earlier" in left[0]:  # a person runs what they choose
            return next(each for each in marks if each not in left)
        # it ended between two cells of this step
        return left[0] | {"status": "interrupted"}
    return marks[0]


def _data(cell: NotebookNode) -> Iterable[dict[str, Any]]:
    return (output["data"][MIME] for output in cell.get("outputs", []) if MIME in output.get("data", {}))


def glued(nb: NotebookNode) -> dict[str, Any]:
    """What the runbook glued with scrapbook, by name. (scrapbook itself takes seconds to import.)"""
    scraps = (output.get("data", {}).get(_SCRAP) for cell in nb.cells for output in cell.get("outputs", []))
    return {scrap["name"]: scrap["data"] for scrap in scraps if scrap}
