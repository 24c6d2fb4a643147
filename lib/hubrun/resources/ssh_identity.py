"""The key with which a server logs in to another one, and the other's host key."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

_PROBE = """
folder={}
[ -s "$folder/id" ] && [ -s "$folder/id.pub" ] && echo key=yes
ssh-keygen -lf "$folder/known_hosts" 2> /dev/null | awk '{print "host=" $2 " " $3}'
"""
_MAKE = """
folder={} comment={}
install -d -m 0700 "$folder"
rm -f "$folder/id" "$folder/id.pub"
ssh-keygen -q -t ed25519 -N '' -C "$comment" -f "$folder/id"
"""
# ssh-keyscan(1) asks for every kind of key; the one with the fingerprint is believed, and no other.
_TRUST = """
folder={} host={} port={} wanted={}
shown=$(ssh-keyscan -T 20 -p "$port" "$host" 2> /dev/null) || true
[ -n "$shown" ] || { echo "error: $host shows no host key at port $port: is it up, and may this server connect to it?"; exit 1; }
believed=$(printf '%s\\n' "$shown" | while IFS= read -r line; do
    [ "$(printf '%s\\n' "$line" | ssh-keygen -lf - | cut -d' ' -f2)" != "$wanted" ] || printf '%s\\n' "$line"
done)
[ -n "$believed" ] || {
    echo "error: the host key of $host is none with $wanted, but" $(printf '%s\\n' "$shown" | ssh-keygen -lf - | cut -d' ' -f2)
    exit 1
}
install -d -m 0700 "$folder"
# Those of other servers stay: there the backups go until this one is known to take them.
{
    printf '%s\\n' "$believed"
    [ ! -e "$folder/known_hosts" ] || grep -vF -e "${believed%% *} " "$folder/known_hosts" || true
} > "$folder/known_hosts.new"
mv -fT "$folder/known_hosts.new" "$folder/known_hosts"
"""


@dataclass(frozen=True)
class SshKey(Resource):
    """A key (ed25519) that is made on the server and stays there: `path`, readable for root alone, and `path`.pub.

    Its folder exists.
    """

    path: str
    comment: str

    label_format = "SSH key {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote("[ -s {} ] && [ -s {} ] && echo there=yes", self.path, f"{self.path}.pub")

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found):
            return []
        script = quote(
            "path={} comment={}\nrm -f \"$path\" \"$path.pub\"\nssh-keygen -q -t ed25519 -N '' -C \"$comment\" -f \"$path\"",
            self.path, self.comment,
        )  # fmt: skip
        return [Action(f"make {self.path}", script)]


@dataclass(frozen=True)
class SshIdentity(Resource):
    """A folder of root's alone with a key of the server's own, `id`, and `known_hosts` with the host's key.

    That is the key with the fingerprint (SHA256:…); where the host shows another one, nothing is believed.
    """

    folder: str
    host: str
    port: int
    fingerprint: str
    comment: str

    label_format = "SSH key in {folder}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.folder)

    @override
    def plan(self, found: str) -> list[Action]:
        actions = []
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        if f"host={self.fingerprint} {name}" not in found.splitlines():
            script = quote(_TRUST, self.folder, self.host, self.port, self.fingerprint)
            actions.append(
                Action(
                    f"take down the host key of {self.host}",
                    script,
                    quote("ssh-keyscan -p {} {}", self.port, self.host),
                )
            )
        if "key" not in facts(found):
            actions.append(Action(f"make {self.folder}/id", quote(_MAKE, self.folder, self.comment)))
        return actions
