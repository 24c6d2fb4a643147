"""Secrets on the server: made there, where they stay, or given to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.redaction.secret import Secret
from hubrun.shell import quote

# Text without control characters: what is left of a file by a crash or a full disk is often neither.
_IS_TEXT = """
is_text() {
    [ -f "$1" ] && iconv -f UTF-8 -t UTF-8 "$1" > /dev/null 2>&1 &&
        [ "$(LC_ALL=C tr -d '\\11\\12\\15\\40-\\176\\200-\\377' < "$1" | wc -c)" = 0 ]
}
"""
# Only the names are printed, never a value. `printf` is the shell's own: nothing appears among the processes. A value
# counts when its quotes, if it has any, are closed.
_PROBE = f"""{_IS_TEXT}
path={{}}
if [ -e "$path" ] && ! is_text "$path"; then
    echo damaged=yes
elif [ -f "$path" ]; then
    stat -c 'state=%a|%U:%G' "$path"
    echo "names=$(sed -En "s/^([A-Z_][A-Z0-9_]*)=(\\"[^\\"]+\\"|'[^']+'|[^\\"' ].*)\\$/\\1/p" "$path" | tr '\\n' ' ')"
    for line in {{}}; do grep -qxF -e "$line" "$path" || echo "lines=missing"; done
fi
"""
_MAKE = f"""{_IS_TEXT}
path={{}}
umask 077
candidate=$(mktemp "$(dirname "$path")/.hubrun.XXXXXX")
trap 'rm -f "$candidate"' EXIT
if is_text "$path"; then cat "$path" > "$candidate"
elif [ -e "$path" ]; then
    aside=$(dirname "$path")/.$(basename "$path").damaged
    rm -rf "$aside"
    mv -T "$path" "$aside"
    chmod -R go= "$aside"
fi
for line in {{}}; do
    sed -i "/^${{line%%=*}}=/d" "$candidate"
    [ -z "$(tail -c1 "$candidate")" ] || echo >> "$candidate"
    printf '%s\\n' "$line" >> "$candidate"
done
[ -z "$(tail -c1 "$candidate")" ] || echo >> "$candidate"
for name in {{}}; do
    value=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
    [ ${{#value}} -eq 64 ] || exit 1
    sed -i "/^$name=/d" "$candidate"
    printf '%s=%s\\n' "$name" "$value" >> "$candidate"
done
chown {{}} "$candidate"
chmod 0600 "$candidate"
mv -fT "$candidate" "$path"
"""


def _close(path: str, owner: str, state: str) -> Action:
    """Let nobody but the owner read it; state: mode and owner that it has."""
    script = quote("chown {} {}\nchmod 0600 {}", owner, path, path)
    return Action(f"close {path} to others (now {state})", script)


@dataclass(frozen=True)
class SecretFile(Resource):
    """A file of NAME=value lines (mode 0600), each value 256 random bits in hex, made on the server.

    Values that are there are kept, so that a second run changes none. lines: others that are not secret, NAME=value.
    notice: what follows for people when a value is made; the plan says it. A file that is damaged is put aside, as
    .NAME.damaged beside it.
    """

    path: str
    names: tuple[str, ...]
    owner: str
    lines: tuple[str, ...] = ()
    notice: str = ""

    label_format = "secrets {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.path, self.lines)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        missing = [name for name in self.names if name not in now.get("names", "").split()]
        if missing:
            script = quote(_MAKE, self.path, self.lines, missing, self.owner)
            title = f"make {', '.join(missing)} in {self.path}"
            title += " (it is damaged, and put aside)" if "damaged" in now else ""
            title += f": {self.notice}" if self.notice else ""
            return [Action(title, script, "openssl rand -hex 32   # for each")]
        if "lines" in now:
            script = quote(_MAKE, self.path, self.lines, (), self.owner)
            return [Action(f"put {', '.join(self.lines)} into {self.path}", script)]
        if now["state"] != f"600|{self.owner}":
            return [_close(self.path, self.owner, now["state"])]
        return []


# Compared by a digest with a salt that is new each time: what is printed says nothing of the secret.
_COMPARE = """
path={}
[ -f "$path" ] || exit 0
salt=$(head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
echo "salt=$salt"
echo "digest=$({ printf %s "$salt"; cat "$path"; } | sha256sum | cut -d' ' -f1)"
stat -c 'state=%a|%U:%G' "$path"
"""
_GIVE = """
path={}
umask 077
cat > "$path.new"
mv -fT "$path.new" "$path"
"""


@dataclass(frozen=True)
class GivenSecret(Resource):
    """A file of root's alone with a secret that the operator gave; None: no such file."""

    path: str
    content: Secret | None

    label_format = "secrets {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote(_COMPARE, self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if self.content is None:
            return [Action(f"remove {self.path}", quote("rm -f {}", self.path))] if now else []
        content = self.content.reveal().encode()
        if now.get("digest") != hashlib.sha256(now.get("salt", "").encode() + content).hexdigest():
            title = f"{'replace' if now else 'write'} {self.path}, with what you gave"
            script = quote(_GIVE, self.path)
            return [Action(title, script, f"editor {self.path}   # 600 root:root", content)]
        return [] if now["state"] == "600|root:root" else [_close(self.path, "root:root", now["state"])]


@dataclass(frozen=True)
class CookieSecret(Resource):
    """The file of the secret with which the hub signs logins: 256 random bits in hex, made on the server.

    One that is there is kept, if the hub can read it: in hex, or in base64 as old hubs wrote it, and open to nobody else
    (jupyterhub/app.py, init_secrets: else it refuses to start).
    """

    path: str
    owner: str

    label_format = "secret {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote(
            """path={}
            [ -e "$path" ] || exit 0
            tr -d '[:space:]' < "$path" | grep -Eqx '[0-9A-Za-z+/=]{32,}' || { echo state=damaged; exit 0; }
            stat -c 'state=%a|%U:%G' "$path" """,
            self.path,
        )

    @override
    def plan(self, found: str) -> list[Action]:
        state = facts(found).get("state", "")
        if state == f"600|{self.owner}":
            return []
        if "|" in state:
            return [_close(self.path, self.owner, state)]
        make = quote(
            """path={}
            umask 077
            head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' > "$path.new"
            [ "$(wc -c < "$path.new")" = 64 ] && echo >> "$path.new"
            chown {} "$path.new"
            mv -fT "$path.new" "$path" """,
            self.path, self.owner,
        )  # fmt: skip
        title = f"make {self.path}" + (f" (it is {state})" if state else "")
        return [Action(f"{title}: whoever is logged in comes in by a launch once more", make, "openssl rand -hex 32")]
