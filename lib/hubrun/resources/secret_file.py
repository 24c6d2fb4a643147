"""Secrets that are made on the server and stay there."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# Only the names are printed, never a value. `printf` is the shell's own: nothing appears among the processes.
_PROBE = """
path={}
if [ -f "$path" ]; then
    stat -c 'state=%a|%U:%G' "$path"
    echo "names=$(sed -n 's/^\\([A-Z_][A-Z0-9_]*\\)=..*/\\1/p' "$path" | tr '\\n' ' ')"
    for line in {}; do grep -qxF -e "$line" "$path" || echo "lines=missing"; done
fi
"""
_MAKE = """
path={}
umask 077
candidate=$(mktemp "$(dirname "$path")/.hubrun.XXXXXX")
trap 'rm -f "$candidate"' EXIT
if [ -f "$path" ]; then cat "$path" > "$candidate"; fi
for line in {}; do
    sed -i "/^${line%%=*}=/d" "$candidate"
    [ -z "$(tail -c1 "$candidate")" ] || echo >> "$candidate"
    printf '%s\\n' "$line" >> "$candidate"
done
[ -z "$(tail -c1 "$candidate")" ] || echo >> "$candidate"
for name in {}; do
    value=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
    [ ${#value} -eq 64 ] || exit 1
    printf '%s=%s\\n' "$name" "$value" >> "$candidate"
done
chown {} "$candidate"
chmod 0600 "$candidate"
mv -fT "$candidate" "$path"
"""


@dataclass(frozen=True)
class SecretFile(Resource):
    """A file of NAME=value lines (mode 0600), each value 256 random bits in hex, made on the server.

    Values that are there are kept, so that a second run changes none. lines: others that are not secret, NAME=value.
    """

    path: str
    names: tuple[str, ...]
    owner: str
    lines: tuple[str, ...] = ()

    label_format = "secrets {path}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.path, self.lines)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        missing = [name for name in self.names if name not in now.get("names", "").split()]
        if missing:
            script = quote(_MAKE, self.path, self.lines, missing, self.owner)
            return [Action(f"make {', '.join(missing)} in {self.path}", script, "openssl rand -hex 32   # for each")]
        if "lines" in now:
            script = quote(_MAKE, self.path, self.lines, (), self.owner)
            return [Action(f"put {', '.join(self.lines)} into {self.path}", script)]
        if now["state"] != f"600|{self.owner}":
            script = quote("chown {} {}\nchmod 0600 {}", self.owner, self.path, self.path)
            return [Action(f"close {self.path} to others (now {now['state']})", script)]
        return []
