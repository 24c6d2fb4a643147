"""A file of secrets that the operator gave."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.redaction.secret import Secret
from hubrun.shell import quote

# Compared by a digest with a salt that is new each time: nothing of it leaves the server.
_PROBE = """
path={}
[ -e "$path" ] || exit 0
salt=$(head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
echo "salt=$salt"
echo "digest=$({ printf %s "$salt"; cat "$path"; } | sha256sum | cut -d' ' -f1)"
stat -c 'state=%a|%U:%G' "$path"
"""
_PUT = """
path={}
umask 077
base64 -d > "$path.new"
chown {} "$path.new"
mv -fT "$path.new" "$path"
"""


@dataclass(frozen=True)
class GivenSecret(Resource):
    """A file with this text, which only its owner ("user:group") may read; None: no such file.

    The text appears in no plan, diff or log.
    """

    path: str
    text: Secret | None
    owner: str = "root:root"

    label_format = "secret {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if self.text is None:
            return [Action(f"remove {self.path}", quote("rm -f {}", self.path))] if now else []
        text = self.text.reveal()
        if now.get("digest") != hashlib.sha256((now.get("salt", "") + text).encode()).hexdigest():
            title = f"{'replace' if now else 'write'} {self.path}"
            data = base64.b64encode(text.encode())
            return [Action(title, quote(_PUT, self.path, self.owner), f"editor {self.path}   # 600", data)]
        if now["state"] != f"600|{self.owner}":
            script = quote("chown {} {}\nchmod 0600 {}", self.owner, self.path, self.path)
            return [Action(f"close {self.path} to others (now {now['state']})", script)]
        return []
