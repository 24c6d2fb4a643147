"""Which nodes get no new servers, by `./hubrun node drain`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .. import hub_file

FILE = Path("/var/lib/jupyterhub/nodes-drained.json")


def read(file: Path = FILE) -> frozenset[str]:
    """Their names. What is not a list of names says nothing."""
    found = hub_file.read(file)
    return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()


def write(names: Iterable[str], file: Path = FILE) -> None:
    """Put these in place of what is there, whole at every moment. Raises OSError."""
    # mkstemp(3) follows no link, whoever owns the folder.
    number, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with open(number, "w", encoding="utf-8") as opened:
        json.dump(sorted(names), opened)
        os.fchmod(opened.fileno(), 0o644)
    os.replace(fresh, file)
