"""The assignments of a course and their points: asked of the service that reads gradebooks (`hubrun_hub.gradebooks`).

Of the answer counts what may be one: a gradebook is a container's to write.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SECONDS = 30
_LIMIT_BYTES = 16 << 20
_NAME_LENGTH = 128


class NoGradebook(Exception):
    """Why there is none, in words for who teaches the course."""


@dataclass(frozen=True)
class Submission:
    """points: of all cells together, after the penalty for lateness. manual: a person has yet to grade some of it."""

    points: float
    manual: bool


@dataclass(frozen=True)
class Assignment:
    """maximum: points; submissions: by hub user, of those that were graded."""

    name: str
    maximum: float
    submissions: Mapping[str, Submission] = field(default_factory=dict)


async def ask(path: str, course: str) -> dict[str, Assignment]:
    """The assignments of a course by name, from the service at the socket `path`. Raises NoGradebook."""
    if not path:
        raise NoGradebook("this site has no nbgrader")
    try:
        said = await asyncio.wait_for(_line(path, course), _SECONDS)
        found = json.loads(said)
    except (OSError, ValueError, RecursionError, asyncio.TimeoutError) as error:  # noqa: UP041 - Python 3.10
        raise NoGradebook(f"the gradebook cannot be read now: {error or 'no answer in time'}") from None
    if isinstance(found, dict) and isinstance(found.get("error"), str):
        raise NoGradebook(f"the gradebook cannot be read: {found['error']}")
    return assignments_of(found)


def assignments_of(said: Any) -> dict[str, Assignment]:
    """What is right in an answer. Whatever else stands in it does not count: the file is a container's."""
    said = said if isinstance(said, dict) else {}
    submissions: dict[str, dict[str, Submission]] = {}
    for row in _rows(said.get("submissions"), 4):
        name, user, points, manual = row
        if _is_name(name) and _is_name(user) and _is_points(points) and isinstance(manual, bool):
            submissions.setdefault(name, {})[user] = Submission(float(points), manual)
    return {
        name: Assignment(name, float(maximum), submissions.get(name, {}))
        for name, maximum in _rows(said.get("assignments"), 2)
        if _is_name(name) and _is_points(maximum)
    }


async def _line(path: str, course: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path, limit=_LIMIT_BYTES)
    try:
        writer.write(f"{course}\n".encode())
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()


def _rows(value: object, length: int) -> list[Any]:
    return [row for row in value if isinstance(row, list) and len(row) == length] if isinstance(value, list) else []


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _NAME_LENGTH and value.isprintable()


def _is_points(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value <= 1_000_000
    )
