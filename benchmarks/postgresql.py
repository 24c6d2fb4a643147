"""PostgreSQL as Debian has it, for a hub on this machine; SQLite is in Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubrun.environment import PROJECT
from hubrun.errors import CommandFailed

sys.path.insert(0, str(PROJECT / "tests"))  # the hub that the tests start

from lti_hub import hub_python

# Where Debian has PostgreSQL's programs, by version.
PROGRAMS = Path("/usr/lib/postgresql")
_SECONDS = 60


def driver() -> Path:
    """The folder with what the hub speaks to PostgreSQL with; installed once. Raises CommandFailed."""
    pins = PROJECT / "benchmarks" / "requirements-postgresql.txt"
    folder = hub_python().parent.parent / f"postgresql-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        command: list[str | Path] = [
            hub_python(),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--target",
            new,
            "-r",
            pins,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CommandFailed("the driver of PostgreSQL cannot be installed", str(pins), detail=done.stderr)
        new.rename(folder)
    return folder


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    """Debian's PostgreSQL with its own settings, new, on a socket in `folder`; the hub's URL of it, and its process.

    It runs as the account `postgres` where we are root, which it refuses to be. Raises CommandFailed where there is none.
    """
    programs = sorted(PROGRAMS.glob("*/bin"), key=lambda path: int(path.parent.name))
    if not programs:
        raise CommandFailed("it is not installed", "PostgreSQL", "apt-get install postgresql")
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder.mkdir(mode=0o700)
    if account:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"

    def run(*command: object) -> None:
        done = subprocess.run([*account, *map(str, command)], cwd="/", capture_output=True, text=True, check=False)
        if done.returncode:
            raise CommandFailed(f"{command[0]} ended with {done.returncode}", "PostgreSQL", detail=done.stderr)

    # Whoever may enter the folder is let in: its account, and root.
    run(programs[-1] / "initdb", "-D", data, "--auth=trust", "--username=postgres", "--no-instructions")
    socket_only = f"-c listen_addresses= -c unix_socket_directories={folder}"
    run(programs[-1] / "pg_ctl", "-D", data, "-w", "-t", _SECONDS, "-o", socket_only, "-l", folder / "log", "start")
    try:
        run(programs[-1] / "createdb", "-h", folder, "-U", "postgres", "jupyterhub")
        postmaster = int((data / "postmaster.pid").read_text().split()[0])
        yield f"postgresql+psycopg2://postgres@/jupyterhub?host={folder}", postmaster
    finally:
        run(programs[-1] / "pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
