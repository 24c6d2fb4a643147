"""What is said while a run goes on and nothing is heard from it."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from hubrun.cli import progress
from hubrun.params import Site
from hubrun.records.ledger.manifest import Step


def test_a_log_hears_of_a_long_silence_and_of_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.SIGN_OF_LIFE + 0.5 < 10  # the pulse looks twice a second
    monkeypatch.setattr(progress, "SIGN_OF_LIFE", 0.2)
    seen = progress.Progress(Site(site="x", domain="hub.example.edu"))
    seen.console = Console(file=io.StringIO(), width=120)

    def lines() -> list[str]:
        return seen.console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]

    with seen.waiting("asking the server"):
        assert [line.split(None, 1)[1] for line in lines()] == ["asking the server"]
        deadline = time.monotonic() + 5
        while len(lines()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lines()[1].split(None, 1)[1].startswith("asking the server (for ")
    told = len(lines())
    time.sleep(0.8)
    assert len(lines()) == told, "nothing is waited for any more"


def test_what_became_known_meanwhile_stands_below_its_step() -> None:
    seen = progress.Progress(Site(site="x", domain="hub.example.edu"))
    seen.console = Console(file=io.StringIO(), width=120)
    seen._ended(Step(title="nginx", status="changed", notes=["an image could not be built"]))
    assert [line.split()[:2] for line in seen.console.file.getvalue().splitlines()] == [
        ["changed", "nginx"],
        ["note:", "an"],
    ]  # type: ignore[attr-defined]
