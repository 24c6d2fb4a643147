"""Questions asked ahead: what the last run asked of a server is asked all at once, before its turn comes.

A runbook asks one step after another, and each question costs round trips. Most of them are the same in every run. So
the runner keeps the questions of the last run, and the session asks those of a runbook together; while that goes on,
those of the runbooks behind it. Only an answer that means "nothing to do" is believed so early: where something is to
be done, or a check does not hold, the question is asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hubrun.errors import HubrunError
from hubrun.ssh.output import Output

# An answer is good for so long, in seconds, and until something is changed on the server.
GOOD_FOR = 60
# The questions of so many runbooks are asked at a time (sshd_config(5): MaxSessions is 10 by default).
AT_ONCE = 4


class Question(NamedTuple):
    """A read-only script, and whether it leaves traces all the same (it starts a container). node: which one is asked; "": the
    site's own server."""

    script: str
    traces: bool = False
    node: str = ""


@dataclass
class Expected:
    """What this runbook is expected to ask, and those after it, from the run before; and what it did ask.

    headless: no person steps through it, who may change the server between two cells.
    """

    headless: bool = False
    runbooks: list[list[Question]] = field(default_factory=list)
    asked: dict[tuple[str, str], Question] = field(default_factory=dict)


# The runner fills it in for its kernel; anywhere else nothing is expected.
EXPECTED = Expected()


class PrefetchedAnswers:
    """The answers that are known, or under way. ask: asks questions in one round trip, and raises HubrunError. node: whom.

    Unless a run is headless nothing is kept: a person may change the server between two cells.
    """

    def __init__(self, ask: Callable[[Sequence[str]], list[Output]], node: str = "") -> None:
        self._ask, self._node = ask, node
        self._known: dict[str, Future[Output]] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ahead")
        self._keeps = EXPECTED.headless

    def start(self, first: Sequence[str], traces: bool) -> None:
        """Ask `first`, and with it what this runbook is expected to ask; beside it what the next ones are.

        What is known is not asked again. traces: also what leaves some on the server.
        """
        expected = EXPECTED.runbooks or [[]]
        own = [Question(script, node=self._node) for script in first] if self._keeps else []
        for questions in ([*own, *expected[0]], *expected[1:]):
            ours = [q for q in questions if q.node == self._node and q.script not in self._known]
            scripts = [q.script for q in ours if traces or not q.traces]
            if scripts:
                answers: dict[str, Future[Output]] = {script: Future() for script in scripts}
                self._known |= answers
                self._pool.submit(self._answer, answers)

    def _answer(self, answers: dict[str, Future[Output]]) -> None:
        try:
            for answer, output in zip(answers.values(), self._ask(list(answers)), strict=True):
                answer.set_result(replace(output, early=True))
        except Exception as error:
            for answer in answers.values():
                if not answer.done():
                    answer.set_exception(error)

    def take(self, script: str) -> Output | None:
        """The answer, where it is known or under way; None where the question is still to be asked."""
        try:
            output = self._known[script].result()
        except (KeyError, HubrunError):
            return None
        return output if time.monotonic() - output.since < GOOD_FOR else None

    def keep(self, script: str, output: Output) -> None:
        """Keep an answer that was asked for just now."""
        if self._keeps:
            answer: Future[Output] = Future()
            answer.set_result(replace(output, early=True))
            self._known[script] = answer

    def remember(self, script: str, traces: bool) -> None:
        """Keep the question for the next run."""
        EXPECTED.asked[self._node, script] = Question(script, traces, self._node)

    def forget(self) -> None:
        """Something may have been changed: what was known, or is under way, counts no more."""
        self._known.clear()
