"""What is measured of our own: `./hubrun install` without 06_verify, and single runbooks, on a benchmark's server."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from benchmarks import processes
from benchmarks.engine import _HUBRUN, NAMES, PROJECT

from hubrun import params, practice
from hubrun.desired.cards import MIME
from hubrun.errors import CheckFailed, CommandFailed
from hubrun.params import Site
from hubrun.practice.docker_engine import Say
from hubrun.practice.practice_server import STATE, Practice

INSTALL_LIMIT = 1200
NOTHING_LIMIT = 180
RUNBOOKS = tuple(PROJECT / "runbooks" / f"{name}.ipynb" for name in NAMES)


@dataclass(frozen=True)
class Target:
    """A site file that leads to a server, directly or through a proxy. folder: its files. records: of all ways to it."""

    site_file: Path
    folder: Path
    records: Path

    @property
    def site(self) -> Site:
        return params.load(self.site_file)

    @property
    def known_hosts(self) -> Path:
        return Path(self.site.ssh_known_hosts_file)

    def through(self, port: int) -> Target:
        """The same server, reached on another port of 127.0.0.1."""
        folder = Path(tempfile.mkdtemp(prefix=f"port-{port}-", dir=self.folder))
        values, _ = params.read_yaml(self.site_file)
        key = self.known_hosts.read_text().split(" ", 1)[1]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
        values |= {"ssh_port": port, "ssh_known_hosts_file": str(folder / "known_hosts")}
        (folder / "site.yaml").write_text(yaml.safe_dump(values))
        return replace(self, site_file=folder / "site.yaml", folder=folder)


def install(
    target: Target, *, converged: bool, watch: bool = False, books: Sequence[Path] = RUNBOOKS
) -> processes.Done:
    """Runbooks 01 to 05 (`books`) as `./hubrun install` runs them, with their record: one whole process.

    converged: nothing may be left to do. Raises CommandFailed when it fails, CheckFailed when it changed something.
    """
    limit = NOTHING_LIMIT if converged else INSTALL_LIMIT
    command: list[str | Path] = [sys.executable, "-c", _HUBRUN, target.site_file, target.records, *books]
    done = processes.well(processes.run(command, limit, watch=watch), "hubrun install")
    status = json.loads((last_run(target) / "manifest.json").read_text())["predicate"]["status"]
    if status != ("ok" if converged else "changed"):
        raise CheckFailed(f"the run's status is {status}", "hubrun install", "", done.output)
    return done


def last_run(target: Target) -> Path:
    """The folder of the last run."""
    return max(path.parent for path in target.records.glob("*/*/manifest.json"))


def parts(target: Target) -> str:
    """How long each runbook of the last run took."""
    books = json.loads((last_run(target) / "manifest.json").read_text())["predicate"]["runbooks"]
    return ", ".join(f"{book['name']} {book['seconds']:.0f} s" for book in books)


def labels(run: Path) -> list[str]:
    """What the runbooks of a run brought the server to: the labels of all their resources, in order, each once."""
    found: dict[str, None] = {}
    for path in sorted(run.glob("[0-9]*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            for output in cell.get("outputs", []):
                for result in output.get("data", {}).get(MIME, {}).get("results", []):
                    found[result["resource"]] = None
    return list(found)


def verify(target: Target) -> processes.Done:
    """06_verify by itself. Raises CommandFailed."""
    words = (sys.executable, "-m", "hubrun", "install", target.site_file, "--only", "06", "--records", target.records)
    return processes.well(processes.run(words, NOTHING_LIMIT), "06_verify")


@contextmanager
def server(name: str, folder: Path, say: Say) -> Iterator[Target]:
    """A fresh practice server of this benchmark's own, which goes at the end. Raises CommandFailed when it is there."""
    if (STATE / name).exists():
        raise CommandFailed(
            f"there is a practice server {name!r} already", "bench", f"Run: ./hubrun practice --name {name} down"
        )
    try:
        made: Practice = practice.up(name, say=say)
        (folder / name).mkdir()
        yield Target(made.site_file, folder / name, folder / name / "records")
    finally:
        practice.down(name, say)
