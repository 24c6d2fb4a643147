"""Looks after nodes while the hub runs: servers on one that is lost are over, and what is left on one that is back is ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from .engines import Engines
from .line import Line

LABEL = "hubrun.student"
_LOOK_S = 1.0
# A node whose Docker hangs keeps the others waiting so long, and no longer.
_WAIT_S = 2.0
# Node, method of docker-py's APIClient, and what it gets → what it returns.
Ask = Callable[..., Awaitable[Any]]


async def end(ask: Ask, node: str, name: str, remove: bool) -> None:
    """Stop a container, and remove it; one that is gone by now, or is being removed, is well."""
    for method, how in [("stop", {}), *([("remove_container", {"v": True})] if remove else [])]:
        try:
            await ask(node, method, name, **how)
        except Exception as error:  # docker.errors.APIError, which is in the hub's Python alone
            if getattr(error, "status_code", None) not in (404, 409):
                raise


class Sweep:
    """spawners: all that the hub has just now. ask: a node's Docker. remove: whether containers go when they are stopped."""

    def __init__(
        self,
        engines: Engines,
        line: Line,
        spawners: Callable[[], Iterable[Any]],
        ask: Ask,
        log: logging.Logger,
        remove: bool = True,
    ) -> None:
        self.engines, self.line, self.spawners, self.ask = engines, line, spawners, ask
        self.log, self.remove = log, remove
        self._lost: set[str] = set()
        self._sweeps: dict[str, asyncio.Task[None]] = {}
        # Set once somebody looked.
        self.looked = asyncio.Event()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                await self.look()
            except Exception:  # of this look: the next one comes
                self.log.exception("nodes are not looked after")
            self.looked.set()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Look once."""
        self.engines.look()
        lost = {each.node for each in self.spawners() if self.engines.state(each.node) == "lost"}
        for node in lost - self._lost:
            await self._end_servers(node)
        self._lost = lost
        for node in self.engines.unswept & set(self.engines.alive) - self._sweeps.keys():
            self._sweeps[node] = asyncio.ensure_future(self._sweep(node))
        if self._sweeps:
            await asyncio.wait(self._sweeps.values(), timeout=_WAIT_S)
        self._sweeps = {node: sweep for node, sweep in self._sweeps.items() if not sweep.done()}
        self.line.look()

    async def _end_servers(self, node: str) -> None:
        """Have JupyterHub notice now what it would notice within its poll_interval: the next launch starts elsewhere."""
        over = [each for each in self.spawners() if each.node == node and each.ready]
        self.log.error("node %s is lost: the servers of %d people there are over", node, len(over))
        for ended in await asyncio.gather(*(each.poll_and_notify() for each in over), return_exceptions=True):
            if isinstance(ended, BaseException):
                self.log.error("a server on node %s is not cleaned up: %r", node, ended)

    async def _sweep(self, node: str) -> None:
        """End the containers there that are nobody's server (any more): their people may be at work elsewhere by now.

        Until all of them are gone the node gets no new servers.
        """
        doubts = self.engines.doubts[node]
        try:
            there = await self.ask(node, "containers", all=True, filters={"label": LABEL})
            # Looked at after: what was made before the list and is known is in it.
            known = {each.object_name for each in self.spawners() if each.node == node and each.active}
            left = [each for each in there if each["Names"][0].lstrip("/") not in known]
            await asyncio.gather(*(self._end(node, each) for each in left))
        except Exception as error:
            self.log.warning("node %s gets no new servers yet: what is left there is not known (%s)", node, error)
            return
        if self.engines.doubts[node] == doubts:  # what went wrong meanwhile may have left something more
            self.engines.unswept.discard(node)

    async def _end(self, node: str, container: dict[str, Any]) -> None:
        name, runs = container["Names"][0].lstrip("/"), container["State"] == "running"
        if not (runs or self.remove):
            return
        if runs:
            self.log.warning("%s on node %s is ended: it is nobody's server", name, node)
        await end(self.ask, node, name, self.remove)
