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

    cp -a ~/snapshots/{example}/files/week1 ~/week1-before

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
    said = ["the kernel had given up counting; it counted again"] if btrfs.recount(homes.root) else []
    known = btrfs.subvolumes(homes.root)
    for name in homes.names():
        try:
            _one(homes.root, name, known, limit, now)
        except (HomeError, OSError) as error:  # another's home must not suffer from it
            said.append(f"{name}: {error}")
    said += _make_room(homes.root)
    return said


def _one(root: Path, name: str, known: dict[str, btrfs.Subvolume], limit: int, now: datetime) -> None:
    home, folder = known[f"people/{name}"], root / "snapshots" / name
    folder.mkdir(exist_ok=True)
    there = {path.name: known[f"snapshots/{name}/{path.name}"] for path in folder.iterdir() if is_subvolume(path)}
    new = now.strftime(_NAME)
    if home.changed > max((each.made for each in there.values()), default=0) and new not in there:
        btrfs.run("subvolume", "snapshot", "-r", root / "people" / name, folder / new)
        there[new] = home
    stay = sorted(kept(there, now))
    btrfs.remove(root, *(folder / each for each in there if each not in stay))
    # What snapshots hold in addition to the home may be as much again as the home.
    while stay[:-1] and sum(btrfs.usage(root, there[each].number).exclusive for each in stay if each != new) > limit:
        btrfs.remove(root, folder / stay.pop(0))
    _explain(folder, btrfs.usage(root, home.number), stay, now)


def _explain(folder: Path, usage: btrfs.Usage, stay: list[str], now: datetime) -> None:
    example = stay[-1] if stay else now.strftime(_NAME)
    text = _README.format(
        used=_size(usage.referenced),
        limit=_size(usage.limit),
        now=now.strftime("%Y-%m-%d at %H:%M"),
        days=DAYS,
        example=example,
    )
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
