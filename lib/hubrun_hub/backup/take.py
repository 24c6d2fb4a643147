"""Makes a backup, and once a week tests what is kept: what the unit hubrun-backup.service runs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hubrun_hub.backup import databases, site, state, tree
from hubrun_hub.backup.repository import CREDENTIALS, EMPTY, NEXT_PASSWORD, PASSWORD, SSH, Repository, Settings
from hubrun_hub.failed import Failed
from hubrun_hub.homes.frozen import frozen
from hubrun_hub.homes.places import HomeError, Homes

_GB = 1 << 30
# A home may be this much larger to read than it is on the disk: holes of sparse files, and names of one file.
_HOLLOW = 64 * _GB
_TESTED, _TESTED_FILES = 2 * _GB, 100_000
_WEEK = 6.5
# A part of all that is stored is read and compared each week.
_SUBSET = "5%"
# A path in it is shorter than the same one in the tree: what is too long for a path there (PATH_MAX) is not compared.
_STAGING = state.FOLDER / "tested"


def run(repository: Repository) -> dict[str, Any]:
    """Make a backup; test the repository where a week has passed. What is known then, which is kept too.

    Raises Failed, after the reason was kept.
    """
    known = state.of(repository.settings.repository) | {"last_try": state.now(), "last_error": ""}
    try:
        _run(repository, known)
    except (Failed, HomeError, OSError, subprocess.SubprocessError) as error:
        known["last_error"] = str(error)
        raise Failed(str(error)) from error
    finally:
        state.write(known)
    return known


def _run(repository: Repository, known: dict[str, Any]) -> None:
    if site.noted().get("state") == site.BEGUN:
        raise Failed("a restore of the whole site is half done, and what is here is none: run it once more, to its end")
    repository.restic("unlock", seconds=600)  # those whose process ended; others' stay (restic's own rule)
    with frozen(Homes(), tree.homes()) as folders:
        try:
            _of_one_moment(repository, known, folders)
        finally:
            tree.take_apart()  # or the kernel would keep what it shows


def _of_one_moment(repository: Repository, known: dict[str, Any], folders: dict[str, Path]) -> None:
    found = {name: measured(folder) for name, folder in (folders | _of_courses()).items()}
    hollow = {name: size for name, size in found.items() if size.read > size.disk + _HOLLOW}
    known["left_out"] = {
        name: f"its files say that they have {size.read // _GB} GB, and have {size.disk // _GB}"
        for name, size in hollow.items()
    }
    sizes = {name: found[name] for name in folders if name not in hollow}
    began = time.time()
    books = databases.databases(tree.STATE, tree.COURSES)
    copied = databases.copy(books)
    try:
        lost = [f"{path}: {why}" for path, why in copied.items() if path.parent == tree.STATE]
        if lost:
            raise Failed("; ".join(lost))
        top = tree.put_together(tree.sources(repository.settings, {name: folders[name] for name in sizes}))
        (top / "server/manifest.json").write_text(json.dumps(manifest(repository.settings), indent=1))
        known |= _back_up(repository, top, sorted(hollow.keys() - folders.keys()), empty=not sizes)
    finally:
        databases.remove_copies(books)
    known |= {
        "last_ok": known["last_try"],
        "homes": len(sizes),
        "gradebooks": {str(each): why for each, why in copied.items()},
    }
    _forget(repository)
    if state.days_since(known.get("check", {}).get("at", "")) > _WEEK or not known["check"]["ok"]:
        known["check"] = _result(lambda: _check(repository))
    if state.days_since(known.get("test_restore", {}).get("at", "")) > _WEEK or not known["test_restore"]["ok"]:
        known["test_restore"] = _result(lambda: _test_restore(repository, known["snapshot"], top, sizes, began))
    wrong = [f"{part}: {known[part]['error']}" for part in ("check", "test_restore") if not known[part]["ok"]]
    if wrong:
        raise Failed("; ".join(wrong))


class Size(NamedTuple):
    """Of a folder: how many bytes there are to read, how many it has on the disk, and how many files and folders."""

    read: int
    disk: int
    files: int


def measured(folder: Path) -> Size:
    """The size of a folder. Raises SubprocessError."""
    command = ["find", str(folder), "-xdev", "-printf", "%y %s %b %n %i\\n"]
    read = disk = count = 0
    seen = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            count += 1
            if not line.startswith("f "):
                continue
            size, blocks, links, number = map(int, line[2:].split())
            read += size
            if links == 1 or number not in seen:
                disk += min(size, blocks * 512)
            if links > 1:
                seen.add(number)
    return Size(read, disk, count)


def _of_courses() -> dict[str, Path]:
    """What people's containers write to in courses, by its path in the tree: each is one person's, or the instructors'."""
    kinds = ("inbound", "feedback")
    found = [each for each in tree.COURSES.glob("*/*") if each.name not in kinds]
    found += [each for kind in kinds for each in tree.COURSES.glob(f"*/{kind}/*")]
    return {f"courses/{each.relative_to(tree.COURSES)}": each for each in found}


def manifest(settings: Settings) -> dict[str, Any]:
    """What the site consisted of: for whoever restores it."""
    versions = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "docker-ce", "docker.io", "nginx", "restic"],
        capture_output=True, text=True, check=False,
    ).stdout.split("\n")  # fmt: skip
    hub = Path("/opt/jupyterhub/lib").glob("python3*/site-packages/jupyterhub-*.dist-info")
    owner = tree.STATE.stat()
    return {
        "site": settings.site, "at": state.now(), "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "jupyterhub": [each.stem for each in hub], "packages": [each for each in versions if each.rpartition(" ")[2]],
        # By which the files of the hub's account are known on a server where it has another number.
        "hub": [owner.st_uid, owner.st_gid],
    }  # fmt: skip


def _back_up(repository: Repository, top: Path, left_out: Iterable[str], empty: bool) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    unread = 0
    ours: list[str] = []

    def line(text: str) -> None:
        nonlocal unread
        try:
            said = json.loads(text)
        except ValueError:
            return
        if said.get("message_type") == "error":
            unread += 1
            item = str(said.get("item") or (said.get("error") or {}).get("Path", ""))
            # What students do to their files while they are read is theirs; what is the server's must be there.
            if not item.removeprefix(f"{top}/").startswith(("homes/", "courses/")):
                ours.append(item)
        elif said.get("message_type") == "summary":
            summary.update(said)

    excluded = [f"--exclude={top}/server{path}" for path in (PASSWORD, NEXT_PASSWORD, CREDENTIALS, SSH)]
    excluded += [f"--exclude={top}/{name}" for name in left_out]
    tags = ["--tag", "hubrun", *(["--tag", EMPTY] if empty else [])]
    repository.restic(
        "backup", "--json", "--host", repository.settings.site, *tags, *excluded,
        *sorted(each.name for each in top.iterdir()), cwd=top, line=line, tolerated=(3,),
    )  # fmt: skip
    if ours or "snapshot_id" not in summary:
        raise Failed(f"not everything could be read: {', '.join(ours[:5]) or 'restic wrote no backup'}")
    return {
        "snapshot": summary["snapshot_id"], "seconds": round(summary["total_duration"]),
        "added": summary["data_added"], "unread": unread,
    }  # fmt: skip


def _forget(repository: Repository) -> None:
    # By tags: a backup without a home must not take the place of the day's one that has them.
    keep = [f"--keep-{name}={count}" for name, count in repository.settings.keep.items()]
    repository.restic("forget", "--host", repository.settings.site, "--group-by", "host,tags", *keep)


def _check(repository: Repository) -> dict[str, Any]:
    repository.restic("prune")
    repository.restic("check", f"--read-data-subset={_SUBSET}")
    return {}


def _test_restore(
    repository: Repository, snapshot: str, top: Path, sizes: dict[str, Size], began: float
) -> dict[str, Any]:
    """Restore somebody's home, and compare it with what they have."""
    room = min(_TESTED, shutil.disk_usage(state.FOLDER).free // 2)
    left = os.statvfs(state.FOLDER)
    # btrfs has no number of files, and says 0 of 0.
    most = min(_TESTED_FILES, left.f_favail // 2) if left.f_files else _TESTED_FILES
    fitting = [name for name, size in sizes.items() if 0 < size.read <= room and size.files <= most]
    if not fitting:
        return {"home": "", "files": 0}
    name = random.choice(fitting)
    _clear(_STAGING)
    _STAGING.mkdir(mode=0o700)
    try:
        repository.restic("restore", snapshot, "--target", str(_STAGING), "--include", f"/homes/{name}", tolerated=(1,))
        count, wrong = compare(top / "homes" / name, _STAGING / "homes" / name, began)
    finally:
        _clear(_STAGING)
    if wrong:
        raise Failed(f"the home of {name} came back otherwise: {', '.join(wrong[:3])}")
    return {"home": name, "files": count}


def compare(live: Path, restored: Path, began: float) -> tuple[int, list[str]]:
    """Each file that has not changed since `began` (s since 1970) must be in `restored`, and the same.

    How many files were compared, and those that are not: their names are students', and shown as Python writes them.
    """
    found = subprocess.run(
        ["find", str(live), "-xdev", "-type", "f", "!", "-newerct", f"@{began:.3f}", "-printf", "%P\\0"],
        capture_output=True, check=False,
    ).stdout  # fmt: skip
    count, wrong = 0, []
    for name in filter(None, found.split(b"\0")):
        seen = _digest(os.path.join(os.fsencode(live), name), began)
        if not seen:
            continue
        count += 1
        if _digest(os.path.join(os.fsencode(restored), name)) != seen:
            wrong.append(ascii(os.fsdecode(name)))
    return count, wrong


def _digest(path: bytes, began: float = float("inf")) -> str:
    """The file's; "" for what is no file, cannot be read, or has changed since `began`."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_ctime >= began:
                return ""
            digest, left = hashlib.sha256(), found.st_size  # of one that grows all the time there would be no end
            while part := file.read(min(left, 1 << 20)):
                digest.update(part)
                left -= len(part)
            return digest.hexdigest() if os.fstat(file.fileno()).st_ctime < began else ""
    except OSError:
        return ""


def _clear(folder: Path) -> None:
    # rm(1) knows folders that are deeper than Python's stack.
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(folder)], check=True)


def _result(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"at": state.now(), "ok": True, "error": "", **work()}
    except (Failed, OSError, subprocess.SubprocessError) as error:
        return {"at": state.now(), "ok": False, "error": str(error)}
