"""On a site with nodes: where the next server starts. The choice is pure; `Engines` is what the hub knows of the manager and
of each node."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from ..nodes import drained, nodes_file
from ..nodes.links import Links, State
from ..nodes.nodes_file import MANAGER, Nodes
from .line import EACH_MB, SPARE_MB, Turn, at_once, available_mb

# Below it no container is made, as on the manager (lti/health.py).
_FULL_MB = 51


class Room(NamedTuple):
    """The manager, or a node. memory_mb: what is left; None: not known, and no reason to wait. gpus: None for any number. most:
    how many start there at once. ready: whether it gets new servers at all."""

    node: str
    memory_mb: int | None
    gpus: int | None
    most: int
    ready: bool


def place(turn: Turn, rooms: Iterable[Room], starting: Counter[str]) -> str:
    """The node where this one starts, by the most memory; "" for none, and then `turn.why` says why.

    starting: how many start now on each: what they will take is not taken yet.
    """
    fits = [room for room in rooms if room.ready and _has(room, turn)]
    turn.why = "" if fits else "away"
    left = {room.node: _left(room, starting) for room in fits}
    enough = [room for room in fits if left[room.node] >= EACH_MB + SPARE_MB]
    if fits and not enough:
        turn.why = "memory"
    free = [room.node for room in enough if starting[room.node] < room.most]
    # Where its person is at work already, both servers see the one home at the same moment. The manager comes last: the
    # hub runs there.
    return max(free, key=lambda node: (node == turn.prefers, left[node], node != MANAGER), default="")


def _has(room: Room, turn: Turn) -> bool:
    return turn.only in ("", room.node) and (room.gpus is None or room.gpus >= turn.gpus)


def _left(room: Room, starting: Counter[str]) -> float:
    return float("inf") if room.memory_mb is None else room.memory_mb - EACH_MB * starting[room.node]


class Engines:
    """What is read each time: `read` the list of nodes, `links` their connections, `drained` those that get no new servers,
    `memory` what the manager has left.

    unswept: nodes of which we do not know whose containers are there. They get no new servers before somebody looked. doubts: how
    often each came to be one, so that whoever looks sees whether they must look again.
    """

    def __init__(
        self,
        links: Links | None = None,
        read: Callable[[], Nodes] = nodes_file.read,
        read_drained: Callable[[], Collection[str]] = drained.read,
        memory: Callable[[], int | None] = available_mb,
        log: logging.Logger | None = None,
    ) -> None:
        self.links = links or Links()
        self._read, self._read_drained, self._memory = read, read_drained, memory
        self.log = log or logging.getLogger(__name__)
        self.nodes, self.drained = Nodes(), frozenset[str]()
        self.unswept: set[str] = set()
        self.doubts = Counter[str]()
        self._alive: set[str] = set()
        self._said = ""

    def look(self) -> None:
        """See how the nodes are now."""
        try:
            self.nodes, self._said = self._read(), ""
        except nodes_file.BadNodes as error:  # what was known goes on
            if str(error) != self._said:
                self.log.error("%s", error)
            self._said = str(error)
        self.drained = frozenset(self._read_drained())
        names = [node.name for node in self.nodes.nodes]
        self.links.look(names)
        alive = {name for name in names if self.links.state(name) == "alive"}
        for name in sorted(alive ^ self._alive):
            self.log.warning("node %s %s", name, "answers" if name in alive else "does not answer")
        for name in alive - self._alive:
            self.doubt(name)
        self.unswept &= set(names)
        self._alive = alive

    def state(self, node: str) -> State:
        """How the manager reaches it. Of one that is not in a list that cannot be read nobody says that it is lost."""
        if node == MANAGER:
            return "alive"
        return "silent" if self._said and not self.nodes.named(node) else self.links.state(node)

    def doubt(self, node: str) -> None:
        """Something went wrong there, and a container may be there that nobody knows of."""
        if node != MANAGER:
            self.unswept.add(node)
            self.doubts[node] += 1

    @property
    def alive(self) -> list[str]:
        """The manager, and the nodes that answer."""
        return [MANAGER, *(node.name for node in self.nodes.nodes if self.state(node.name) == "alive")]

    def rooms(self) -> list[Room]:
        """The manager and all nodes, as they are now."""
        self.look()
        found = [Room(MANAGER, self._memory(), self.nodes.gpus, at_once(), True)]
        for node in self.nodes.nodes:
            said = self.links.said(node.name)
            ready = (
                said is not None and said.homes and said.disk_free_mb >= _FULL_MB and self.state(node.name) == "alive"
                and node.name not in self.drained | self.unswept
            )  # fmt: skip
            left, cores = (said.memory_mb, said.cpus) if said else (0, 1)
            found.append(Room(node.name, left, node.gpus, at_once(cores), ready))
        return found

    def next(self, waiting: Sequence[Turn], starting: Iterable[Turn]) -> Turn | None:
        """The first for whom there is a place, with its node: one who waits for a GPU does not hold up who needs none."""
        rooms, now = self.rooms(), Counter(turn.node for turn in starting)
        for turn in waiting:
            if node := place(turn, rooms, now):
                turn.node = node
                return turn
        return None

    def is_ready(self, turn: Turn) -> bool:
        """Whether its server may (still) start on its node."""
        return any(room.node == turn.node and room.ready and _has(room, turn) for room in self.rooms())

    def move(self, turn: Turn, starting: Iterable[Turn]) -> bool:
        """Give one whose turn it is another node, as its own is not ready any more; whether there is one."""
        others = Counter(each.node for each in starting if each is not turn)
        node = place(turn, self.rooms(), others)
        turn.node = node or turn.node
        return bool(node)

    @property
    def problem(self) -> str:
        """What each has left, for whoever runs the hub."""
        return ", ".join(f"{room.node} {_said(room, self)}" for room in self.rooms())


def _said(room: Room, engines: Engines) -> str:
    if room.ready:
        return "has room" if room.memory_mb is None else f"has {room.memory_mb} MB left"
    if engines.state(room.node) != "alive":
        return "is away"
    if room.node in engines.drained:
        return "is drained"
    said = engines.links.said(room.node)
    if said and said.disk_free_mb < _FULL_MB:
        return "has a full disk"
    return "is being looked at" if said and said.homes else "has not the disk with everybody's files"
