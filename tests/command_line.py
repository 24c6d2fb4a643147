"""Runs `./hubrun` in the test's own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from hubrun.cli import main


class Ended(NamedTuple):
    """How a command ended: its exit code, standard output, and the lines of standard error."""

    code: int
    out: str
    err: list[str]


Hubrun = Callable[..., Ended]


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hubrun:
    """A function that runs `./hubrun` with its arguments."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["hubrun", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err.splitlines())

    return run
