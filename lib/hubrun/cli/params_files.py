"""The params files of the sites that are run from this checkout."""

from __future__ import annotations

import os
from pathlib import Path

from hubrun.environment import PROJECT

FOLDER = PROJECT / "params"
PRACTICE = PROJECT / ".practice"
# They come with the project, and are nobody's site.
_OURS = ("example.yaml", "practice.yaml")


def own() -> list[Path]:
    """The params files besides those that come with the project, by name."""
    return sorted(path for path in FOLDER.glob("*.yaml") if path.name not in _OURS)


def practice() -> list[Path]:
    """Those of the practice servers that are there."""
    return sorted(PRACTICE.glob("*/site.yaml"))


def shown(path: Path) -> str:
    """A path as it is typed from the current folder."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
