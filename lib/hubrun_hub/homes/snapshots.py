"""Snapshots of homes: which are made, and which go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from . import btrfs
from .places import HomeError, Homes, is_subvolume

# Those of the last day, each of an hour, and the last of each of these days.
DAYS = 14
# So much of the disk is kept free: below it the oldest go, whosever they are.
_FREE = 0.1
_NAME = "%Y-%m-%d_%H-%M"
_README = """\
{used} of {limit} are used (on {now}).

The folders here hold your files as they were at the time in their names: each hour of the last day, and each day of the
last {days}. You can read them, and nobody can change them. To get something back, copy it, for example in a terminal:

    cp -a ~/snapshots/{example}/week1 ~/week1-before

What you delete in your home counts no longer, although it is still here. When you copy something out of here, it counts.
"""


def kept(names: Iterable[str], now: datetime) -> set[str]:
    """Which of the snapshots stay. Names that are no time are not ours and stay."""
    stay: set[str] = set()
    days: set[str] = set()
    for name in sorted(names, reverse=True):
        try:
            age = now - datetime.strptime(name, _NAME)
        except ValueError:
            stay.add(name)
            continue
        day = name.partition("_")[0]
        if age < timedelta(days=1) or (day not in days and age < timedelta(days=DAYS)):
            stay.add(name)
        days.add(day)
    return stay


def take(homes: Homes, limit: int, now: datetime) -> list[str]:
    """Make a snapshot of each home that changed, and remove those that are old or too much. Returns lines for people."""
    homes.check_mounted()
    root = homes.root
    said = ["the kernel had given up counting; it counted again"] if btrfs.recount(root) else []
    people, there = _found(root)
    for name, home in people.items():
        try:
            _make(root, name, home, there.setdefault(name, {}), now)
        except (HomeError, OSError) as error:  # another's home must not suffer from it
            said.append(f"{name}: no snapshot: {error}")
    # At once: each time it is waited for the kernel.
    btrfs.remove(
        root,
        *(root / "snapshots" / name / each for name in there for each in set(there[name]) - kept(there[name], now)),
    )
    people, there = _found(root)
    for name, home in people.items():
        try:
            _bound(root, name, there.get(name, {}), limit)
            _explain(root / "snapshots" / name, btrfs.usage(root, home.number), now)
        except (HomeError, OSError) as error:
            said.append(f"{name}: {error}")
    return said + _make_room(root)


def _found(root: Path) -> tuple[dict[str, btrfs.Subvolume], dict[str, dict[str, btrfs.Subvolume]]]:
    """The homes by their names, and the snapshots of each."""
    people: dict[str, btrfs.Subvolume] = {}
    there: dict[str, dict[str, btrfs.Subvolume]] = {}
    for path, subvolume in btrfs.subvolumes(root).items():
        match path.split("/"):
            case ["people", name]:
                people[name] = subvolume
            case ["snapshots", name, when]:
                there.setdefault(name, {})[when] = subvolume
    return people, there


def _make(root: Path, name: str, home: btrfs.Subvolume, there: dict[str, btrfs.Subvolume], now: datetime) -> None:
    new = now.strftime(_NAME)
    if home.changed > max((each.made for each in there.values()), default=0) and new not in there:
        btrfs.run("subvolume", "snapshot", "-r", root / "people" / name, root / "snapshots" / name / new)


def _bound(root: Path, name: str, there: dict[str, btrfs.Subvolume], limit: int) -> None:
    """What snapshots hold in addition to the home may be as much again as the home; the last one stays."""
    left = sorted(there)
    while left[:-1] and sum(btrfs.usage(root, there[each].number).exclusive for each in left) > limit:
        btrfs.remove(root, root / "snapshots" / name / left.pop(0))


def _explain(folder: Path, usage: btrfs.Usage, now: datetime) -> None:
    text = _README.format(
        used=_size(usage.referenced), limit=_size(usage.limit), now=now.strftime("%Y-%m-%d at %H:%M"), days=DAYS,
        example=now.strftime("%Y-%m-%d_%H-00"),
    )  # fmt: skip
    readme = folder / "README.txt"
    # A home that nobody is at work in has nothing new to say.
    if not readme.exists() or readme.read_text().partition(" (on ")[0] != text.partition(" (on ")[0]:
        readme.write_text(text)


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GB"


def _make_room(root: Path) -> list[str]:
    """Remove the oldest snapshots of all while the disk is nearly full."""
    gone = 0
    found = sorted((path for path in root.glob("snapshots/*/*") if is_subvolume(path)), key=lambda path: path.name)
    while found and shutil.disk_usage(root).free < shutil.disk_usage(root).total * _FREE:
        # Some at once: what they hold is free when the kernel has gone through them.
        some, found = found[:20], found[20:]
        btrfs.remove(root, *some)
        os.sync()
        gone += len(some)
    return [f"the disk is nearly full: {gone} snapshots are removed, the oldest of all"] if gone else []
