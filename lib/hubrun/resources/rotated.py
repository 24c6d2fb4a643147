"""Secrets that are replaced on a server that people use: the one before is good for a time, or nobody needs it any more.

What was replaced within a day counts as done: a run that is repeated, or carried on, never makes a third one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.server_paths import program
from hubrun.shell import quote
from hubrun_hub.rotation import DONE_S

_PROGRAM = program("rotate")


def due(found: str, days: int = 0) -> Literal["", "renew", "end"]:
    """What is to be done: another secret, the end of the one before, or nothing.

    found: as the programs on the server say it. days: for how long the one before stays good; 0 ends it now.
    """
    at = _times(found)
    if at["until"] > at["now"]:
        return "" if days else "end"
    return "" if at["now"] - at["rotated"] < DONE_S else "renew"


def good_until(found: str) -> str:
    """The day until which the one before is good; "" where none is."""
    at = _times(found)
    return f"{datetime.fromtimestamp(at['until'], UTC):%Y-%m-%d}" if at["until"] > at["now"] else ""


def _times(found: str) -> dict[str, int]:
    """In seconds since 1970; where nothing was found, nothing was ever done."""
    now = facts(found)
    return {name: int(now.get(name, otherwise)) for name, otherwise in (("rotated", 0), ("until", 0), ("now", DONE_S))}


@dataclass(frozen=True)
class Rotated(Resource):
    """`what` is another one, and the one before is good beside it for `days` from then on; 0: not any more.

    Nothing is restarted. command: shell of the program on the server that looks at the file `path`, renews what it holds,
    and ends the one before.
    """

    what: str
    command: str
    path: str
    days: int

    label_format = "{what}"

    @override
    def probe(self) -> str:
        return self._run("look")

    @override
    def plan(self, found: str) -> list[Action]:
        what = due(found, self.days)
        if what == "end":
            title = f"end the one before, which was to be good until {good_until(found)}"
            return [Action(title, self._run("end"), f"editor {self.path}")]
        then = f"for {self.days} more days" if self.days else "no more"
        title = f"make a new one; the one before is good {then}"
        return [Action(title, self._run("renew", self.days), f"editor {self.path}")] if what else []

    def _run(self, verb: str, *more: object) -> str:
        return quote(f"{self.command} {{}} {{}} {{}}", verb, self.path, more)


@dataclass(frozen=True)
class RotatedSecret(Resource):
    """Another secret in the file `path`, in its line `name`, or, without a name, in place of all that it holds.

    Who reads it at its start is restarted after it. notice: what people notice; the plan says it.
    """

    path: str
    name: str
    notice: str

    label_format = "a new secret in {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote(f"{_PROGRAM} file look {{}}", self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        script = quote(f"{_PROGRAM} file renew {{}} {{}}", self.path, [self.name] if self.name else [])
        title = f"make a new secret in {self.path}: {self.notice}"
        return [Action(title, script, f"openssl rand -hex 32   # into {self.path}")] if due(found) else []
