"""The part of a spawner that starts servers on nodes, too, and says where each is.

JupyterHub keeps the node with the server (`get_state`); the page never names one. All servers of a person have the same home,
wherever they run.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc"
from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any, ClassVar

from ..nodes.nodes_file import MANAGER, MANAGER_ALONE, filter_socket
from ..not_started import NotStarted
from . import spawner as starting
from .engines import Engines
from .line import Late, Turn
from .sweep import Sweep, end

# Everybody's, in the one process of the hub.
ENGINES = Engines()

GONE = "its node is gone"
# Calls that wait for one node's Docker; those of others have threads of their own.
_THREADS = 16
_ASK_S = 20
# The same for a node that gets no new servers, as its Docker did not answer: what it has is ended before it gets any (sweep.py).
_DOUBTED_S = 2
_PORT = 8081


class NodeAway(Exception):
    """A node does not answer; starting.passing knows these words."""

    def __init__(self, node: str, more: str = "") -> None:
        super().__init__(f"node {node} is away{more}")


class NodeLies(Exception):
    """A node says what cannot be."""


class OnNodes:
    """Comes before `Starting` among the base classes."""

    node = MANAGER
    _state: dict[str, Any] = {}
    _clients: ClassVar[dict[str, Any]] = {}
    _threads: ClassVar[dict[str, ThreadPoolExecutor]] = {}
    _sweep: ClassVar[Sweep | None] = None
    _sweeper: ClassVar[asyncio.Task[None] | None] = None

    # -- which node

    def load_state(self: Any, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.node = state.get("node", MANAGER)

    def get_state(self: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().get_state()
        return found if self.node == MANAGER else {**found, "node": self.node}

    def clear_state(self: Any) -> None:
        super().clear_state()
        self.node = MANAGER

    def _new_turn(self: Any) -> Turn:
        others = (each.node for each in self.user.spawners.values() if each is not self and each.active)
        limits = self._limits
        return Turn(limits.gpus if limits else 0, self.only_node, next(others, ""))

    async def run_pre_spawn_hook(self: Any) -> None:
        starting.LINE.engines, ENGINES.log = ENGINES, self.log
        self._look_after_nodes()
        if OnNodes._sweep:  # the first after the hub's start: no node is ready yet
            with suppress(Late):
                await asyncio.wait_for(OnNodes._sweep.looked.wait(), _ASK_S)
        await super().run_pre_spawn_hook()

    async def _start_once(self: Any) -> Any:
        await self._settle()
        try:
            return await super()._start_once()
        except Exception as error:
            if MANAGER_ALONE not in str(getattr(error, "explanation", "") or error):
                raise
            self.log.warning("%s starts on the manager: %s", self._log_name, error)
            self._turn = self._turn or Turn()
            self._turn.only, self._turn.node = MANAGER, MANAGER
            await self._settle()
            return await super()._start_once()

    async def _settle(self: Any) -> None:
        """Choose the node for good, and see that no other has a container of this server: two would be at work in one home.

        Raises NodeAway where the one that was chosen is away by now, and no other has room.
        """
        turn = self._turn or self._new_turn()
        turn.only = turn.only or self.only_node  # an exam may have begun since
        there = await self._where()
        if stay := next((node for node in there if ENGINES.is_ready(_at(turn, node))), ""):
            turn.node = stay
        if not ENGINES.is_ready(turn) and not ENGINES.move(turn, starting.LINE.starting):
            raise NodeAway(turn.node, ", and no other has room")
        for other in there:
            if other != turn.node:
                self.log.warning("%s: a container of before is on node %s, and is ended", self._log_name, other)
                await end(self.ask, other, self.object_name, self.remove)
        if self.node != turn.node or turn.node != MANAGER:
            self.log.info("%s starts on node %s", self._log_name, turn.node)
        self.node = turn.node

    async def _where(self: Any) -> list[str]:
        """The nodes that have a container of this server, running or not. Raises what asking the manager's Docker raises."""
        alive = ENGINES.alive
        asked = (
            asyncio.wait_for(
                self.ask(each, "inspect_container", self.object_name),
                _DOUBTED_S if each in ENGINES.unswept else _ASK_S,
            )
            for each in alive
        )
        found = []
        for node, said in zip(alive, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if not isinstance(said, BaseException):
                found.append(node)
            elif getattr(said, "status_code", None) == 404:
                continue
            elif node == MANAGER:
                raise said
            else:
                ENGINES.doubt(node)
        return found

    # -- its Docker

    async def ask(self: Any, node: str, method: str, *args: Any, **how: Any) -> Any:
        """Ask the Docker of a node. Raises NodeAway, and what docker-py raises."""
        if ENGINES.state(node) != "alive":
            raise NodeAway(node)
        try:
            threads = self._threads_of(node)
            return await asyncio.wrap_future(
                threads.submit(lambda: getattr(self._client_of(node), method)(*args, **how))
            )
        except BaseException as error:
            # Also where nobody waits for the answer any more: what was asked may be done all the same.
            status = getattr(error, "status_code", None)
            if status is None or status >= 500:
                ENGINES.doubt(node)
            raise

    def docker(self: Any, method: str, *args: Any, **how: Any) -> Any:
        return asyncio.ensure_future(self.ask(self.node, method, *args, **how))

    def _threads_of(self: Any, node: str) -> ThreadPoolExecutor:
        if node == MANAGER:
            found: ThreadPoolExecutor = self.executor
            return found
        if node not in OnNodes._threads:
            OnNodes._threads[node] = ThreadPoolExecutor(_THREADS)
        return OnNodes._threads[node]

    def _client_of(self: Any, node: str) -> Any:
        if node == MANAGER:
            return super().client
        if node not in OnNodes._clients:
            import docker

            asked = {"version": "auto", **self.client_kwargs, "base_url": f"unix://{filter_socket(node)}"}
            OnNodes._clients[node] = docker.APIClient(**asked)
        return OnNodes._clients[node]

    @property
    def client(self: Any) -> Any:
        return self._client_of(self.node)

    # -- how it is

    async def get_ip_and_port(self: Any) -> tuple[str, int]:
        """Where its container is. Raises NodeLies for a node that says an address that is not of its students' network: what is
        sent to this person would go there, and whose server that is would be ended (_end_who_was_here)."""
        address, port = await super().get_ip_and_port()
        node = ENGINES.nodes.named(self.node)
        if node and not _is_in(address, node.subnet):
            raise NodeLies(
                f"node {node.name} says that {self._log_name} has the address {str(address)[:40]!r}: not of {node.subnet}"
            )
        return address, port

    async def get_object(self: Any) -> Any:
        if ENGINES.state(self.node) != "lost":
            return await super().get_object()
        # Nothing is known of it any more: that of a node that comes back is ended there (sweep.py).
        self._state = {}
        self.object_id = ""
        return None

    async def poll(self: Any) -> Any:
        self._look_after_nodes()
        status = await super().poll()
        return GONE if status is not None and ENGINES.state(self.node) == "lost" else status

    async def _tell_why(self: Any, status: Any) -> None:
        if status == GONE:
            self.log.error("%s does not start: %s", self._log_name, GONE)
            raise NotStarted(
                "The machine on which your server started does not answer any more. Your files are safe. Start it again."
            )
        await super()._tell_why(status)

    def get_env(self: Any) -> dict[str, str]:
        configured = self.hub_connect_url
        if self.node != MANAGER:
            self.hub_connect_url = f"http://{ENGINES.nodes.address}:{_PORT}"
        try:
            found: dict[str, str] = super().get_env()
            return found
        finally:
            self.hub_connect_url = configured

    def _why_it_waits(self: Any) -> str:
        turn = self._turn
        if turn is not None and turn.why == "away":
            return " No machine that it can start on answers just now."
        if turn is not None and turn.why == "memory" and turn.only:
            return " A server in an exam starts on one machine of this hub alone, and its memory is in use: somebody else's server has to stop."
        if turn is not None and turn.why == "memory":
            return " The memory of all machines is in use, so somebody else's server has to stop before yours starts."
        said: str = "" if starting.LINE.short else super()._why_it_waits()
        return said

    def _look_after_nodes(self: Any) -> None:
        if OnNodes._sweeper is not None and not OnNodes._sweeper.done():
            return
        ENGINES.look()  # before anything is said of a node
        users = self.user.settings["users"]

        def spawners() -> list[Any]:
            return [each for user in list(users.values()) for each in list(user.spawners.values())]

        OnNodes._sweep = Sweep(ENGINES, starting.LINE, spawners, self.ask, self.log, self.remove)
        OnNodes._sweeper = asyncio.ensure_future(OnNodes._sweep.run())


def _is_in(address: Any, network: str) -> bool:
    try:
        return IPv4Address(address) in IPv4Network(network)
    except ValueError:
        return False


def _at(turn: Turn, node: str) -> Turn:
    """A turn with the same needs, at this node."""
    found = Turn(turn.gpus, turn.only)
    found.node = node
    return found
