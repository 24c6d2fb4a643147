"""What the timers keep of one look for the next, and for `status`: a JSON file each, root's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/hubrun")


def read(name: str) -> Any:
    """What is kept under this name; None where nothing is. Raises OSError, ValueError."""
    try:
        return json.loads((STATE / f"{name}.json").read_text())
    except FileNotFoundError:
        return None


def write(name: str, value: Any) -> None:
    """Keep it in the place of what was there, which stays whole until then. Raises OSError."""
    new = STATE / f".{name}.new"
    new.write_text(json.dumps(value))
    os.replace(new, STATE / f"{name}.json")


def forget(name: str) -> None:
    """Keep it no longer. Raises OSError."""
    (STATE / f"{name}.json").unlink(missing_ok=True)
