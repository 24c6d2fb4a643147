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
    origins: dict[str, dict[str, str]] = {str(result["resource"]): {} for result in planned}
    for run in reversed(history.runs()):
        wanted = [name for name, origin in origins.items() if "set_by" not in origin]
        if not wanted:
            break
        if run.name == record.run:
            continue
        try:
            earlier = run.manifest().predicate
        except BadInput:
            continue
        # The last of a run counts.
        statuses = {str(result.get("resource")): result.get("status") for result in _results(earlier)}
        for name in wanted:
            if statuses.get(name) in ("ok", "changed"):
                origins[name].setdefault("right_in", run.name)
            if statuses.get(name) == "changed":
                origins[name]["set_by"] = run.name
    for result in planned:
        result.update(origins[str(result["resource"])])


def _results(record: Record) -> Iterator[dict[str, Any]]:
    return (result for book in record.runbooks for step in book.steps for result in step.results)
