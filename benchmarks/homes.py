"""What limits for 300 homes and their snapshots cost (docs/how-to/homes.md): `python -m benchmarks.homes FOLDER`, as root.

A btrfs in a file below FOLDER (some GB), once without counting and once with it. A class of 30 works: each saves a
notebook of 100 kB, as Jupyter does, and it must be on the disk (fsync). Between rounds an hour goes by: snapshots of
whatever changed. At last a day's oldest snapshots go.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubrun_hub.homes import btrfs

PEOPLE, CLASS, SNAPSHOTS, FILES = 300, 30, 38, 200
SIZE_GB = 12


@contextmanager
def disk(folder: Path, counts: bool) -> Iterator[Path]:
    """A fresh file system, mounted as runbook 04 does."""
    image, root = folder / "homes.img", folder / "homes"
    root.mkdir()
    subprocess.run(["fallocate", "-l", f"{SIZE_GB}G", image], check=True)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop,noatime,nodiscard", image, root], check=True)
    try:
        if counts:
            btrfs.run("quota", "enable", root)
        yield root
    finally:
        subprocess.run(["umount", root], check=True)
        image.unlink()
        root.rmdir()


def seconds(work: object) -> float:
    """How long a call takes."""
    began = time.monotonic()
    work()  # type: ignore[operator]
    return time.monotonic() - began


def save(home: Path, number: int) -> float:
    """Save a notebook of 100 kB until it is on the disk; ms."""
    began = time.monotonic()
    with (home / f"work{number % 20}.ipynb").open("wb") as file:
        file.write(os.urandom(100_000))
        file.flush()
        os.fsync(file.fileno())
    return (time.monotonic() - began) * 1000


def measure(folder: Path, counts: bool) -> dict[str, float]:
    """Name of a figure → its value."""
    with disk(folder, counts) as root:
        homes = [root / f"home{number}" for number in range(PEOPLE)]
        for home in homes:
            btrfs.run("subvolume", "create", home)
            (root / f"snapshots-{home.name}").mkdir()
            for number in range(FILES):
                (home / f"{number}.csv").write_bytes(os.urandom(20_000))
            if counts:
                btrfs.set_limit(home, 5 << 30)
        os.sync()
        rounds: list[list[float]] = []
        hours = []
        for hour in range(SNAPSHOTS):
            rounds.append([save(home, hour) for home in homes[:CLASS]])

            def snapshots(hour: int = hour) -> None:
                # Each hour those of the class, and each day, here each tenth time, everybody has done something.
                for home in homes if hour % 10 == 9 else homes[:CLASS]:
                    (home / "log").write_text(str(hour))
                    btrfs.run("subvolume", "snapshot", "-r", home, root / f"snapshots-{home.name}" / str(hour))
                os.sync()

            hours.append(seconds(snapshots))
        old = [path for home in homes[:CLASS] for path in sorted((root / f"snapshots-{home.name}").iterdir())[:1]]
        if counts:
            gone = seconds(lambda: btrfs.remove(root, *old))
        else:
            gone = seconds(
                lambda: (
                    [btrfs.run("subvolume", "delete", path) for path in old] and btrfs.run("subvolume", "sync", root)
                )
            )
        everybody = [hours[hour] for hour in range(SNAPSHOTS) if hour % 10 == 9]
        return {
            "a save, first hour, median, ms": statistics.median(rounds[0]),
            "a save, last hour, median, ms": statistics.median(rounds[-1]),
            "a save, slowest of all, ms": max(map(max, rounds)),
            f"snapshots of {CLASS}, last hour, s": hours[-1],
            f"snapshots of all {PEOPLE}, s": max(everybody),
            f"{CLASS} snapshots removed, s": gone,
            "copy of 500 MB into a home, s": seconds(lambda: _copy(homes[0])),
            "subvolumes": float(len(btrfs.subvolumes(root))),
        }


def _copy(home: Path) -> None:
    with (home / "large").open("wb") as file:
        for _ in range(500):
            file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def main(folder: str) -> None:
    """Print a table in Markdown."""
    place = Path(folder) / "benchmark-homes"
    place.mkdir()
    try:
        without, counted = measure(place, counts=False), measure(place, counts=True)
    finally:
        shutil.rmtree(place)
    print("| | without limits | with limits |\n| --- | --- | --- |")
    for name, value in without.items():
        print(f"| {name} | {value:.1f} | {counted[name]:.1f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
