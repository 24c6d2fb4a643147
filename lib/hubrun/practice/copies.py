"""What a copy of a practice server has from it: disk, volumes, keys and certificates."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from hubrun.practice.docker_engine import Engine
from hubrun.practice.practice_server import Practice

LIMIT = 600  # seconds, for a few GB on a busy disk
# What a copy has of its own.
_OWN = ("state.json", "site.yaml", "known_hosts", "resolv.conf", "dns.ini")


def fill(docker: Engine, original: Practice, copy: Practice) -> None:
    """Give `copy`, which has its place already, the files of `original`, which may run, be stopped, or be a copy itself.

    The copy's image comes last: where it is, all the others are.
    """
    (there,), (here,) = original.machines(), copy.machines()
    mounts = []
    for folder, volume in here.volumes.items():
        docker.run("volume", "create", "--label", copy.label, volume)
        mounts += [f"--volume={there.volumes[folder]}:/from{folder}:ro", f"--volume={volume}:/to{folder}"]
    with _paused(docker, there.container):
        made = docker.inspect("container", there.container)
        image = docker.run("commit", there.container, timeout=LIMIT).strip() if made else original.image
        docker.run(
            "run", "--rm", "--network=none", "--label", copy.label, *mounts,
            # Overlay file systems mark what is gone with attributes that are for this capability alone (xattr(7)).
            "--cap-add=SYS_ADMIN", image, "cp", "--archive", "--reflink=auto", "/from/.", "/to",
            timeout=LIMIT,
        )  # fmt: skip
    shutil.copytree(original.folder, copy.folder, ignore=shutil.ignore_patterns(*_OWN), dirs_exist_ok=True)
    docker.run("tag", image, copy.image)


@contextlib.contextmanager
def _paused(docker: Engine, container: str) -> Iterator[None]:
    """Nothing of a container that runs goes on meanwhile."""
    found = docker.inspect("container", container)
    if not found or not found["State"]["Running"]:
        yield
        return
    docker.run("pause", container)
    try:
        yield
    finally:
        docker.run("unpause", container)
