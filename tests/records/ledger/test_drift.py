"""Of what would change: by which run it had been set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from histories import make_history, make_run
from hubrun.records.ledger import drift, summary
from hubrun.records.ledger.manifest import Record, RunbookRecord, Software, Step
from hubrun.records.pages import terminal_tables


def saw(**statuses: str) -> list[RunbookRecord]:
    results: list[dict[str, Any]] = [{"resource": name, "status": status} for name, status in statuses.items()]
    return [
        RunbookRecord(name="02_hub_lti", status="ok", steps=[Step(title="Configuration", status="ok", results=results)])
    ]


def traced(records: Path, **statuses: str) -> dict[str, dict[str, Any]]:
    """A plan that would do this, after its drift was traced: resource → what its result says."""
    record = Record(run="now", site="practice", mode="check", started="", software=Software(version="0"), runbooks=saw(**statuses))  # fmt: skip
    drift.trace(make_history(records, 0), record)
    return {str(result["resource"]): result for result in record.runbooks[0].steps[0].results}


def runs(records: Path, *each: dict[str, str]) -> list[str]:
    made = []
    for day, statuses in enumerate(each, 1):
        run = make_run(records, day=day)
        statement = run.manifest()
        statement.predicate.runbooks = saw(**statuses)
        (run.folder / "manifest.json").write_bytes(statement.encoded())
        made.append(run.name)
    return made


def test_what_would_change_names_the_run_that_set_it_and_the_last_that_saw_it_right(tmp_path: Path) -> None:
    first, second, third = runs(tmp_path, {"unit": "changed", "file": "changed"}, {"unit": "ok", "file": "changed"}, {"unit": "ok", "file": "ok"})  # fmt: skip
    found = traced(tmp_path, unit="would change", file="would change", image="ok")
    assert (found["unit"]["set_by"], found["unit"]["right_in"]) == (first, third)
    assert (found["file"]["set_by"], found["file"]["right_in"]) == (second, third)
    assert "set_by" not in found["image"]


def test_what_was_right_from_the_beginning_names_the_run_that_saw_it_so(tmp_path: Path) -> None:
    runs(tmp_path, {"file": "ok"}, {"file": "failed"})
    found = traced(tmp_path, file="would change", other="would change")
    assert "set_by" not in found["file"] and found["file"]["right_in"].startswith("20260101")
    assert found["other"].keys() == {"resource", "status"}


def test_a_run_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    first, second = runs(tmp_path, {"file": "changed"}, {"file": "changed"})
    (tmp_path / "practice" / second / "manifest.json").write_text("{")
    assert traced(tmp_path, file="would change")["file"]["set_by"] == first


def test_people_see_where_it_came_from(tmp_path: Path) -> None:
    (first,) = runs(tmp_path, {"file": "changed"})
    record = Record(run="now", site="practice", mode="check", started="", software=Software(version="0"), runbooks=saw(file="would change"))  # fmt: skip
    drift.trace(make_history(tmp_path, 0), record)
    (change,) = summary.changes(record)
    assert change.origin == f"it had been set by run {first}"
    assert f"set by run {first}" in terminal_tables._change(change).plain
