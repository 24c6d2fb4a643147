"""Work on a file that people's containers write, with the rights of its owner and no more, and for so long.

SQLite does what a database says: its triggers run, and a journal that somebody put beside it makes SQLite delete the file
that the journal names as its super-journal (sqlite.org/fileformat.html, "The Rollback Journal"). So nothing of it is done
as root.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubrun_hub.failed import Failed

# A gradebook of some hundred megabytes takes seconds.
SECONDS = 120
_MEMORY = _SIZE = 4 << 30
# What it may say: who reads it may be root, without such a limit.
_SAID = 64 << 20
# capget(2), prctl(2)
_VERSION_3, _PDEATHSIG = 0x20080522, 1


def as_owner(path: Path, work: Callable[..., Any], *arguments: Any, seconds: float = SECONDS) -> Any:
    """What `work(path, …)` returns (plain data), done in a process that is the owner's. Raises Failed with its reason.

    When root asks, the process sees the file's folder as its root: no link leads out of it (chroot(2)).
    """
    owner = os.lstat(path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be(owner, writing, path, lambda seen: work(seen, *arguments))
    os.close(writing)
    try:
        said = _read(reading, seconds)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if said is None:
        raise Failed(f"{path}: not done within {seconds:.0f} s, or of no end: look at it in the formgrader")
    well, what = json.loads(said)
    if not well:
        raise Failed(f"{path}: {what}" if str(path) not in what else what)
    return what


def _be(owner: os.stat_result, writing: int, path: Path, work: Callable[[Path], Any]) -> None:
    """In the child: become the owner, work, say what came of it, and end."""
    try:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (_SIZE, _SIZE))
            libc = ctypes.CDLL(None, use_errno=True)
            if os.geteuid() == 0:
                # Python would look for modules in there.
                sys.meta_path.clear()
                os.chroot(path.parent)
                os.chdir("/")
                path = Path("/", path.name)
                _drop(libc, owner.st_uid, owner.st_gid)
            # When this run is killed, its child must not write on beside the next one.
            libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            said = json.dumps((True, work(path)))
        except BaseException as error:
            said = json.dumps((False, str(error) or type(error).__name__))
        with open(writing, "w", encoding="utf-8") as file:
            file.write(said)
    finally:
        os._exit(0)


def _drop(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = struct.pack("=Ii", _VERSION_3, 0)
    # effective, permitted, inheritable: the lower halves, then the upper ones
    sets = struct.pack("=6I", 0, 0, 0, 0, 0, 0)
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "the rights of root cannot be given up")


def _read(reading: int, seconds: float) -> str | None:
    """What the child said until it closed its end; None when it said nothing in time, or does not come to an end."""
    said = bytearray()
    end = time.monotonic() + seconds
    while len(said) < _SAID and select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(reading, 1 << 16)
        if not part:
            return said.decode() or None
        said += part
    return None
