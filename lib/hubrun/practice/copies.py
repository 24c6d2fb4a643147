"""What a copy of a practice server has from it: disk, volumes, keys and certificates."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator

from hubrun.practice.docker_engine import Engine
from hubrun.practice.practice_server import Practice, write

LIMIT = 600  # seconds, for a few GB on a busy disk
# What a copy has of its own.
_OWN = ("state.json", "site.yaml", "known_hosts", "resolv.conf", "dns.ini")
# In a server's folder: what its original had added to the disk that it came with, a path a line. On the copy's disk too,
# until the copy first boots.
ADDED, ADDED_THERE = "added", "/.added"
# What a copy does before its first boot. A folder from an image cannot be renamed (Linux's overlayfs.rst, "renaming
# directories"), which a server's own can: each becomes one of this disk.
BEFORE_BOOT = f"""if [ -e {ADDED_THERE} ]; then
    while IFS= read -r path; do
        [ -d "$path" ] && [ ! -L "$path" ] && ! mountpoint -q "$path" || continue
        cp -a --reflink=auto "$path" "$path.copy" && rm -r "$path" && mv "$path.copy" "$path" || exit
    done < {ADDED_THERE}
    rm {ADDED_THERE}
fi
"""


# Below the first, nobody renames a folder but packages, which do it otherwise where they must; the others are not on the disk.
_PASSED_OVER = re.compile(r"/usr/(?!local/)|/(dev|proc|run|sys|tmp)/")


def added(diff: str) -> list[str]:
    """What was added to a disk, without what is in it, from the lines of `docker diff`."""
    paths = {line[2:] for line in diff.splitlines() if line.startswith("A ")}
    return sorted(path for path in paths if path.rpartition("/")[0] not in paths and not _PASSED_OVER.match(path))


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
        more = added(docker.run("diff", there.container, timeout=LIMIT)) if made else []
        docker.run(
            "run", "--rm", "--network=none", "--label", copy.label, *mounts,
            # Overlay file systems mark what is gone with attributes that are for this capability alone (xattr(7)).
            "--cap-add=SYS_ADMIN", image, "cp", "--archive", "--reflink=auto", "/from/.", "/to",
            timeout=LIMIT,
        )  # fmt: skip
    shutil.copytree(original.folder, copy.folder, ignore=shutil.ignore_patterns(*_OWN), dirs_exist_ok=True)
    earlier = (copy.folder / ADDED).read_text().splitlines() if original.copy_of else []
    write(copy.folder / ADDED, "".join(f"{path}\n" for path in sorted({*earlier, *more})))
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
