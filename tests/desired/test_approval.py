"""`plan_first`: nothing is done that was not shown, and in the order of the steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hubrun.desired import approval
from hubrun.desired.approval import Approval
from hubrun.desired.current_cell import Cell
from hubrun.desired.resource import Action, Result

AGAIN = "Run this cell again to do this."
Ask = Callable[..., bool]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a cell that plans to do something; whether it was done."""
    monkeypatch.setattr(approval, "_shown", {})
    runs = iter(range(100))

    def ask(
        asked: Approval, cell: str, *scripts: str, source: str = "ensure(…)", where: str = "key", data: bytes = b""
    ) -> bool:
        now = Cell(cell, source, str(next(runs)))
        monkeypatch.setattr(approval, "current_cell", lambda: now)
        done = True
        for script in scripts:
            asked.begin(RESULTS)
            results = [
                Result(f"file {cell}", "not run", [Action("write", script, data=data)]),
                Result("packages", "ok"),
            ]
            RESULTS.extend(results)
            done &= asked.given(where, results, [f"/{cell}"])
        return done

    return ask


RESULTS: list[Result] = []


@pytest.fixture(autouse=True)
def no_results() -> None:
    RESULTS.clear()


def test_without_it_everything_is_done_at_once_and_in_check_mode_nothing_ever(ask: Ask) -> None:
    assert ask(Approval(), "a", "1")
    both = Approval(check_mode=True, plan_first=True)
    assert [ask(both, "a", "1") for _ in range(3)] == [False] * 3
    assert both.note == "" and both.mode.startswith("check")
    assert [result.status for result in RESULTS if result.actions] == ["not run"] + ["would change"] * 3


def test_a_cell_shows_its_plan_and_does_it_when_it_is_run_again(ask: Ask) -> None:
    first = Approval(plan_first=True)
    assert not ask(first, "a", "1")
    assert (first.note, first.pending, first.foreseen) == (AGAIN, ["file a"], ["/a"])
    assert [result.status for result in RESULTS] == ["would change", "ok"]
    assert ask(first, "a", "1")
    assert (first.note, first.pending, first.foreseen) == ("", [], [])
    assert [result.label for result in RESULTS if result.status == "would change"] == [], "it was done, and counts once"
    assert not ask(first, "a", "1"), "what differs again later is shown again"


@pytest.mark.parametrize("changed", [{"source": "ensure(…, …)"}, {"where": "another server"}, {"data": b"other"}])
def test_a_plan_that_was_not_shown_is_shown_and_not_done(ask: Ask, changed: dict[str, str]) -> None:
    first = Approval(plan_first=True)
    assert not ask(first, "a", "1")
    assert not ask(first, "a", "1", **changed)
    assert first.note.endswith(AGAIN) and first.pending == ["file a"]
    assert ask(first, "a", "1", **changed)


def test_a_plan_that_has_changed_says_so(ask: Ask) -> None:
    first = Approval(plan_first=True)
    ask(first, "a", "1")
    assert not ask(first, "a", "2")
    assert first.note == f"This is another plan than the one that was shown before. {AGAIN}"
    assert not ask(first, "a", "1"), "what was shown before the last plan counts no more"
    assert ask(first, "a", "1")


def test_a_step_waits_for_those_above_it(ask: Ask) -> None:
    first = Approval(plan_first=True)
    assert not ask(first, "a", "1")
    assert not ask(first, "b", "1")
    assert not ask(first, "b", "1")
    assert first.note == "Do first what was shown above: file a. Then run this cell again."
    assert first.pending == ["file a", "file b"]
    assert ask(first, "a", "1"), "what comes behind it does not hold it up"
    assert first.pending == [] and first.foreseen == [], "nor does it hold up the checks of that cell"
    assert ask(first, "b", "1")


def test_all_of_a_cell_is_shown_before_any_of_it_is_done(ask: Ask) -> None:
    first = Approval(plan_first=True)
    assert not ask(first, "a", "1", "2")
    assert first.pending == ["file a", "file a"] and first.note == AGAIN
    assert not ask(first, "a", "1", "3"), "the first was done, the second is another plan"
    assert first.pending == ["file a"] and first.note.endswith(AGAIN) and first.note != AGAIN
    assert ask(first, "a", "3") is False, "it is the first plan of the cell now"
