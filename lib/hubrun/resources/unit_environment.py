"""Variables in the environment of systemd's units, in a drop-in of ours beside each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import one_line, quote


@dataclass(frozen=True)
class UnitEnvironment(Resource):
    """These variables in the environment of each of the units ("docker.service"); without variables, no drop-in.

    why: what they are for, in a word that is part of the file's name. Who runs already must be restarted to have them.
    """

    why: str
    units: tuple[str, ...]
    values: Mapping[str, str]

    @property
    @override
    def label(self) -> str:
        return f"{self.why} of {', '.join(self.units)}"

    @property
    @override
    def writes(self) -> tuple[str, ...]:
        return self.paths

    @property
    def paths(self) -> tuple[str, ...]:
        """The drop-ins: systemd.unit(5)."""
        return tuple(f"/etc/systemd/system/{unit}.d/hubrun-{self.why}.conf" for unit in self.units)

    @property
    def text(self) -> str:
        """What they say. A % would be a specifier (systemd.unit(5)), a quote would end the value (systemd.exec(5))."""
        lines = (f'Environment="{name}={value}"'.replace("%", "%%") for name, value in self.values.items())
        return "".join(
            ["# Written by hubrun: changes here are put back.\n[Service]\n", *(f"{one_line(line)}\n" for line in lines)]
        )

    @override
    def probe(self) -> str:
        return quote(
            """for path in {}; do [ ! -e "$path" ] || echo "$path=$(sha256sum < "$path" | cut -d' ' -f1)"; done""",
            self.paths,
        )

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        wanted = hashlib.sha256(self.text.encode()).hexdigest() if self.values else None
        differ = [path for path in self.paths if now.get(path) != wanted]
        if not differ:
            return []
        if self.values:
            script = quote(
                'text=$(cat; echo .)\nfor path in {}; do mkdir -p "${path%/*}"; printf %s "${text%.}" > "$path"; done\n',
                differ,
            )
        else:
            script = quote(
                'for path in {}; do rm -f "$path"; rmdir --ignore-fail-on-non-empty "${path%/*}"; done\n', differ
            )
        title = f"{'write' if self.values else 'remove'} {', '.join(differ)}"
        return [Action(title, f"{script}systemctl daemon-reload", data=self.text.encode())]
