"""The steps of a runbook: what went on under each heading, read from the notebook's cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hubrun.display import MIME

if TYPE_CHECKING:  # nbformat takes a second to import, and the command line must not wait for it
    from nbformat import NotebookNode


@dataclass
class Step:
    """One heading of a runbook, with what its cells reported. status: ok, changed, would change,
    not checked (check mode: would be known after the changes) or failed."""

    title: str
    status: str = "ok"
    seconds: float = 0.0
    results: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


@dataclass
class Listener:
    """Gets each step when it begins, lines of progress within it, and the step again when it has ended."""

    started: Callable[[Step], None]
    progress: Callable[[str], None]
    ended: Callable[[Step], None]


def titles(nb: NotebookNode) -> list[str]:
    """For each cell, the heading that stands above it."""
    title, found = "", []
    for cell in nb.cells:
        heading = re.match(r"#{1,3} +(.+)", cell.source) if cell.cell_type == "markdown" else None
        title = heading.group(1).strip() if heading else title
        found.append(title)
    return found


def report(step: Step, cell: NotebookNode) -> None:
    """Add to the step what the outputs of one of its cells say."""
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            step.status = "failed"
        data = output.get("data", {}).get(MIME, {})
        step.results += data.get("results", [])
        step.checks += data.get("checks", [])
        step.unchecked += data.get("unchecked", [])
    if step.status == "failed":
        return
    statuses = {result["status"] for result in step.results}
    unchecked = "not checked" if step.unchecked else "ok"
    step.status = next((status for status in ("changed", "would change") if status in statuses), unchecked)
