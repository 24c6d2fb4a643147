"""The proof that alarms reach the operator, made once for each way in which they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# Only whether they are the same leaves the server: the settings hold a password.
_PROBE = """
[ -s {} ] && [ "$(cat {})" = "$(sha256sum < {})" ] && echo proven=yes
true
"""


@dataclass(frozen=True)
class AlertsArrive(Resource):
    """A test message was sent to `whom` since the file `settings` changed last.

    command: shell that sends it, and fails with the reason. stamp: the file on the server that keeps the proof.
    """

    whom: tuple[str, ...]
    settings: str
    command: str
    stamp: str

    @property
    @override
    def label(self) -> str:
        return f"alarms for {', '.join(self.whom)}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.stamp, self.stamp, self.settings)

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return "" if self.settings in written else found

    @override
    def plan(self, found: str) -> list[Action]:
        if "proven" in facts(found):
            return []
        script = self.command + quote("\n( umask 077; sha256sum < {} > {} )", self.settings, self.stamp)
        return [Action(f"send a test message to {', '.join(self.whom)}", script, self.command)]
