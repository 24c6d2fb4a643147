"""What a resource is, what its plan holds, and what became of it. Pure: no I/O in this module."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

# "not run", "interrupted": an earlier resource of the same step failed, or the run was stopped
Status = Literal["ok", "changed", "would change", "failed", "interrupted", "not run"]


@dataclass(frozen=True)
class Action:
    """One change to the server.

    title: what is done, for people. script: POSIX shell, run as root with `set -eu`. shown: what a person would
    have typed (empty: the script). data: sent to the script's standard input; never shown. diff: what changes in a
    file, unified. seconds: time limit. exit_codes: exit code → (what went wrong, what to do), for codes of its own.
    writes: what it leaves besides, as `Resource.writes` names it.
    """

    title: str
    script: str
    shown: str = ""
    data: bytes = b""
    diff: str = ""
    seconds: float = 120
    exit_codes: dict[int, tuple[str, str]] = field(default_factory=dict)
    writes: tuple[str, ...] = ()


class Resource(ABC):
    """A value that names a desired state. Subclasses are frozen dataclasses: the signature is the state.

    label_format: its label, with the names of fields: "file {path}". event: the same for what its actions write.
    """

    label_format: ClassVar[str] = ""
    event: ClassVar[str] = ""

    @property
    def label(self) -> str:
        """What it is, for people: "file /etc/hosts"."""
        return self.label_format.format_map(vars(self))

    @abstractmethod
    def probe(self) -> str:
        """POSIX shell, read-only, run as root; what it prints is what `plan` gets."""

    @abstractmethod
    def plan(self, found: str) -> list[Action]:
        """The actions that lead from what the probe printed to the desired state; empty when nothing differs."""

    @property
    def writes(self) -> tuple[str, ...]:
        """Paths on the server that its actions write; "service:NAME" for a service that they start or reload, and
        "network:NAME" for a network that they make."""
        return (self.event.format_map(vars(self)),) if self.event else ()

    def foresee(self, found: str, written: Sequence[str]) -> str:
        """What the probe will print once earlier resources have written these, in this order."""
        return found


@dataclass
class Result:
    """What became of one resource. log: the commands' output, redacted. seconds: how long the actions took."""

    label: str
    status: Status
    actions: list[Action] = field(default_factory=list)
    log: str = ""
    seconds: float = 0.0

    def summary(self) -> dict[str, object]:
        """The result as plain data, for the record."""
        return {
            "resource": self.label,
            "status": self.status,
            "actions": [action.title for action in self.actions],
            "diff": "".join(action.diff for action in self.actions),
            "seconds": round(self.seconds, 2),
        }


def facts(found: str) -> dict[str, str]:
    """The `name=value` lines that a probe printed, as a dict; other lines are passed over."""
    pairs = (line.partition("=") for line in found.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def unified(path: str, old: str, new: str) -> str:
    """A unified diff of a file's old and new text; empty when they are equal."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"{path} (now)", f"{path} (wanted)", n=2
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
