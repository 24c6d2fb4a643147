"""Questions asked ahead: what the last run asked of a server is asked all at once, before its turn comes.

A runbook asks one step after another, and each question costs round trips. Most of them are the same in every run. So
the runner keeps the questions of the last run, and the session asks them together. Only an answer that means "nothing
to do" is believed so early: where something is to be done, or a check does not hold, the question is asked anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hubrun.channel import Output
from hubrun.errors import HubrunError
from hubrun.notebook import ENGINE

# An answer is good for so long, in seconds, and until something is changed on the server.
GOOD_FOR = 60
# Questions that took longer than this, in seconds, are asked beside the others; so many at a time (sshd_config(5):
# MaxSessions is 10 by default).
LONG = 0.2
AT_ONCE = 4


class Question(NamedTuple):
    """A read-only script, how long its answer took in seconds, and whether it leaves traces (starts a container)."""

    script: str
    seconds: float = 0.0
    traces: bool = False


@dataclass
class Expected:
    """What this runbook is expected to ask, and those after it, from the run before; and what it did ask."""

    runbooks: list[list[Question]] = field(default_factory=list)
    asked: dict[str, Question] = field(default_factory=dict)


# The runner fills it in for its kernel; anywhere else nothing is expected.
EXPECTED = Expected()


class Ahead:
    """The answers that are known, or under way. ask: asks questions in one round trip, and raises HubrunError.

    Without the runner nothing is kept: in JupyterLab a person may change the server between two cells.
    """

    def __init__(self, ask: Callable[[Sequence[str]], list[Output]]) -> None:
        self._ask = ask
        self._known: dict[str, Future[Output]] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ahead")
        self._keeps = bool(os.environ.get(ENGINE))

    def short(self, traces: bool) -> list[str]:
        """What this runbook is expected to ask and is soon answered, to go along with its first question."""
        return (
            [q.script for q in self._wanted(EXPECTED.runbooks[0], traces) if q.seconds < LONG]
            if EXPECTED.runbooks
            else []
        )

    def _wanted(self, questions: Sequence[Question], traces: bool) -> list[Question]:
        return [q for q in questions if q.script not in self._known and (traces or not q.traces)]

    def start(self, traces: bool) -> None:
        """Ask what is expected and not known yet. traces: also what leaves traces on the server."""
        for questions in EXPECTED.runbooks:
            wanted = self._wanted(questions, traces)
            short = [q.script for q in wanted if q.seconds < LONG]
            for scripts in [short] * bool(short) + [[q.script] for q in wanted if q.seconds >= LONG]:
                answers: list[Future[Output]] = [Future() for _ in scripts]
                self._known |= dict(zip(scripts, answers, strict=True))
                self._pool.submit(self._answer, scripts, answers)

    def _answer(self, scripts: Sequence[str], answers: Sequence[Future[Output]]) -> None:
        try:
            for answer, output in zip(answers, self._ask(scripts), strict=True):
                answer.set_result(replace(output, early=True))
        except Exception as error:
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)

    def take(self, script: str) -> Output | None:
        """The answer, where it is known or under way; None where the question is still to be asked."""
        try:
            output = self._known[script].result()
        except (KeyError, HubrunError):
            return None
        return output if time.time() - output.at < GOOD_FOR else None

    def keep(self, script: str, output: Output) -> None:
        """Keep an answer that was asked for just now."""
        if self._keeps:
            answer: Future[Output] = Future()
            answer.set_result(replace(output, early=True))
            self._known[script] = answer

    def remember(self, script: str, output: Output, traces: bool) -> None:
        """Keep the question for the next run."""
        EXPECTED.asked[script] = Question(script, output.seconds, traces)

    def forget(self) -> None:
        """Something may have been changed: what was known, or is under way, counts no more."""
        self._known.clear()
