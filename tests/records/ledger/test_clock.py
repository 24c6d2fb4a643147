"""A run's times go on evenly, whatever happens to this machine's clock meanwhile."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest
from papermill.engines import NotebookExecutionManager

from hubrun.records.ledger import steps
from hubrun.records.ledger.clock import CLOCK, Clock
from hubrun.records.ledger.history import History
from hubrun.records.run.notebook_saver import NotebookSaver


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is added to this machine's clock."""
    ahead, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    return ahead


@pytest.mark.parametrize(
    ("step", "way"), [(-97.9, "back by 97.9 s"), (3600.0, "forward by 3600.0 s"), (-1.5, "back by 1.5 s")]
)
def test_a_clock_that_is_set_is_named_and_makes_no_duration_wrong(wall: list[float], step: float, way: str) -> None:
    clock = Clock()
    before = clock.now()
    wall[0] = step
    after = clock.now()
    assert 0 <= (after - before).total_seconds() < 1
    assert [said.partition(": ")[2] for said in clock.steps] == [f"this machine's clock was set {way}"]
    assert datetime.datetime.fromisoformat(clock.steps[0].partition(": ")[0]).tzinfo
    clock.now()
    wall[0] = 0.0
    clock.now()
    assert len(clock.steps) == 2, "each once"
    clock.begin()
    assert clock.steps == []


def test_a_clock_that_is_adjusted_is_not_set(wall: list[float]) -> None:
    clock = Clock()
    for _ in range(20):
        wall[0] += 0.05
        clock.now()
    assert clock.steps == [], "20 times 0.05 s, as NTP does it"


def test_a_run_that_begins_after_the_clock_was_set_back_still_comes_last(tmp_path: Path) -> None:
    history = History(tmp_path, "bio")
    for name in ("20990101T000000Z-abcdef", "20991231T235959Z-000000"):
        (history.folder / name).mkdir(parents=True)
    name = history.new_name()
    assert name.startswith("21000101T000000Z-")
    (history.folder / name).mkdir()
    assert history.runs()[-1].name == name
    (history.folder / "99999999T999999Z-ffffff").mkdir()
    assert len(history.new_name()) == 23


def test_the_notebook_and_its_steps_have_the_same_clock(wall: list[float]) -> None:
    CLOCK.begin()
    started = steps.now()
    wall[0] = -100.0
    assert 0 <= steps.seconds_between(started, steps.now()) < 1
    assert issubclass(NotebookSaver, NotebookExecutionManager)
    assert abs((NotebookSaver.now(None) - CLOCK.now()).total_seconds()) < 1  # type: ignore[arg-type]
    CLOCK.begin()
