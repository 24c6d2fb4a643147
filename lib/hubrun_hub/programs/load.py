"""Notes how much the site is used, for `./hubrun capacity`. Run by root, by hubrun-watch.timer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hubrun_hub.docker_filter import settings
from hubrun_hub.watching import kept, load, seen

_PROCESSES = {"hub": "jupyterhub.service", "proxy": "jupyterhub-proxy.service"}


def look() -> dict[str, Any]:
    """The counters now, as watching/load.py takes them. Raises OSError, SubprocessError, ValueError."""
    servers = {
        each["id"]: {"memory_mb": each["memory_mb"] or 0, "cpu_s": each["cpu_s"] or 0.0}
        for each in seen.docker()["servers"]
    }
    return {"at": time.time(), "servers": servers, **{name: _process(unit) for name, unit in _PROCESSES.items()}}


def _process(unit: str) -> dict[str, Any]:
    """pid, cpu_s, memory_mb of the unit's process (proc(5)); zeros while it does not run."""
    command = ["systemctl", "show", unit, "-p", "MainPID", "--value"]
    pid = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return {"pid": 0, "cpu_s": 0.0, "memory_mb": 0}
    return {
        "pid": pid, "cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        "memory_mb": pages * os.sysconf("SC_PAGE_SIZE") >> 20,
    }  # fmt: skip


if __name__ == "__main__":
    try:
        kept.write("load", load.remembered(kept.read("load") or {}, look()))
    except (OSError, ValueError, LookupError, subprocess.SubprocessError, settings.Refused) as error:
        sys.exit(f"how much the site is used is not noted: {error}")
