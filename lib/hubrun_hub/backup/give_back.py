"""Gives back what one person or one course had, beside what is there, while people work."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from hubrun_hub import student_volume
from hubrun_hub.backup import tree
from hubrun_hub.backup.repository import Repository, Snapshot
from hubrun_hub.courses.mounts import is_name
from hubrun_hub.docker_command import docker
from hubrun_hub.failed import Failed
from hubrun_hub.homes import folders
from hubrun_hub.homes.places import Homes, is_subvolume

_HOME = "/home/jovyan"
# In a container that has nothing but the folder: whatever links are in it, they lead nowhere else. What came whole gets
# its name at the end.
_UNPACK = """
set -e
rm -rf -- "$1"
mkdir -- "$1"
[ "$2" = dir ] || exec cat > "$1/data"
mkdir -- "$1/data"
exec tar -x -p --no-same-owner --strip-components="$3" -C "$1/data" -f -
"""
_NAME = """
set -e
mkdir -p -- "$(dirname -- "$2")"
mv -nT -- "$1/data" "$2"
[ ! -e "$1/data" ] || { echo "$2 is there already"; exit 1; }
rmdir -- "$1"
"""


@dataclass(frozen=True)
class Wanted:
    """Something in a backup: its snapshot, its path there, "dir" or "file"; and its name below `restored-DAY`, "" for all."""

    snapshot: Snapshot
    path: str
    kind: str
    name: str

    @property
    def into(self) -> str:
        """Where it goes, in the folder of whose it is."""
        return str(PurePosixPath(f"restored-{self.snapshot.day}", self.name))


def person(user: str) -> tuple[str, str]:
    """Of a user of the hub: the folder in backups, and what Docker mounts. Raises Failed."""
    volume = student_volume.volume(user)
    if not user or student_volume.user_of(volume) != user:
        raise Failed(f"{user!r} is no user of the hub: ./hubrun people says how somebody is called")
    return f"homes/{student_volume.escaped(user)}", volume


def course(name: str) -> tuple[str, str]:
    """Of a course's id, the same: the folder that those who teach it see. Raises Failed."""
    folder = tree.COURSES / name / "course"
    if not is_name(name) or not folder.is_dir():
        raise Failed(f"there is no course {name!r} on this server: {tree.COURSES} has one folder for each")
    return f"courses/{name}", str(folder)


def find(repository: Repository, folder: str, which: str, name: str) -> Wanted:
    """What is called `name` below `folder` in the backup of a day; all of it for "". Raises Failed where it is not there."""
    if name.startswith("/") or ".." in name.split("/") or not name.isprintable():
        raise Failed(f"{name!r} must be a path from the top of their files, such as week1/task.ipynb")
    clean = str(PurePosixPath(name)) if name else ""
    snapshot = repository.chosen(which)
    path = str(PurePosixPath("/", folder, clean))
    found = repository.node(snapshot.id, path)
    if not found:
        raise Failed(f"{clean or folder} is not in the backup of {snapshot.day}")
    if found["type"] not in ("dir", "file"):
        raise Failed(f"{clean} is neither a file nor a folder, but a {found['type']}")
    return Wanted(snapshot, path, found["type"], clean)


def is_there(wanted: Wanted, source: str) -> bool:
    """Whether it was given back already. No link on the way is followed."""
    folder = _folder(source)
    if not folder or not folder.is_dir():
        return False
    top = tree.put_together({"homes/one": folder})
    return os.path.lexists(top / "homes/one" / wanted.into)


def _folder(source: str) -> Path | None:
    if source.startswith("/"):
        return Path(source)
    return tree.homes().get(student_volume.escaped(student_volume.user_of(source)))


def give_back(repository: Repository, wanted: Wanted, source: str) -> None:
    """Put it there, as the student. Raises Failed; then nothing has its name."""
    part = f"restored-{wanted.snapshot.day}.part"
    image = repository.settings.image
    user = student_volume.user_of(source)
    with ExitStack() as held:
        if user and folders.on_a_disk():
            homes = Homes()
            held.enter_context(homes.alone(user, 20))  # nobody moves it meanwhile
            if is_subvolume(homes.person(user)):
                folders.make_volume(homes, user)
        _give_back(repository, wanted, source, part, image)


def _give_back(repository: Repository, wanted: Wanted, source: str, part: str, image: str) -> None:
    # What were holes comes back as zeros: a home that is small on the disk may fill it for everybody.
    size = repository.size(wanted.snapshot.id, wanted.path)
    where = _folder(source) or Path(docker("info", "--format", "{{.DockerRootDir}}").strip())
    free = shutil.disk_usage(where).free
    if size > free * 0.9:
        raise Failed(f"it takes {size >> 20} MB, and the disk has {free >> 20} MB left: nothing was restored")
    with repository.dump(wanted.snapshot.id, wanted.path) as dump:
        assert dump.stdout and dump.stderr
        depth = len(PurePosixPath(wanted.path).parts) - 1
        said = _contained(image, source, _UNPACK, part, wanted.kind, str(depth), data=dump.stdout)
        dump.stdout.close()
        errors = dump.stderr.read().decode(errors="replace")
    if said or dump.returncode:
        _contained(image, source, 'rm -rf -- "$1"', part)
        raise Failed(f"it cannot be written: {said}" if said else repository.reason(errors))
    if said := _contained(image, source, _NAME, part, wanted.into):
        raise Failed(said)


def _contained(image: str, source: str, script: str, *words: str, data: IO[bytes] | int = subprocess.DEVNULL) -> str:
    """What a shell in a container with the volume or folder `source` says that went wrong; "" when nothing did."""
    done = subprocess.run(
        [
            "docker", "run", "--rm", "-i", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
            "--pids-limit=64", "--memory=512m", "--env=PATH=/usr/bin:/bin", f"--volume={source}:{_HOME}", f"--workdir={_HOME}",
            "--entrypoint=/bin/sh", image, "-c", script, "restore", *words,
        ],
        stdin=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    lines = [each for each in done.stdout.splitlines() if each.strip()] or [f"exit code {done.returncode}"]
    return ascii(lines[-1][:300]) if done.returncode else ""
