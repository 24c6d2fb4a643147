"""A person's home on the disk of homes, ready for Docker before their container is made.

`hubrun_hub.homes` makes it, with rights that this service has not. For as long as the connection with it lasts, nobody
moves this home to or from anywhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .. import student_volume
from ..homes.places import SNAPSHOTS, Homes, driver_options, hand_in_options
from .folders import UnsafeFolder

HOMES = "/run/hubrun-homes.sock"
_ANSWER_S = 60.0
_VOLUMES = "/v1.41/volumes"
_Late = asyncio.TimeoutError  # a class of its own in Python 3.10

# Method, path and body of a question to Docker → its whole answer; the words of one to `hubrun_hub.homes` → its line.
Ask = Callable[[str, str, bytes], Awaitable[bytes]]
Say = Callable[..., Awaitable[str]]


class Home(NamedTuple):
    """What is mounted with a home: binds, as HostConfig.Binds; courses: those whose folders are on the same disk.
    on_disk: whether the home is."""

    binds: list[str]
    courses: list[str]
    on_disk: bool


class HomesAway(Exception):
    """There is no home for this person just now; the text says why."""


@asynccontextmanager
async def home(path: str, user: str, root: str, ask: Ask, courses: Iterable[str] = ()) -> AsyncIterator[Home]:
    """Have the home of `user` there, and Docker's volume with it, and what they hand in in these courses.

    path: the socket of `hubrun_hub.homes`. A person whose files are still in a volume of Docker's own works on with it.
    Raises HomesAway, and UnsafeFolder where a course cannot be had.
    """
    volume, homes = student_volume.volume(user), Homes(Path(root))
    wanted = driver_options(homes.person(user))
    async with _connected(path) as say:
        state = await say("open", user)
        options = _options(await ask("GET", f"{_VOLUMES}/{volume}", b""))
        if options == {} and state == "none":
            yield Home([], await _on_disk(say, courses), False)
            return
        if options is None:
            state = await say("make") if state == "none" else state
            body = {"Name": volume, "Driver": "local", "DriverOpts": wanted}
            options = _options(await ask("POST", f"{_VOLUMES}/create", json.dumps(body).encode()))
        if options != wanted:
            raise HomesAway(f"the files of {user} are being moved, or their volume is not ours: {volume} has {options}")
        if state == "none":
            raise HomesAway(f"the files of {user} are not on the disk that is mounted at {root}")
        binds = [f"{homes.snapshots(user)}:{SNAPSHOTS}:ro"] if state == "there snapshots" else []
        yield Home(binds, await _on_disk(say, courses), True)


async def _on_disk(say: Say, courses: Iterable[str]) -> list[str]:
    found = []
    for course in courses:
        answer = await say("course", course)
        if answer.startswith("away "):
            raise UnsafeFolder(answer.removeprefix("away "))
        found += [course] if answer == "there" else []
    return found


def limited(host: dict[str, Any], folders: str, user: str, courses: list[str], root: str) -> None:
    """In this HostConfig, mount what `user` hands in in these courses from the disk at `root`, as the home is.

    folders: that of all courses. The volumes have no names: they go with their container. Raises UnsafeFolder where this
    service does not see the disk there.
    """
    if courses and not _is_same(Path(folders), Path(root, "courses")):
        raise UnsafeFolder(f"{folders} is not the one on the disk: systemctl restart hubrun-docker-filter")
    options = {f"{folders}/{each}/inbound/{user}": hand_in_options(Path(root), each, user) for each in courses}
    binds = {bind: options.get(bind.split(":")[0]) for bind in host["Binds"]}
    host["Binds"] = [bind for bind, found in binds.items() if not found]
    host["Mounts"] = [
        {
            "Type": "volume", "Target": bind.split(":")[1],
            "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": found}},
        }
        for bind, found in binds.items() if found
    ]  # fmt: skip


def on_node(host: dict[str, Any], user: str, root: str) -> None:
    """In this HostConfig, mount everything from what the node has of the manager's disk, at the same places as the manager.

    A folder that is not there is an error: as one of Binds Docker would make an empty one. So nobody works where their files
    are not. The home is a volume that goes with the container; into an empty one Docker puts what the image has there.
    """
    home, volumes, mounts = student_volume.volume(user), [], []
    for bind in host["Binds"]:
        source, target, mode = bind.split(":")
        if source == home:
            options = {"type": "none", "o": "bind", "device": str(Homes(Path(root)).person(user))}
            driver = {"Name": "local", "Options": options}
            mounts.append({"Type": "volume", "Target": target, "VolumeOptions": {"DriverConfig": driver}})
        elif source.startswith("/"):
            mounts.append({"Type": "bind", "Source": source, "Target": target, "ReadOnly": mode == "ro"})
        else:
            volumes.append(bind)
    host["Binds"], host["Mounts"] = volumes, mounts


async def remove_home(path: str, user: str) -> None:
    """Remove the home of a Test Student, whose volume is gone. Raises HomesAway."""
    async with _connected(path) as say:
        await say("remove", user)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


@asynccontextmanager
async def _connected(path: str) -> AsyncIterator[Say]:
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        raise HomesAway(f"{path} does not answer: {error}") from error

    async def say(*words: str) -> str:
        try:
            writer.write(f"{json.dumps(words)}\n".encode())
            await writer.drain()
            answer = (await asyncio.wait_for(reader.readline(), _ANSWER_S)).decode().strip()
        except (OSError, _Late) as error:
            raise HomesAway(f"{path} does not answer: {error!r}") from error
        if not answer or answer.startswith("error "):
            raise HomesAway(answer.removeprefix("error ") or f"{path} said nothing")
        return answer

    try:
        yield say
    finally:
        writer.close()


def _options(answer: bytes) -> dict[str, Any] | None:
    """The options of the volume that Docker tells of, none for a volume of its own; None where there is no volume."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = b"".join(head.split(b" ")[1:2])
    if status == b"404":
        return None
    try:
        found = json.loads(body)
        if status not in (b"200", b"201"):
            raise HomesAway(f"Docker does not tell of the volume: {found['message']}")
        return dict(found["Options"] or {})
    except (ValueError, KeyError, TypeError) as error:
        raise HomesAway(f"Docker's answer is not understood: {error!r}") from error
