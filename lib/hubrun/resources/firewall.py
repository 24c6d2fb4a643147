"""Rules of ufw, the firewall that Debian and Ubuntu servers have where they have one."""

from __future__ import annotations

from dataclasses import dataclass

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
    """TCP connections to `port` are let in, where ufw is active; where it is not there or off, nothing is done.

    source, destination: a network or address each ("" is any), such as 172.29.0.0/16 and 172.29.0.1.
    """

    port: int
    source: str = ""
    destination: str = ""

    @property
    @override
    def label(self) -> str:
        return f"firewall lets in TCP port {self.port}" + (f" from {self.source}" if self.source else "")

    @property
    def rule(self) -> str:
        """The rule as ufw itself writes it."""
        if not (self.source or self.destination):
            return f"allow {self.port}/tcp"
        origin = f"from {self.source}" if self.source else "from any"
        return f"allow {origin} to {self.destination or 'any'} port {self.port} proto tcp"

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
