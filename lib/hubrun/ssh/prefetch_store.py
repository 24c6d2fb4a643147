"""What the runbooks of a site asked of its server, kept from one run for the next (see hubrun/ssh/prefetch.py)."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from hubrun import atomic_write, private_state
from hubrun.environment import PROJECT
from hubrun.redaction.redact import HERE
from hubrun.ssh.prefetch import Question

_FORM = TypeAdapter(dict[str, list[Question]])


@dataclass
class RunbookProbes:
    """The questions of one runbook. expected: its own and, behind them, those of the runbooks that follow in this run.

    pending: the runbooks before it that would change something. asked: what it did ask, once it has ended well.
    """

    pending: str = ""
    expected: list[list[Question]] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    # what the kernel is told, and then asked for
    def begin(self) -> str:
        """Python for the kernel, before the runbook's first cell: an empty namespace, and what is expected."""
        return f"from hubrun.runbook import begin\nbegin({self.pending!r}, {json.dumps(self.expected)!r})"

    expression = "__import__('hubrun.runbook').runbook.asked()"

    def take(self, answer: dict[str, Any]) -> None:
        """Take in what the kernel says that was asked: the reply to a user expression (Jupyter's messaging)."""
        if answer.get("status") == "ok":
            self.asked = [Question(*each) for each in json.loads(ast.literal_eval(answer["data"]["text/plain"]))]


class ProbeStore:
    """The questions of the last runs of a site on one server from this checkout, by runbook.

    They are run on the server as root: so they are kept where this account alone can write, and never beside the records,
    which are copied, synced and restored. host_key: the server's fingerprint; "" is a server that is not known.
    """

    def __init__(self, site: str, host_key: str) -> None:
        # The checkout too: another version asks otherwise.
        whose = json.dumps([str(PROJECT), site, host_key])
        self._name = f"{hashlib.sha256(whose.encode()).hexdigest()[:32]}.json" if host_key else ""
        self.runbooks: dict[str, list[Question]] = {}
        if self._name:
            # Nothing is expected then, which costs round trips and nothing else.
            with contextlib.suppress(OSError, ValueError):
                self.runbooks = _FORM.validate_json(private_state.read(private_state.folder("asked") / self._name))

    def learn(self, name: str, asked: list[Question], everything: bool) -> None:
        """Keep what a runbook asked. everything: else it was a plan, which does not ask what leaves traces."""
        before = [] if everything else [each for each in self.runbooks.get(name, []) if each.traces]
        # A question with a secret in it would have to be written here: it is asked in its turn.
        self.runbooks[name] = [each for each in [*asked, *before] if HERE.text(each.script) == each.script]

    def save(self) -> None:
        """Raises OSError."""
        if self._name:
            atomic_write.write(
                private_state.folder("asked") / self._name, _FORM.dump_json(self.runbooks, indent=1), 0o600
            )


def left_over(
    expected: Mapping[str, Sequence[Question]], books: Sequence[str], asked: Iterable[str], traces: bool
) -> list[str]:
    """The scripts that are expected of these runbooks besides what was `asked`: they may have been run all the same.

    traces: also what leaves some on the server.
    """
    known = set(asked)
    every = [each for name in books for each in expected.get(name, ()) if traces or not each.traces]
    return list(dict.fromkeys(each.script for each in every if each.script not in known))
