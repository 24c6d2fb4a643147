"""Runs that are killed at random moments: what their records say is what the server says, and the next run ends well.

Each way once; `./hubrun test --long` kills 60 of them. HUBRUN_SEED repeats the moments of an earlier run of this test.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from conftest import server
from machines import Machine, Running, hubrun, start

from hubrun.records.ledger import manifest
from hubrun.records.ledger.history import History
from hubrun.records.ledger.manifest import Record, RunbookRecord
from hubrun.records.ledger.verify_history import verify

LONG = bool(os.environ.get("HUBRUN_LONG"))
pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(7200 if LONG else 1200)]

KILLS = 60 if LONG else 5
SEED = int(os.environ.get("HUBRUN_SEED", str(random.randrange(10**6))))
WAYS = ("SIGINT", "SIGTERM", "SIGKILL", "kernel", "connection")
# What a step leaves on the server, asked of the server itself and without our library.
TRACES = {
    (
        "01_server",
        "Packages",
    ): "command -v dockerd && dpkg-query -W -f '${db:Status-Status}' nginx | grep -qx installed",
    ("01_server", "A person who administers the server"): "id teacher",
    ("01_server", "The hub's own account"): "id jupyterhub",
    (
        "02_hub_lti",
        "Does the present configuration load?",
    ): "test -s /usr/local/lib/hubrun/hubrun_hub/programs/check_config.py",
    ("02_hub_lti", "JupyterHub"): "test -x /opt/jupyterhub/bin/jupyterhub",
    ("02_hub_lti", "The proxy"): "find /opt/jupyterhub/proxy -path '*configurable-http-proxy/package.json' | grep -q .",
    ("02_hub_lti", "Key and secret"): "grep -q ^LTI_CLIENT_SECRET= /etc/jupyterhub/lti.env",
    ("02_hub_lti", "Configuration"): "test -s /etc/jupyterhub/conf.d/25-lti.py",
    ("02_hub_lti", "Two services"): "systemctl is-active -q jupyterhub jupyterhub-proxy",
    ("03_https", "Certificate"): "test -s /etc/letsencrypt/live/*/fullchain.pem",
    ("03_https", "Port 443"): "test -s /etc/nginx/conf.d/jupyterhub-https.conf",
    ("04_docker_spawner", "A network for the students"): "docker network inspect jupyterhub",
    ("04_docker_spawner", "The students' image"): "docker image inspect hubrun-singleuser",
    ("04_docker_spawner", "DockerSpawner"): "test -s /etc/jupyterhub/conf.d/40-docker.py",
}
# What may be said of a run that was ended in this way: by itself, or because the way came at such a moment.
CAUSES = {
    "SIGINT": {"Ctrl-C"},
    "SIGTERM": {"SIGTERM"},
    "SIGKILL": {"killed"},
    "kernel": {"kernel died", "error"},  # error: it died before its first cell
    "connection": {"connection lost", "error"},  # error: it was lost while a runbook logged in
}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    yield from server("killed")


@dataclass
class Story:
    """What has happened so far: which steps some run has begun, and which a run said were done."""

    begun: set[tuple[str, str]] = field(default_factory=set)
    done: set[tuple[str, str]] = field(default_factory=set)

    def add(self, record: Record) -> None:
        for book in record.runbooks:
            for step in book.steps:
                if step.status != "not run":
                    self.begun.add((book.name, step.title))
                if step.status in ("ok", "changed"):
                    self.done.add((book.name, step.title))

    def lies(self, machine: Machine) -> list[str]:
        """Where the records and the server contradict each other, once what the killed step had begun has ended."""
        end = time.monotonic() + 20
        while (found := self._lies(machine)) and time.monotonic() < end:
            time.sleep(1)
        return found

    def _lies(self, machine: Machine) -> list[str]:
        script = "".join(f"if ({test}) >/dev/null 2>&1; then echo yes; else echo no; fi\n" for test in TRACES.values())
        found = dict(zip(TRACES, machine.run(script).split(), strict=True))
        lies = [f"{step} is on record as done, and is not there" for step in self.done if found.get(step) == "no"]
        return lies + [f"no record has begun {step}, and it is there" for step in found.keys() - self.begun if found[step] == "yes"]  # fmt: skip


def kernels(of: int) -> list[int]:
    """The kernels that a runner has started."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ *(\d+) +(\d+) .*ipykernel_launcher", lines, re.MULTILINE)
    return [int(pid) for pid, parent in found if int(parent) == of]


def kill(way: str, running: Running, machine: Machine) -> None:
    if way.startswith("SIG"):
        if running.alive:
            os.kill(running.pid, getattr(signal, way))
    elif way == "kernel":
        # Between two runbooks there may be none, or one that is ending anyway.
        end = time.monotonic() + 30
        while running.alive and time.monotonic() < end:
            for pid in kernels(running.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            running.wait(3)
    else:
        # the sessions, not the daemon that accepts new ones
        machine.run("pkill -KILL -f '^sshd: [^[]' || true")


def check(record: Record, folder: Path) -> None:
    """The notebooks are whole, and say the same as the manifest; what came before the end is done, and nothing after."""
    assert record.status in ("failed", "interrupted", "ok", "changed"), record.status
    books = [book for book in record.runbooks if book.attempt == record.attempt]
    order = [step for book in books for step in book.steps]
    states = ["done" if s.status in ("ok", "changed") else "left" if s.status == "not run" else "broken" for s in order]
    assert re.fullmatch(r"(done )*(broken )?(left )*", " ".join([*states, ""])), [(s.title, s.status) for s in order]
    for book in books:
        path = folder / f"{book.name}.ipynb"
        assert path.exists() == bool(book.file), f"{path}: {book}"
        if path.exists():
            notebook(path, book)


def notebook(path: Path, book: RunbookRecord) -> None:
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    cells = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in cells:
        kept = cell.metadata.hubrun
        assert kept.status != "running"
        assert bool(kept.started) == (kept.status != "not run"), kept
        if kept.status in ("ok", "changed"):
            assert cell.execution_count and not any(output.output_type == "error" for output in cell.outputs)
        if kept.status == "not run":
            assert not cell.outputs and cell.metadata.papermill.status == "pending"


def test_records_of_killed_runs_say_what_the_server_says_and_the_next_run_ends_green(
    machine: Machine, tmp_path: Path
) -> None:
    moments = random.Random(SEED)
    ways = [WAYS[i % len(WAYS)] for i in range(KILLS)]
    moments.shuffle(ways)
    history, story, ended = History(tmp_path, "killed"), Story(), dict.fromkeys(WAYS, 0)
    last: Record | None = None
    for way in ways:
        # Mostly the same run is gone on with, so that the moments come from all of an install, not from its beginning.
        again = last is not None and last.status in ("failed", "interrupted") and moments.random() < 0.8
        running = start("install", machine.site, "--records", tmp_path, *(["--resume"] if again else []))
        after = moments.uniform(1.0, 14.0)
        running.wait(after)
        about = f"seed {SEED}: {way} after {after:.2f} s\n"
        by_itself = not running.alive
        kill(way, running, machine)
        if way == "connection":  # a run that was between two connections goes on, and is none the worse
            running.wait(5)
            if running.alive:
                os.kill(running.pid, signal.SIGTERM)
        result = running.end(120)
        listed = hubrun("records", "list", "--records", tmp_path)
        assert listed.code == 0 or last is None, about + listed.tail
        # A folder without a manifest is of a run that was killed as it made it; the next run takes it away.
        runs = [run for run in history.runs() if (run.folder / manifest.FILE).exists()]
        record = runs[-1].manifest().predicate if runs else None
        if record and (not last or (record.run, record.attempt) != (last.run, last.attempt)):
            check(record, runs[-1].folder)
            story.add(record)
            expected = (
                CAUSES[way] | ({"SIGTERM", ""} if way == "connection" else set()) | ({""} if by_itself else set())
            )
            assert record.cause in expected, about + f"{record.status} {record.cause}: {record.reason}\n" + result.tail
            ended[way] += 1
            last = record
        # Else it was killed before it had begun a record, and so before it had touched anything.
        assert not story.lies(machine), about + result.tail
    assert sum(ended.values()) >= KILLS * 0.5, f"too few runs had begun: {ended}"
    final = hubrun("install", machine.site, "--records", tmp_path, seconds=420)
    assert final.code == 0, f"seed {SEED}\n" + final.tail
    report = verify(history)
    assert report.ok, "\n".join(map(str, report.findings))
    print(f"\nseed {SEED}: {ended}, {len(history.runs())} runs, begun: {len(story.begun)} steps")
