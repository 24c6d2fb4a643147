"""The volume with the files of a user of the hub: `jupyterhub-user-` and their name, escaped as DockerSpawner does it.

The setting is c.DockerSpawner.volumes (40-docker.py); the escaping DockerSpawner 14's `_escape`: what is not a letter or
a digit of ASCII becomes "-" and two hexadecimal digits for each of its bytes.
"""

from __future__ import annotations

import re

PREFIX = "jupyterhub-user-"
_VOLUME = re.compile(rf"{PREFIX}((?:[a-z0-9]|-[0-9a-f]{{2}})+)")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def escaped(name: str) -> str:
    """The name of a user of the hub, as it is in those of volumes and, where nobody says otherwise, of containers."""
    return "".join(
        character if character in _LETTERS else "".join(f"-{byte:02x}" for byte in character.encode())
        for character in name
    )


def volume(user: str) -> str:
    """The name of the volume with the user's files."""
    return PREFIX + escaped(user)


def user_of(volume: str) -> str:
    """The user whose files are in the volume; "" for a volume that is nobody's."""
    found = _VOLUME.fullmatch(volume)
    raw = re.sub(rb"-([0-9a-f]{2})", lambda byte: bytes.fromhex(byte[1].decode()), found[1].encode() if found else b"")
    return raw.decode(errors="replace")
