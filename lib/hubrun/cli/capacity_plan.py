"""How many servers of which size so many students need, from what a site's server measured. Pure.

What was not measured has a default, and each number says where it is from. The formulas for memory, processor and disk are
those of The Littlest JupyterHub ("Estimate Memory / CPU / Disk needed"), for several servers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hubrun.server_paths import HOMES

_TLJH = "The Littlest JupyterHub, Estimate Memory / CPU / Disk needed"
_JUPYTERHUB = "JupyterHub, Capacity planning"
_BENCH = "./hubrun bench --only many"
# The smallest number of servers, people or starts that says anything of others.
_ENOUGH = 5
# What students try out beyond what was measured: the upper end of TLJH's 20 to 40 %.
HEADROOM = 1.4
# A class begins: so long it takes until all who come have come.
ARRIVE_S = 600.0
# How often a server tells the hub that somebody works there (JUPYTERHUB_ACTIVITY_INTERVAL).
ACTIVITY_S = 300.0
# Seconds of the hub's processor for that (./hubrun bench --only many).
ACTIVITY_CPU_S = 0.013
# Memory in GB and cores: one core for 4 GB, as providers' general-purpose servers have (JupyterHub, "CPU:memory ratio").
SIZES = ((8, 2), (16, 4), (32, 8), (64, 16), (128, 32))


@dataclass(frozen=True)
class Value:
    """A number, and where it is from. measured: by this site's server."""

    value: float
    source: str
    measured: bool = False


@dataclass(frozen=True)
class Use:
    """What is known of how a site is used, or assumed. MB, cores, seconds; share: of the students, who work at once."""

    share: Value
    server_mb: Value
    server_cores: Value
    home_mb: Value
    system_mb: Value
    hub_s: Value
    proxy_s: Value
    write_s: Value


DEFAULTS = Use(
    share=Value(0.6, f"assumed: 40 to 60 % of a class ({_TLJH})"),
    server_mb=Value(200, f"assumed: JupyterLab with one kernel (./hubrun bench, and {_JUPYTERHUB}: 90 % take less)"),
    server_cores=Value(0.1, f"assumed: 90 % use less ({_JUPYTERHUB})"),
    home_mb=Value(1024, "assumed by this project, without a source"),
    system_mb=Value(1024, f"assumed: 500 MB for hub and proxy ({_JUPYTERHUB}), the rest for the system and Docker"),
    hub_s=Value(0.16, f"assumed: {_BENCH}"),
    proxy_s=Value(0.012, f"assumed: {_BENCH}"),
    write_s=Value(0.05, f"assumed: {_BENCH}"),
)


@dataclass(frozen=True)
class Machine:
    """A server: memory in MB, cores, and the room for homes in MB, with those that are there (None: not known)."""

    memory_mb: int
    cores: float
    homes_mb: int | None = None


@dataclass(frozen=True)
class Part:
    """What so many students need of one thing, and what the site's server has. grows: whether further servers give more of it."""

    name: str
    needed: float
    has: float
    unit: str
    grows: bool

    @property
    def share(self) -> float:
        """Of what there is, how much is needed: more than 1 is too much."""
        return self.needed / self.has if self.has else math.inf


@dataclass(frozen=True)
class Offer:
    """Servers of one size. first, further: how many students work at once on the first one, which is the hub's, and on each
    further one. count: how many of them are needed; None: with no number of them.
    """

    machine: Machine
    first: int
    further: int
    count: int | None


def use(seen: Mapping[str, Any]) -> Use:
    """What the server measured (`seen` of programs/status.py), and defaults for the rest."""
    days = (seen.get("load") or {}).get("days", {}).values()
    busy = [day["busiest"] for day in days if day["busiest"]["servers"] >= _ENOUGH]
    rushes = [day["rush"] for day in days if day["rush"]["started"] >= _ENOUGH]
    people = (seen.get("shares") or {}).get("people", [])
    homes = [each["disk_mb"] for each in people if each["disk_mb"] is not None]
    found: dict[str, Value] = {}

    def measured(name: str, value: float, source: str) -> None:
        found[name] = Value(value, f"measured: {source}", True)

    if busy:
        most = max(busy, key=lambda each: each["servers"])
        when = f"{most['servers']} servers at once were the most, of {len(busy)} days"
        measured(
            "server_mb",
            max(each["servers_mb"] / each["servers"] for each in busy),
            f"the mean at the worst time; {when}",
        )
        measured(
            "server_cores", max(each["cores"] / each["servers"] for each in busy), f"the mean at the worst time; {when}"
        )
        if len(homes) >= _ENOUGH:
            # Not below what TLJH begins with: homes of former terms are still there, and nobody comes for them.
            share = min(1.0, max(0.4, most["servers"] / len(homes)))
            measured(
                "share", share, f"{most['servers']} servers at once, {len(homes)} people with files; not below 40 %"
            )
    if len(homes) >= _ENOUGH:
        measured("home_mb", statistics.mean(homes), f"the mean of {len(homes)} people's files")
    memory, servers = seen.get("memory"), (seen.get("docker") or {}).get("servers")
    if memory and servers is not None:
        used = memory["total_mb"] - memory["available_mb"] - sum(each["memory_mb"] or 0 for each in servers)
        measured("system_mb", max(0, used), "what the server uses now, without students' servers")
    if rushes:
        rush = max(rushes, key=lambda each: each["started"])
        source = f"{rush['started']} starts within {rush['seconds'] / 60:.0f} minutes"
        measured("hub_s", rush["hub_cores"] * rush["seconds"] / rush["started"], source)
        measured("proxy_s", rush["proxy_cores"] * rush["seconds"] / rush["started"], source)
    return Use(**{each.name: found.get(each.name, getattr(DEFAULTS, each.name)) for each in fields(Use)})


def machine(seen: Mapping[str, Any]) -> Machine | None:
    """The site's server; None where it does not say how large it is."""
    memory, load = seen.get("memory"), seen.get("load")
    if not (memory and load):
        return None
    return Machine(memory["total_mb"], load["cores"], _room(seen))


def _room(seen: Mapping[str, Any]) -> int | None:
    """What is free for homes, and what homes take already, in MB."""
    disks = {each["path"]: each["left_mb"] for each in seen.get("disks", [])}
    where = next((path for path in (HOMES, "/var/lib/docker", "/") if path in disks), None)
    if where is None:
        return None
    homes = sum(each["disk_mb"] or 0 for each in (seen.get("shares") or {}).get("people", []))
    return int(disks[where]) + homes


def each_mb(used: Use, limit_mb: int) -> float:
    """What one server is counted with: what they take, with HEADROOM, and never more than it may."""
    return min(used.server_mb.value * HEADROOM, limit_mb)


def parts(used: Use, has: Machine, students: int, at_once: int, limit_mb: int, spare_mb: int) -> list[Part]:
    """What they need of everything on the site's one server, the scarcest first. spare_mb: what stays free of memory.

    Hub and proxy are one thread each, and have one core. The hub does nothing else while its database writes (JupyterHub, "The
    Hub's Database").
    """
    hub, proxy = _hub(used, at_once), _proxy(used, at_once)
    write = at_once / ARRIVE_S * used.write_s.value
    found = [
        Part("memory", used.system_mb.value + spare_mb + at_once * each_mb(used, limit_mb), has.memory_mb, "MB", True),
        Part("processor", hub + proxy + at_once * used.server_cores.value, has.cores, "cores", True),
        Part("hub, with its database", hub + write, 1, "of the time", False),
        Part("proxy", proxy, 1, "of the time", False),
        Part("database", write, 1, "of the time", False),
    ]
    if has.homes_mb is not None:
        found.append(Part("disk of homes", students * used.home_mb.value * HEADROOM, has.homes_mb, "MB", False))
    return sorted(found, key=lambda each: -each.share)


def _hub(used: Use, at_once: int) -> float:
    """Cores that the hub's process takes while so many arrive and work."""
    return at_once / ARRIVE_S * used.hub_s.value + at_once / ACTIVITY_S * ACTIVITY_CPU_S


def _proxy(used: Use, at_once: int) -> float:
    return at_once / ARRIVE_S * used.proxy_s.value


def offers(used: Use, sizes: Sequence[Machine], at_once: int, limit_mb: int, spare_mb: int) -> list[Offer]:
    """How many servers of each size so many need who work at once."""
    return [_offer(used, size, at_once, limit_mb, spare_mb) for size in sizes]


def _offer(used: Use, size: Machine, at_once: int, limit_mb: int, spare_mb: int) -> Offer:
    hub = _hub(used, at_once) + _proxy(used, at_once)
    memory = (size.memory_mb - used.system_mb.value - spare_mb) / each_mb(used, limit_mb)

    def students(cores: float) -> int:
        by_processor = cores / used.server_cores.value if used.server_cores.value else math.inf
        return max(0, math.floor(min(memory, by_processor)))

    first, further = students(size.cores - hub), students(size.cores)
    if first >= at_once:
        return Offer(size, first, further, 1)
    return Offer(size, first, further, 1 + math.ceil((at_once - first) / further) if further else None)
