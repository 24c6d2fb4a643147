"""Whether the hub can do its work, and not only whether it answers: what /hub/health says."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# Below these a monitor is told, while there is time; below a tenth of them no student's server is started: JupyterLab
# cannot write its own notes there, and would fail after a minute with nothing that a student understands.
FLOOR_MB = 512
FLOOR_FILES = 5000
# An answer is used again for so long: whoever asks without end must not make the disk write without end.
KEEP_S = 5.0
# Containers, and the volumes that are the students' homes.
DOCKER = Path("/var/lib/docker")
FULL = (
    "The server's disk is full. Your files are safe, but nothing can be started until whoever runs this hub makes room."
)


@dataclass(frozen=True)
class HealthState:
    """`problem`: what is wrong, for whoever runs the hub; empty: nothing. `writes`: the hub can write to its folder.
    `starts`: a student's server can be started."""

    problem: str = ""
    writes: bool = True
    starts: bool = True


def look(
    folder: Path, others: tuple[Path, ...] = (DOCKER,), floor_mb: int = FLOOR_MB, files: int = FLOOR_FILES
) -> HealthState:
    """Look at the hub's folder, and at what is left of its file system and of those of `others`.

    What is left is what is left to students: root's reserve, which the hub may use too, is not counted.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".health-") as file:
            file.write(b"\0" * 4096)
            file.flush()
        for database in folder.glob("*.sqlite"):
            if not os.access(database, os.W_OK):
                return HealthState(f"{database.name} cannot be written to", writes=False, starts=False)
    except OSError as error:
        return HealthState(f"{folder} cannot be written to: {error.strerror}", writes=False, starts=False)
    for path in (folder, *others):
        try:
            left = os.statvfs(path)
        except OSError:  # not there, or not the hub's to see
            continue
        megabytes = left.f_bavail * left.f_frsize // 2**20
        # btrfs has no number of inodes, and says 0 of 0.
        inodes = left.f_favail if left.f_files else files
        if megabytes < floor_mb or inodes < files:
            starts = megabytes >= floor_mb // 10 and inodes >= files // 10
            return HealthState(f"the disk is full: {megabytes} MB and {inodes} files are left at {path}", starts=starts)
    if os.environ.get("HUBRUN_OWN_PARTS"):  # programs/own_parts.py
        return HealthState("90-local.py does not load, and the one before goes on: journalctl -u jupyterhub says why")
    return HealthState()


class HealthProbe:
    """`look` at one folder, every KEEP_S seconds at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = HealthState()
        self._until = 0.0

    async def state(self) -> HealthState:
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + KEEP_S
            # In a thread: a disk that hangs must not stop the hub.
            self._state = await asyncio.to_thread(look, self._folder)
        return self._state

    async def now(self) -> HealthState:
        """The state, not that of some seconds ago."""
        self._until = 0.0
        return await self.state()
