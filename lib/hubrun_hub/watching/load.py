"""How much the site was used: the busiest moments of each day, kept for whoever plans (`./hubrun capacity`).

programs/load.py looks: at, when; servers, id → memory_mb and cpu_s, and of hub and proxy pid, cpu_s and memory_mb.

A sample is what happened between two looks of hubrun-watch.timer, five minutes apart:

seconds          between the two looks
servers          students' servers that run at the second one, and what all of them take then: servers_mb; largest_mb: of one
cores            cores that students' servers used, on the average; hub_cores, proxy_cores: of hub and proxy
started          servers that run at the second look and did not at the first
hub_mb, proxy_mb memory of the two processes
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from hubrun_hub.watching import kept

# Two terms.
_DAYS = 370
# A look that came late, or a server that was asleep, says nothing of a moment.
_LONGEST_S = 1800.0


def state() -> dict[str, Any]:
    """cores: how many the machine has; days: what `remembered` returned, day (UTC) → its samples. Raises OSError, ValueError."""
    return {"cores": len(os.sched_getaffinity(0)), "days": (kept.read("load") or {}).get("days", {})}


def sample(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    """What happened between two looks; None where they are too far apart. Pure."""
    seconds = now["at"] - before["at"]
    if not 0 < seconds <= _LONGEST_S:
        return None
    memory = [each["memory_mb"] for each in now["servers"].values()]
    used = sum(
        max(0.0, each["cpu_s"] - before["servers"].get(name, {"cpu_s": 0.0})["cpu_s"])
        for name, each in now["servers"].items()
    )

    def cores(name: str) -> float:
        was = before[name]["cpu_s"] if before[name]["pid"] == now[name]["pid"] else 0.0
        return float(round(max(0.0, now[name]["cpu_s"] - was) / seconds, 4))

    return {
        "at": now["at"], "seconds": round(seconds), "servers": len(memory), "servers_mb": sum(memory),
        "largest_mb": max(memory, default=0), "started": len(now["servers"].keys() - before["servers"].keys()),
        "cores": round(used / seconds, 4), "hub_cores": cores("hub"), "proxy_cores": cores("proxy"),
        "hub_mb": now["hub"]["memory_mb"], "proxy_mb": now["proxy"]["memory_mb"],
    }  # fmt: skip


def remembered(known: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What to keep after a look: it, and of each day `busiest` (most servers) and `rush` (most starts). Pure."""
    days: dict[str, dict[str, Any]] = {day: dict(samples) for day, samples in known.get("days", {}).items()}
    new = sample(known["last"], now) if known.get("last") else None
    if new and new["servers"]:
        today = days.setdefault(time.strftime("%Y-%m-%d", time.gmtime(now["at"])), {"busiest": new, "rush": new})
        if (new["servers"], new["cores"]) > (today["busiest"]["servers"], today["busiest"]["cores"]):
            today["busiest"] = new
        if new["started"] > today["rush"]["started"]:
            today["rush"] = new
    return {"last": dict(now), "days": dict(sorted(days.items())[-_DAYS:])}
