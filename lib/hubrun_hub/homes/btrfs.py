"""btrfs on the server: its commands, and the figures that the kernel shows of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from .places import HomeError

_SYS = Path("/sys/fs/btrfs")


class Subvolume(NamedTuple):
    """path: below the file system's folder. changed, made: numbers that grow with time (btrfs-subvolume(8): gen, cgen)."""

    number: int
    changed: int
    made: int
    path: str


class Usage(NamedTuple):
    """Bytes. referenced: all that is in a subvolume; exclusive: what would be free without it; limit: 0 for none."""

    referenced: int
    exclusive: int
    limit: int


def run(*words: str | Path, program: str = "btrfs", seconds: float = 600) -> str:
    """What a command printed. Raises HomeError with its last words."""
    try:
        done = subprocess.run(
            [program, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HomeError(f"{program} {words[0]}: not done within {seconds:.0f} s") from None
    if done.returncode:
        raise HomeError(f"{program} {words[0]}: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    return done.stdout


def subvolumes(root: Path) -> dict[str, Subvolume]:
    """All subvolumes of the file system that is mounted at `root`, by path."""
    found = {}
    for line in run("subvolume", "list", "-g", "-c", root).splitlines():
        # ID 257 gen 35 cgen 18 top level 5 path people/ada
        words = line.split(" ", 10)
        found[words[10]] = Subvolume(int(words[1]), int(words[3]), int(words[5]), words[10])
    return found


def number_of(path: Path) -> int:
    """The number of the subvolume at `path`."""
    return int(run("inspect-internal", "rootid", path))


def set_limit(path: Path, size: int) -> None:
    """Let the subvolume hold `size` bytes; one that holds more keeps all of it, and nothing is added."""
    run("qgroup", "limit", str(size), path)


def remove(root: Path, path: Path) -> None:
    """Remove a subvolume with all that is in it, and its qgroup, which older kernels keep."""
    number = number_of(path)
    run("subvolume", "delete", path)
    run("subvolume", "sync", root, str(number))
    if (_qgroups(root) / f"0_{number}").exists():
        run("qgroup", "destroy", f"0/{number}", root)


def usage(root: Path, number: int) -> Usage:
    """What the subvolume holds, as the kernel counts it (Linux, fs/btrfs/sysfs.c)."""
    folder = _qgroups(root) / f"0_{number}"
    referenced, exclusive, most, flags = (
        int((folder / name).read_text()) for name in ("referenced", "exclusive", "max_referenced", "limit_flags")
    )
    return Usage(referenced, exclusive, most if flags & 1 else 0)


def recount(root: Path) -> bool:
    """Count again what subvolumes hold, where the kernel gave it up: until then no limit counts. Whether it was so."""
    state = _qgroups(root) / "inconsistent"
    if not state.exists() or state.read_text().strip() == "0":  # Linux before 6.1 does not say it there
        return False
    run("quota", "rescan", "-w", root, seconds=6 * 3600)
    return True


def _qgroups(root: Path) -> Path:
    # statfs(2): the file system's number is the two halves of its UUID; findmnt(8) reads it from the device.
    # In a unit's view of the disk it may be there twice.
    uuids = run("-no", "UUID", "--mountpoint", root, program="findmnt").split()
    folder = _SYS / uuids[0] / "qgroups"
    if not os.path.isdir(folder):
        raise HomeError(f"the file system at {root} does not count what people keep: btrfs quota enable {root}")
    return folder
