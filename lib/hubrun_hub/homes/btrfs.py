"""btrfs on the server: its commands, and the figures that the kernel shows of it."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .places import FIRST_FREE, HomeError

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
    """Let the subvolume hold `size` bytes (0: any number); one that holds more keeps all of it, and nothing is added."""
    run("qgroup", "limit", str(size or "none"), path)


def set_limit_of(root: Path, number: int, size: int) -> None:
    """The same by the subvolume's number, where people could put something else into its place."""
    run("qgroup", "limit", str(size or "none"), f"0/{number}", root)


def remove(root: Path, *paths: Path) -> None:
    """Remove subvolumes with all that is in them, and their qgroups, which older kernels keep; waits until they are gone."""
    if not paths:
        return
    numbers = [number_of(path) for path in paths]
    # Without the commit the kernel would begin up to half a minute later.
    run("subvolume", "delete", "--commit-after", *paths)
    run("subvolume", "sync", root, *map(str, numbers))
    for left in (_qgroups(root) / f"0_{number}" for number in numbers):
        if left.exists():
            try:
                run("qgroup", "destroy", left.name.replace("_", "/"), root)
            except HomeError:
                if left.exists():  # newer kernels remove it themselves, a moment later
                    raise


def forget_removed(root: Path) -> None:
    """Remove the qgroups of subvolumes that rmdir(2) removed, which older kernels keep."""
    there = {each.number for each in subvolumes(root).values()}
    for left in _qgroups(root).glob("0_*"):
        number = int(left.name.partition("_")[2])
        if number >= FIRST_FREE and number not in there:
            with suppress(HomeError):  # it is still being removed: in the next hour, then
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


@cache
def _qgroups(root: Path) -> Path:
    # In a unit's view of the disk it may be there twice.
    uuids = run("-no", "UUID", "--mountpoint", root, program="findmnt").split()
    folder = _SYS / uuids[0] / "qgroups"
    if not os.path.isdir(folder):
        raise HomeError(f"the file system at {root} does not count what people keep: btrfs quota enable {root}")
    return folder
