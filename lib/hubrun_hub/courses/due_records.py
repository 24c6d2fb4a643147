"""What the server took of whom when it was due, or that there was nothing; root's, and nobody else's.

COURSE/due/USER      {"ASSIGNMENT/MOMENT": words}; the moment is when it was due, in ISO 8601 with an offset

It goes with the person, and with the course. What was autograded of it is kept in the same way (`autograding.records`).
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple


class Taken(NamedTuple):
    """What was taken of somebody because it was due at this moment."""

    assignment: str
    at: datetime

    @property
    def key(self) -> str:
        """How it is called in a record."""
        return f"{self.assignment}/{self.at.isoformat()}"


def read(record: Path) -> dict[str, Any]:
    """What a record says; {} where there is none. Raises OSError, ValueError."""
    try:
        return dict(json.loads(record.read_text()))
    except FileNotFoundError:
        return {}


def write(record: Path, said: dict[str, Any]) -> None:
    """Keep it; it is whole at every moment. Raises OSError."""
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = record.with_name(f".{record.name}.new")
    fresh.write_text(json.dumps(said, indent=1))
    fresh.rename(record)


def taken(record: Path) -> list[Taken]:
    """What was taken of the person whose record this is. Raises OSError, ValueError."""
    keys = [key.split("/") for key in read(record)]
    return [Taken(name, datetime.fromisoformat(at)) for name, at in keys]
