"""Checks: what must be true, what was seen, and what to do when they differ. They assert, or they are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hubrun.desired.cards import Card, Row
from hubrun.desired.diagnosis import last_line, reason


@dataclass(frozen=True)
class Check:
    """One finding. cause: the likely cause with its remedy; of one that is ok it is left out."""

    name: str
    ok: bool
    expected: str
    came: str
    cause: str = ""

    def __post_init__(self) -> None:
        if self.ok:
            object.__setattr__(self, "cause", "")


@dataclass(frozen=True)
class Test:
    """A check that a shell script makes on the server, as root.

    It passes when the script ends with 0 (with `fails=True`: when it does not), and, where `prints` is given, when
    that regular expression is found in what it prints (standard output and errors). With `fails=True` it must be given:
    a script fails for many reasons, and only one of them is what the test is about. traces: it leaves some on the
    server (a container that came and went), so that a plan does not run it.

    Raises ValueError for `fails=True` without `prints`.
    """

    __test__ = False  # pytest: this is not a test case

    title: str
    script: str
    prints: str = ""
    fails: bool = False
    remedy: str = ""
    traces: bool = False

    def __post_init__(self) -> None:
        if self.fails and not self.prints:
            raise ValueError(
                f"the test {self.title!r} would pass for any failure: say in `prints` which one it expects"
            )

    def judge(self, exit_code: int, text: str, at: float = 0.0) -> Check:
        """The check that an exit code and output come to. at: when they came, in seconds since the epoch."""
        wanted = "an error" if self.fails else "exit code 0"
        if self.prints:
            wanted += f" and output with {self.prints}"
        ok = (exit_code != 0) == self.fails and bool(re.search(self.prints, text, re.MULTILINE))
        said = reason(text) if exit_code else last_line(text)
        return Check(self.title, ok, wanted, f"exit code {exit_code}, {(said or 'no output')[:200]}", self.remedy)


def check_card(checks: Sequence[Check]) -> Card:
    """The card of some checks; what was expected and what came is folded for those that passed."""
    bad = sum(not check.ok for check in checks)
    passed = f"{len(checks)} check{'s' if len(checks) != 1 else ''} passed"
    rows = []
    for check in checks:
        seen = f"expected: {check.expected}\ncame:     {check.came}"
        if check.ok:
            rows.append(Row("ok", check.name, more=seen))
        else:
            rows.append(Row("failed", check.name, said=seen + (f"\nto do:    {check.cause}" if check.cause else "")))
    data = [
        {"check": check.name, "ok": check.ok, "expected": check.expected, "came": check.came}
        | ({"do": check.cause} if check.cause else {})
        for check in checks
    ]
    title = f"{bad} of {len(checks)} checks failed" if bad else passed
    note = "Repair what failed, then run this cell again." if bad else ""
    return Card(title, rows, {"checks": data}, ("status", "check", ""), note)
