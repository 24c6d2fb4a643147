"""What differs between two runs by its nature: times, durations, digests, and measurements in free text. Pure."""

from __future__ import annotations

import re
from typing import Any

# Server facts and glued values that differ from one look to the next without anybody's doing.
WOBBLES = {"memory_mb", "seconds", "duration", "started", "ended", "time", "date"}

_DIGEST = re.compile(r"\b[0-9a-f]{16,}\b")
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_UNIT = r"(?:ms|s|sec|seconds?|min|minutes?|h|hours?|days?|%|[kMGT]i?B|bytes)"
_FREE = re.compile(
    rf"""
      \d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?
    | \b{_MONTH}\s+\d{{1,2}}\s+(?:\d\d:\d\d(?::\d\d)?)?(?:\s*\d{{4}})?(?:\s+(?:GMT|UTC))?
    | \b\d\d:\d\d(?::\d\d)?(?:\.\d+)?\b
    | \b\d+(?:\.\d+)?\s?{_UNIT}(?!\w)
    | \b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{{6,}}\b  # a part of a digest: both digits and letters
    | \b(?:pid|process)\s\d+
    | /tmp/\S+
    """,
    re.VERBOSE,
)


def quiet(text: str) -> str:
    """Free text without times, durations, amounts, digests and numbers of processes, to compare what is left."""
    return " ".join(_FREE.sub("#", text).split())


def digestless(text: str) -> str:
    """An action or a diff without digests and random names; amounts stay, as they come from parameters."""
    return _DIGEST.sub("#", text)


def quiet_value(value: Any) -> Any:
    """Plain data without what wobbles, whatever its depth."""
    if isinstance(value, dict):
        return {name: quiet_value(each) for name, each in value.items() if name not in WOBBLES}
    if isinstance(value, list):
        return [quiet_value(each) for each in value]
    return quiet(value) if isinstance(value, str) else value
