"""Files of JSON in the hub's own folder, which root reads too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read(path: Path) -> Any:
    """What is in it; None where it is not there, or says nothing. Neither a link nor a pipe leads anywhere."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
            return json.loads(file.read(1 << 20))
    except (OSError, ValueError, RecursionError):
        return None
