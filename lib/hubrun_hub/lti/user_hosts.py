"""At which address a person's server is, where each has one of their own (`subdomains`): another origin for each.

A name that is a label of a host name as it stands keeps it: `ada` is at `ada.hub.example.edu`. Every other one
(`o.brien`, `bio__ada`, one with a digest, one of digits alone) gets a made label: `u-`, what can be read of it, `--`,
and 26 characters (130 bits) of its SHA-256. JupyterHub's own rule (`subdomain_hook = "idna"`) keeps 28 bits of it, so that
two of some thousand people of a prefix could meet at one address, and each could read the other's cookies.

No label is another's: a name that stands as it is has no `--`, and a made one has. `u-` keeps `--` off the third and
fourth place, which are for internationalised names (RFC 5891, 4.2.3.1).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode

_LABEL = re.compile(r"(?=.{1,63}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_DIGEST_LENGTH = 26
_NAMES_DIGEST = re.compile(r"--[a-z2-7]{26}$")  # of a made name (names.py)
_READABLE_LENGTH = 24


def label(name: str) -> str:
    """Return the label of the hub's user or service `name`: a-z, 0-9 and `-`, 63 at most (RFC 1123, 2.1)."""
    if _LABEL.fullmatch(name):
        return name
    digest = b32encode(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()).decode()[:_DIGEST_LENGTH].lower()
    words = re.findall("[a-z0-9]+", _NAMES_DIGEST.sub("", name.lower()))
    readable = "-".join(words)[:_READABLE_LENGTH].strip("-")
    return f"u-{readable or 'x'}--{digest}"


def host(name: str, domain: str, kind: str = "user") -> str:
    """Return the host of a user's server below `domain`, as JupyterHub asks for it (`JupyterHub.subdomain_hook`).

    A service (`kind`) gets a label that no user has.
    """
    return f"{label(name) if kind == 'user' else label(f'{name}--{kind}')}.{domain}"
