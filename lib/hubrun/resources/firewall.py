"""Rules of firewalls: of ufw, where a server has it, and of nftables, which a unit of ours loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# `ufw show added` lists rules in the form in which they are typed, whether or not ufw is active: ufw(8).
_PROBE = """
command -v ufw >/dev/null || exit 0
ufw status | sed -n 's/^Status: /status=/p'
ufw show added | sed -n 's/^ufw /rule:/p'
"""


@dataclass(frozen=True)
class FirewallRule(Resource):
    """Connections to `port` are let in, where ufw is active; where it is not there or off, nothing is done.

    source, destination: a network or address each ("" is any), such as 172.29.0.0/16 and 172.29.0.1.
    """

    port: int
    source: str = ""
    destination: str = ""
    protocol: Literal["tcp", "udp"] = "tcp"

    @property
    @override
    def label(self) -> str:
        return f"firewall lets in {self.protocol.upper()} port {self.port}" + (
            f" from {self.source}" if self.source else ""
        )

    @property
    def rule(self) -> str:
        """The rule as ufw itself writes it."""
        if not (self.source or self.destination):
            return f"allow {self.port}/{self.protocol}"
        origin = f"from {self.source}" if self.source else "from any"
        return f"allow {origin} to {self.destination or 'any'} port {self.port} proto {self.protocol}"

    @override
    def probe(self) -> str:
        return _PROBE

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found).get("status") != "active":
            return []
        # A comment that somebody gave the rule stands behind it.
        rules = [line.removeprefix("rule:").partition(" comment ")[0] for line in found.splitlines()]
        if self.rule in rules:
            return []
        return [Action(f"ufw {self.rule}", quote("ufw {}", self.rule.split()))]


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
            enable = quote("systemctl enable {}", self.unit)
            title = f"load them at each boot ({self.unit})"
            actions.append(Action(title, f"systemctl daemon-reload\n{enable}", enable))
        if state != "in force":
            # By hand, so that what nft says of a rule it refuses is seen here.
            script = quote('{} load\nnow=$({} state)\necho "$now"\n[ "$now" = "in force" ]', self.program, self.program)
            title = f"load the rules ({f'they are {state}' if state else 'they are not there'})"
            title += f": {self.notice}" if self.notice and not state else ""
            actions.append(Action(title, script, quote("{} load", self.program)))
        return actions
