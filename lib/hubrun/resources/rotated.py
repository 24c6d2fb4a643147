"""Secrets that are replaced on a server that people use: the one before is good for a time, or nobody needs it any more.

What was replaced within a day counts as done: a run that is repeated, or carried on, never makes a third one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.server_paths import VENV, program
from hubrun.shell import quote

_DONE_S = 86400
_ROTATE = program("rotate")


def due(found: str, days: int = 0) -> Literal["", "renew", "end"]:
    """What is to be done: another secret, the end of the one before, or nothing.

    found: as the programs on the server say it. days: for how long the one before stays good; 0 ends it now.
    """
    at = _times(found)
    if at["until"] > at["now"]:
        return "" if days else "end"
    return "" if at["now"] - at["rotated"] < _DONE_S else "renew"


def good_until(found: str) -> str:
    """The day until which the one before is good; "" where none is."""
    at = _times(found)
    return f"{datetime.fromtimestamp(at['until'], UTC):%Y-%m-%d}" if at["until"] > at["now"] else ""


def _times(found: str) -> dict[str, int]:
    """In seconds since 1970; where nothing was found, nothing was ever done."""
    now = facts(found)
    return {name: int(now.get(name, otherwise)) for name, otherwise in (("rotated", 0), ("until", 0), ("now", _DONE_S))}


def _until(days: int) -> str:
    return f"the one before is good for {days} more days" if days else "the one before is good no more"


@dataclass(frozen=True)
class RotatedLtiSecret(Resource):
    """A new secret of a consumer of LTI 1.1, in the file `path`; the one before is good for `days` more.

    The hub reads the file at each launch: nothing is restarted.
    """

    consumer: str
    path: str
    days: int

    label_format = "the secret of consumer {consumer}"

    @override
    def probe(self) -> str:
        return quote(f"{_ROTATE} look {{}}", self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        what = due(found, self.days)
        if what == "end":
            title = f"end the secret before, which was to be good until {good_until(found)}"
            return [Action(title, quote(f"{_ROTATE} end-lti {{}}", self.path), f"editor {self.path}")]
        script = quote(f"{_ROTATE} renew-lti {{}} {{}}", self.path, self.days)
        shown = f"editor {self.path}   # LTI_CLIENT_SECRET, and LTI_FORMER_SECRET with LTI_FORMER_UNTIL"
        return [Action(f"make a new secret; {_until(self.days)}", script, shown)] if what else []


@dataclass(frozen=True)
class RotatedToolKey(Resource):
    """A new public key of the tool (LTI 1.3), in the hub's own file `path`; the one before is published for `days` more."""

    path: str
    account: str
    days: int

    label_format = "the tool's key (LTI 1.3)"

    @override
    def probe(self) -> str:
        return self._run("look")

    @override
    def plan(self, found: str) -> list[Action]:
        what = due(found, self.days)
        if what == "end":
            title = f"publish the key before no more, which was to be until {good_until(found)}"
            return [Action(title, self._run("end"), f"editor {self.path}")]
        title = f"make a new key; {_until(self.days)}"
        return [Action(title, self._run("renew", str(self.days)), f"editor {self.path}")] if what else []

    def _run(self, command: str, *more: str) -> str:
        python = program("tool_key", f"{VENV}/bin/python")
        return quote(f"cd / && runuser -u {{}} -- {python} {{}} {{}} {{}}", self.account, command, self.path, more)


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
        return quote(f"{_ROTATE} look {{}}", self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        script = quote(f"{_ROTATE} renew {{}} {{}}", self.path, [self.name] if self.name else [])
        title = f"make a new secret in {self.path}: {self.notice}"
        return [Action(title, script, f"openssl rand -hex 32   # into {self.path}")] if due(found) else []
