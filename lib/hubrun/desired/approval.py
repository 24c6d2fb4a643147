"""Whether what was planned is done now: always, never (check mode), or after it was shown (`plan_first`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hubrun.desired.current_cell import current_cell
from hubrun.desired.resource import Result

_AGAIN = "Run this cell again to do this."

# One action as a person saw it and as it would run: resource, title, script, shown, data, diff.
_Seen = tuple[str, str, str, str, bytes, str]
# Where, which cell with which source, and which of its plans, from 1 → the plan that was shown last. It is of the kernel, and
# not of one Approval: who runs the Target cell again has seen what was shown before.
_shown: dict[tuple[str, str, str, int], list[_Seen]] = {}


@dataclass
class _Left:
    """What one run of a cell has shown and not done. place: the cell's, in the order in which cells were first run."""

    place: int
    run: str
    results: list[Result] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)


class Approval:
    """Says of each plan whether it is done now, and keeps what was left undone.

    note: what the person may do about the plan that was asked about last; empty when it is done, and in check mode.
    """

    def __init__(self, check_mode: bool = False, plan_first: bool = False, pending: Sequence[str] = ()) -> None:
        self.check_mode = check_mode
        self.plan_first = plan_first and not check_mode
        self.note = ""
        self._pending = list(pending)
        self._left: dict[str, _Left] = {}
        self._places: dict[str, int] = {}
        self._run = ""
        self._plans = 0

    @property
    def mode(self) -> str:
        """Which of the three it is, in words for the person who runs a notebook."""
        if self.check_mode:
            return "check: nothing will be changed"
        if self.plan_first:
            return "plan first: a step shows what it would change, and does it when you run its cell again"
        return "install: what differs will be changed"

    @property
    def pending(self) -> list[str]:
        """Labels of what this cell, and those before it, would change: with it, what follows cannot be checked yet."""
        return (
            [result.label for left in self._before() for result in left.results] if self.plan_first else self._pending
        )

    @property
    def foreseen(self) -> list[str]:
        """What the plans that were shown first would have written before this cell (see `Resource.writes`)."""
        return [path for left in self._before() for path in left.writes] if self.plan_first else []

    def begin(self, results: list[Result]) -> None:
        """Call it before planning: what an earlier run of this cell left undone is planned anew, and leaves `results`."""
        cell, self.note = current_cell(), ""
        self._plans = self._plans + 1 if cell.run == self._run else 1
        self._run = cell.run
        left = self._left.get(cell.id)
        if self.plan_first and left and left.run != cell.run:
            del self._left[cell.id]
            results[:] = [result for result in results if not any(result is each for each in left.results)]

    def given(self, where: str, results: Sequence[Result], writes: Sequence[str] = ()) -> bool:
        """Whether to carry out the actions of `results` now; if not, these results become "would change".

        where: what they change, as one server or one Canvas. writes: what they would write.
        """
        todo = [result for result in results if result.actions]
        if not todo or not (self.check_mode or (self.plan_first and self._must_show(where, todo))):
            return True
        for result in todo:
            result.status = "would change"
        self._pending += [result.label for result in todo]
        cell = current_cell()
        left = self._left.setdefault(cell.id, _Left(self._place(), cell.run))
        left.results += todo
        left.writes += writes
        return False

    def _must_show(self, where: str, todo: Sequence[Result]) -> bool:
        cell = current_cell()
        key = (where, cell.id, cell.source, self._plans)
        plan = [(r.label, a.title, a.script, a.shown, a.data, a.diff) for r in todo for a in r.actions]
        shown, _shown[key] = _shown.get(key), plan
        waits_for = self._before()
        if shown == plan and not waits_for:
            del _shown[key]
            return False
        above = [result.label for left in waits_for if left.place != self._place() for result in left.results]
        self.note = _AGAIN
        if above:
            # Planned from what those steps would leave; what they do leave may be something else.
            self.note = f"Do first what was shown above: {', '.join(above)}. Then run this cell again."
        elif shown not in (None, plan):
            self.note = f"This is another plan than the one that was shown before. {_AGAIN}"
        return True

    def _before(self) -> list[_Left]:
        """What is left undone in this cell and in those before it. What comes behind it does not matter to it."""
        place = self._place()
        return [left for left in self._left.values() if left.place <= place]

    def _place(self) -> int:
        return self._places.setdefault(current_cell().id, len(self._places))
