"""Where the state that a server should have came from: the runs that set it, and that saw it right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubrun.errors import BadInput
from hubrun.records.ledger.history import History
from hubrun.records.ledger.manifest import Record


def trace(history: History, record: Record) -> None:
    """Note with each resource of a plan that would change by which run it had last been set, and last seen right.

    Adds `set_by` and `right_in` (a run's name) to its result; a resource that no run has seen gets neither. A run that
    cannot be read is passed over: `records verify` names it.
    """
    planned = [result for result in _results(record) if result.get("status") == "would change"]
    wanted: dict[str, dict[str, str]] = {str(result["resource"]): {} for result in planned}
    left = set(wanted)
    for run in reversed(history.runs()):
        if not left:
            break
        if run.name == record.run:
            continue
        try:
            earlier = run.manifest().predicate
        except BadInput:
            continue
        for name, status in _statuses(earlier).items():
            if name in left:
                if status in ("ok", "changed"):
                    wanted[name].setdefault("right_in", run.name)
                if status == "changed":
                    wanted[name]["set_by"] = run.name
                    left.discard(name)
    for result in planned:
        result.update(wanted[str(result["resource"])])


def _results(record: Record) -> Iterator[dict[str, Any]]:
    return (result for book in record.runbooks for step in book.steps for result in step.results)


def _statuses(record: Record) -> dict[str, str]:
    """What a run last said of each resource."""
    return {str(result.get("resource")): str(result.get("status")) for result in _results(record)}
