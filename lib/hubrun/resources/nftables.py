"""Rules of nftables that a unit of ours loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote


@dataclass(frozen=True)
class Rules(Resource):
    """The rules for `what`, which `program` knows, are in force, and are loaded by `unit` at each boot.

    program: on the server; `PROGRAM state` says in a line whether they are ("in force", or what else is so), and
    `PROGRAM load` loads them. reads: the files that it loads them from. notice: what people notice when rules come
    where there were none; the plan says it.
    """

    what: str
    program: str
    unit: str
    reads: tuple[str, ...] = ()
    notice: str = ""

    label_format = "{what}"

    @override
    def probe(self) -> str:
        return quote(
            'program={} unit={}\necho "state=$([ ! -x "$program" ] || "$program" state)"\n'
            'echo "enabled=$(systemctl is-enabled "$unit" 2>/dev/null)"',
            self.program, self.unit,
        )  # fmt: skip

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return f"{found}\nstate=those of before" if {self.program, *self.reads}.intersection(written) else found

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        state = now.get("state", "")
        actions = []
        if now.get("enabled") != "enabled":
            actions.append(
                Action(
                    f"load them at each boot ({self.unit})",
                    quote("systemctl daemon-reload\nsystemctl enable {}", self.unit),
                    quote("systemctl enable {}", self.unit),
                )
            )
        if state != "in force":
            # By hand, so that what nft says of a rule it refuses is seen here.
            script = quote('{} load\nnow=$({} state)\necho "$now"\n[ "$now" = "in force" ]', self.program, self.program)
            title = f"load the rules ({f'they are {state}' if state else 'they are not there'})"
            title += f": {self.notice}" if self.notice and not state else ""
            actions.append(Action(title, script, quote("{} load", self.program)))
        return actions
