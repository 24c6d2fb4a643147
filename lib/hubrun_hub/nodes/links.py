"""What a node's connection says of it, and whether there is one.

Whoever looks once (`./hubrun status`) goes by the clock. The hub looks all the time, and goes by what changes (`Links`): a
clock that is put forward must not end everybody's server.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from .nodes_file import LINKS

# A node says how it is every two seconds. One that said nothing for so long gets no new servers, and is lost after LOST_S.
ALIVE_S, LOST_S = 10.0, 30.0
_STATE = "state.json"

State = Literal["alive", "silent", "lost"]


class Link(NamedTuple):
    """at: when it was said, in seconds since 1970. memory_mb: what is left of total_mb. load: proc(5), loadavg, of one minute.
    homes: whether the disk with everybody's files answers there."""

    at: float
    memory_mb: int
    total_mb: int
    load: float
    cpus: int
    disk_free_mb: int
    homes: bool


def parsed(line: str, at: float) -> Link:
    """What a line of `node-link` says. Raises ValueError for one that is none."""
    try:
        found = json.loads(line)
        link = Link(
            at, int(found["memory_mb"]), int(found["total_mb"]), float(found["load"]), int(found["cpus"]),
            int(found["disk_free_mb"]), found["homes"] is True,
        )  # fmt: skip
    except (LookupError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not what a node says of itself: {error!r}") from error
    # NaN differs from itself: a node that said it once would never be silent (Links).
    if not math.isfinite(link.load):
        raise ValueError(f"not what a node says of itself: a load of {link.load}")
    return link


def write(name: str, link: Link, links: Path = LINKS) -> None:
    """Note it for everybody on the manager, whole at every moment. Raises OSError."""
    file = links / name / _STATE
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(link._asdict()))
    fresh.chmod(0o644)
    os.replace(fresh, file)


def read(name: str, links: Path = LINKS) -> Link | None:
    """What the node said last; None where it said nothing yet."""
    try:
        text = (links / name / _STATE).read_text()
        return parsed(text, float(json.loads(text)["at"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def is_alive(link: Link | None, now: float) -> bool:
    """Whether a node said something of late. now: in seconds since 1970."""
    return link is not None and abs(now - link.at) <= ALIVE_S


class _Heard(NamedTuple):
    link: Link | None
    # When it said something that it had not said before, by a clock that nobody puts forward; or when we looked first.
    since: float
    alive: bool


class Links:
    """The connections of all nodes, as the hub sees them since it started: who was silent then is given LOST_S from there."""

    def __init__(self, links: Path = LINKS, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.clock = links, clock
        self._heard: dict[str, _Heard] = {}

    def look(self, names: list[str]) -> None:
        """Read what these nodes say now; others are forgotten."""
        self._heard = {name: self._look(name, self._heard.get(name)) for name in names}

    def _look(self, name: str, before: _Heard | None) -> _Heard:
        link, now = read(name, self.folder), self.clock()
        if before is None:
            return _Heard(link, now, is_alive(link, time.time()))
        if link is not None and link != before.link:
            return _Heard(link, now, True)
        return before._replace(alive=before.alive and now - before.since <= ALIVE_S)

    def state(self, name: str) -> State:
        """A node that is not in the list (any more) is lost."""
        heard = self._heard.get(name)
        if heard is None or self.clock() - heard.since > LOST_S:
            return "lost"
        return "alive" if heard.alive and self.clock() - heard.since <= ALIVE_S else "silent"

    def said(self, name: str) -> Link | None:
        """What the node said last."""
        heard = self._heard.get(name)
        return heard.link if heard else None
