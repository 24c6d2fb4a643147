"""A folder of the server that is seen at another place, too."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

_UNIT = """
source={} target={} who={}
unit=/etc/systemd/system/$(systemd-escape --path --suffix=mount "$target")
wanted() {
    printf '%s\\n' "# Written by hubrun (runbook $who): changes here are put back." '[Unit]' "Description=$source" \\
        "RequiresMountsFor=$source" '[Mount]' "What=$source" "Where=$target" Type=none Options=bind '[Install]' WantedBy=multi-user.target
}
"""
_PROBE = """
[ -f "$unit" ] && [ "$(wanted)" = "$(cat "$unit")" ] && systemctl is-enabled -q "$(basename "$unit")" 2> /dev/null && echo unit=yes
mountpoint -q "$target" && [ "$source" -ef "$target" ] && echo bound=yes
true
"""
# lazily: who has a file there open keeps it.
_BIND = """
[ -d "$source" ] || { echo "there is no folder $source"; exit 1; }
while mountpoint -q "$target"; do umount -l "$target"; done
install -d -m 0755 "$target"
wanted > "$unit.new"
mv -fT "$unit.new" "$unit"
systemctl daemon-reload
systemctl enable "$(basename "$unit")"
systemctl restart "$(basename "$unit")"
[ "$source" -ef "$target" ]
"""


@dataclass(frozen=True)
class BoundFolder(Resource):
    """`source` mounted at `target`, now and at each boot (mount(8), --bind). Another folder that came into the place of
    `source` meanwhile is the one that counts. runbook: whose it is.
    """

    source: str
    target: str
    runbook: str

    label_format = "{source} at {target}"
    event = "bound:{target}"

    @override
    def probe(self) -> str:
        return self._unit() + _PROBE

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if "unit" in now and "bound" in now:
            return []
        return [
            Action(
                f"mount {self.source} at {self.target}",
                self._unit() + _BIND,
                quote("mount --bind {} {}", self.source, self.target),
            )
        ]

    def _unit(self) -> str:
        return quote(_UNIT, self.source, self.target, self.runbook)
