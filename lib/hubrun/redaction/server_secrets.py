"""The secrets that live on the server, known here by salted digests only: enough to notice one in an output."""

from __future__ import annotations

import os
import secrets

from hubrun.environment import ENGINE
from hubrun.redaction.redact import HERE
from hubrun.shell import quote

# The values are 256 random bits, so a salted digest gives nothing away. `read` and `printf` are the shell's own:
# nothing appears among the processes. A cookie secret is a file with nothing but the value.
_PROBE = """
salt={}
say() { printf '%s=%s\\n' "$1" "$(printf '%s%s' "$salt" "$2" | sha256sum | cut -d' ' -f1)"; }
for file in /etc/jupyterhub/*.env /etc/jupyterhub/consumers.d/*.env; do
    [ -f "$file" ] || continue
    while IFS='=' read -r name value; do
        case $name in *SECRET|*TOKEN|*PASSWORD|*ACCESS_KEY) say "$name" "$value";; esac
    done < "$file"
done
file=/var/lib/jupyterhub/cookie_secret
[ ! -s "$file" ] || { IFS= read -r value || :; say cookie_secret "$value"; } < "$file"
"""


class ServerSecrets:
    """Probes the digests, and lets them be redacted."""

    def __init__(self) -> None:
        # One for all runbooks of a run, so that each secret is known once.
        self._salt = os.environ.get(ENGINE) or secrets.token_hex(16)

    def probe(self) -> str:
        """Shell, read-only, run as root: a line NAME=digest for each secret."""
        return quote(_PROBE, self._salt)

    def learn(self, found: str) -> None:
        """Take in what the probe printed."""
        for line in found.splitlines():
            name, sign, digest = line.partition("=")
            if sign:
                HERE.learn_digest(name, self._salt, digest)
