"""Which nodes get no new servers, by `./hubrun node drain`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

FILE = Path("/var/lib/jupyterhub/nodes-drained.json")


def read(file: Path = FILE) -> frozenset[str]:
    """Their names. The folder is the hub's own, and root reads it too: what is no list of names says nothing."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as opened:
            found = json.loads(opened.read(1 << 20))
    except (OSError, ValueError, RecursionError):
        return frozenset()
    return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()


def write(names: Iterable[str], file: Path = FILE) -> None:
    """Put these in place of what is there, whole at every moment. Raises OSError."""
    # mkstemp(3) follows no link, whoever owns the folder.
    number, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with open(number, "w", encoding="utf-8") as opened:
        json.dump(sorted(names), opened)
        os.fchmod(opened.fileno(), 0o644)
    os.replace(fresh, file)
