"""The key of a WireGuard interface, made on the server."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# The public half may be read by anybody; the other one is read by wg alone, from its file.
_PROBE = """
path={}
[ -s "$path" ] || exit 0
echo "mode=$(stat -c '%a %U' "$path")"
command -v wg > /dev/null && echo "public=$(wg pubkey < "$path")"
"""
_MAKE = """
path={}
install -d -m 0700 "$(dirname "$path")"
umask 077
wg genkey > "$path.new"
mv -fT "$path.new" "$path"
"""


@dataclass(frozen=True)
class WireGuardKey(Resource):
    """A private key at `path`, which never leaves the server: readable for root alone (wg(8), genkey)."""

    path: str

    label_format = "WireGuard key {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if "mode" not in now or now.get("public") == "":
            return [Action(f"make {self.path}", quote(_MAKE, self.path), quote("wg genkey > {}", self.path))]
        if now["mode"] != "600 root":
            script = quote("chown root:root {}\nchmod 600 {}", self.path, self.path)
            return [Action(f"close {self.path} to others (it was {now['mode']})", script)]
        return []


def public_key(found: str) -> str:
    """The public half, out of what the resource's probe printed; "" where there is none yet."""
    return facts(found).get("public", "")
