"""What the runbooks of a site asked of its server, kept from one run for the next (see hubrun/ahead.py)."""

from __future__ import annotations

import ast
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hubrun.ahead import Question
from hubrun.record import whole
from hubrun.record.history import ASKED
from hubrun.redact import HERE

_FORM = TypeAdapter(dict[str, list[Question]])


@dataclass
class Asked:
    """The questions of one runbook. expected: its own and, behind them, those of the runbooks that follow in this run.

    pending: the runbooks before it that would change something. asked: what it did ask, once it has ended well.
    """

    pending: str = ""
    expected: list[list[Question]] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    # what the kernel is told, and then asked for
    def begin(self) -> str:
        """Python for the kernel, before the runbook's first cell: an empty namespace, and what is expected."""
        return f"from hubrun.notebook import begin\nbegin({self.pending!r}, {json.dumps(self.expected)!r})"

    expression = "__import__('hubrun.notebook').notebook.asked()"

    def take(self, answer: dict[str, Any]) -> None:
        """Take in what the kernel says that was asked: the reply to a user expression (Jupyter's messaging)."""
        if answer.get("status") == "ok":
            self.asked = [Question(*each) for each in json.loads(ast.literal_eval(answer["data"]["text/plain"]))]


class Memory:
    """The questions of a site's last runs, by runbook, in a file of this account's own beside the records."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ASKED
        self.runbooks: dict[str, list[Question]] = {}
        try:
            status = self._path.stat()
            # What stands there is run on the server, as root.
            if status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                self.runbooks = _FORM.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            pass  # nothing is expected then, which costs round trips and nothing else

    def learn(self, name: str, asked: list[Question], everything: bool) -> None:
        """Keep what a runbook asked. everything: else it was a plan, which does not ask what leaves traces."""
        before = [] if everything else [each for each in self.runbooks.get(name, []) if each.traces]
        # A question with a secret in it would have to be written here: it is asked in its turn.
        self.runbooks[name] = [each for each in [*asked, *before] if HERE.text(each.script) == each.script]

    def save(self) -> None:
        """Raises OSError."""
        whole.write(self._path, _FORM.dump_json(self.runbooks, indent=1))
