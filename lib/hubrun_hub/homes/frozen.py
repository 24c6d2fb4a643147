"""Homes as they are at one moment, for a backup: a program that writes meanwhile leaves no half of a file in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import btrfs
from .places import HomeError, Homes, is_subvolume

# Below "moving", where no person's name begins with a dot (student_volume.escaped): a removal clears it too.
_FOLDER = ".backup"


@contextmanager
def frozen(homes: Homes, folders: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """`folders` (name → home), with a read-only snapshot in the place of each that is on the disk of homes.

    They are gone at the end; those of one that was killed go first. One at a time (`backup.state.alone`). A home
    of which no snapshot can be made stays as it is: a backup of files that change is better than none.
    """
    place = homes.root / "moving" / _FOLDER
    found = dict(folders)
    there = [name for name, folder in folders.items() if folder == homes.root / "people" / name]
    if not there:
        yield found
        return
    place.mkdir(mode=0o700, exist_ok=True)
    _clear(homes, place)
    try:
        for name in there:
            try:
                btrfs.run("subvolume", "snapshot", "-r", found[name], place / name)
                found[name] = place / name
            except HomeError as error:
                print(f"{name}: no snapshot, and its files are read as they are now: {error}", file=sys.stderr)
        yield found
    finally:
        _clear(homes, place)


def _clear(homes: Homes, place: Path) -> None:
    btrfs.remove(homes.root, *(each for each in place.iterdir() if is_subvolume(each)))
