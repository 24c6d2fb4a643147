"""Where the files of each person are now: on the disk of homes, or in a volume of Docker's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .. import student_volume
from . import btrfs
from .places import SETTINGS, HomeError, Homes, driver_options

_DOCKER_S = 60


def on_a_disk(settings: Path = SETTINGS) -> bool:
    """Whether homes of this site are on a disk of their own."""
    return settings.exists()


def folders(homes: Homes | None = None, settings: Path = SETTINGS) -> dict[str, Path]:
    """User → the folder of their files: the one that their next server would have. Raises HomeError.

    A volume that Docker mounts from the disk of homes is an empty folder while nobody uses it, and is never meant.
    """
    found = {student_volume.user_of(name): folder for name, folder in plain_volumes().items()}
    if on_a_disk(settings):
        homes = homes or Homes()
        homes.check_mounted()
        users = (student_volume.user_of(student_volume.PREFIX + name) for name in homes.names())
        # Who has both is being moved: the copy is whole, and nobody's server starts before the rest is done.
        found |= {user: homes.person(user) for user in users if user}
    return found


def plain_volumes() -> dict[str, Path]:
    """The volumes of people that Docker keeps in folders of its own, with these. Raises HomeError."""
    names = [name for name in _docker("ls", "-q").split() if _is_persons(name)]
    told = json.loads(_docker("inspect", *names)) if names else []
    return {each["Name"]: Path(each["Mountpoint"]) for each in told if not each["Options"]}


def make_volume(homes: Homes, user: str) -> None:
    """Have the volume that Docker mounts this user's home with; one that is there stays. Raises HomeError."""
    options = driver_options(homes.person(user)).items()
    words = [word for name, value in options for word in ("--opt", f"{name}={value}")]
    btrfs.run("volume", "create", *words, student_volume.volume(user), program="docker")


def _is_persons(volume: str) -> bool:
    user = student_volume.user_of(volume)
    return bool(user) and student_volume.volume(user) == volume


def _docker(*words: str) -> str:
    try:
        done = subprocess.run(
            ["docker", "volume", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DOCKER_S
        )
    except subprocess.TimeoutExpired:
        raise HomeError(f"docker volume {words[0]}: not done within {_DOCKER_S} s") from None
    # One that is removed meanwhile is nobody's; the others are told all the same.
    if done.returncode and "no such volume" not in done.stderr.lower():
        raise HomeError(f"docker volume {words[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout
