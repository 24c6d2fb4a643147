"""A disk for homes as runbook 04 makes it, in a file: for tests that run as root where loop devices can be mounted."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hubrun_hub.homes.places import FOLDERS, Homes, driver_options

real = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mkfs.btrfs") or not Path("/dev/loop-control").exists(),
    reason="root mounts a file system",
)


@contextmanager
def made(folder: Path) -> Iterator[Path]:
    """A btrfs of 1 GB that counts, mounted below `folder`. Its loop device is free again at the end, as mount(8) made it."""
    image, root = folder / "image", folder / "root"
    image.touch()
    os.truncate(image, 1 << 30)
    root.mkdir()
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, root], check=False).returncode:
        pytest.skip("no loop device can be mounted here")
    try:
        subprocess.run(["btrfs", "quota", "enable", root], check=True)
        for name in FOLDERS:
            (root / name).mkdir()
        yield root
    finally:
        subprocess.run(["umount", root], check=True)


def make_subvolume(place: Path) -> None:
    """Make one in this folder, named nested, as any program could."""
    # BTRFS_IOC_SUBVOL_CREATE: Linux, include/uapi/linux/btrfs.h
    folder = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(folder, 0x5000940E, bytearray(struct.pack("=q4088s", 0, b"nested")))
    finally:
        os.close(folder)


def mounted(homes: Homes, user: str, place: Path) -> AbstractContextManager[Path]:
    """The home as Docker's own driver of volumes mounts it."""
    return mounted_with(driver_options(homes.person(user)), place)


@contextmanager
def mounted_with(options: dict[str, str], place: Path) -> Iterator[Path]:
    """What Docker's own driver of volumes mounts with these options."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", options["type"], "-o", options["o"], options["device"], place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
