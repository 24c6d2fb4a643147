"""Several sites at once: each in a process of its own, a line of progress for each, one table at the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from hubrun.errors import BadInput
from hubrun.records.ledger.manifest import Cause, Record
from hubrun.records.ledger.summary import duration, what_changed
from hubrun.records.pages.terminal_tables import STYLE
from hubrun.records.run.signals import Stopped, on_signal
from hubrun.redaction.secret import Secret
from hubrun.terminal import Terminal

# In a log a site says at least this often, in seconds, what it does.
SIGN_OF_LIFE = 10


@dataclass
class Job:
    """One site's run. error: the line that says why it did not end well. record: None where none was begun."""

    file: Path
    status: str = "waiting"
    line: str = ""
    error: str = ""
    record: Record | None = None
    manifest: dict[str, Any] | None = None
    process: subprocess.Popen[str] | None = None
    began: float = 0.0
    seconds: float = 0.0
    said: float = field(default_factory=time.monotonic)

    @property
    def went_well(self) -> bool:
        """Whether its run has a record and neither failed nor was stopped."""
        return self.record is not None and self.record.status in ("ok", "changed", "would change")


def run(command: Sequence[str], files: Sequence[Path], options: Sequence[str], at_once: int) -> tuple[int, list[Job]]:
    """Run `./hubrun COMMAND... FILE OPTIONS` for each file, `at_once` of them side by side; a failure stops no other.

    The exit code (1: one failed; 2: in one there is something to do; 0), and what came of each. Raises BadInput for a
    file that is given twice, Stopped after the processes have been told to end and have ended.
    """
    twice = [file for number, file in enumerate(files) if file in files[:number]]
    if twice:
        raise BadInput("is given twice", str(twice[0]), "Name each site once")
    jobs = [Job(file) for file in files]
    console = Terminal(stderr=True)
    stopped: list[Stopped] = []

    def stop(cause: Cause) -> None:
        stopped.append(Stopped(cause))
        for job in jobs:
            _end(job, cause)

    with _shown(console, jobs), on_signal(stop), ThreadPoolExecutor(at_once) as pool:
        for done in [pool.submit(_one, command, job, options, console, stopped) for job in jobs]:
            done.result()
    console.print(_table(jobs))
    for job in jobs:
        if job.error:
            error = job.error.removeprefix(f"{job.file}: ")
            console.print(Text(f"{job.file}: {error}", style="bold red"), soft_wrap=True)
    if stopped:
        raise stopped[0]
    if not all(job.went_well for job in jobs):
        return 1, jobs
    return (2 if any(job.record and job.record.status == "would change" for job in jobs) else 0), jobs


def _one(
    command: Sequence[str], job: Job, options: Sequence[str], console: Terminal, stopped: Sequence[Stopped]
) -> None:
    if stopped:
        job.status = "not run"
        return
    job.status, job.began = "running", time.monotonic()
    job.process = subprocess.Popen(
        [sys.executable, "-m", "hubrun", *command, str(job.file), *options, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        # Ctrl-C reaches it through us, once.
        start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert job.process.stdout and job.process.stderr
    if stopped:  # just now
        _end(job, stopped[0].cause)
    out: list[str] = []
    reader = threading.Thread(target=lambda: out.append(job.process.stdout.read()))  # type: ignore[union-attr]
    reader.start()
    for line in job.process.stderr:
        _hear(job, line.rstrip("\n"), console)
    reader.join()
    code = job.process.wait()
    job.seconds = time.monotonic() - job.began
    with contextlib.suppress(ValueError, KeyError):
        job.manifest = json.loads(out[0])
        job.record = Record.model_validate(job.manifest["predicate"])
    if not job.record:
        job.status = "failed"
        job.error = job.error or f"ended with {code} and no record"
    else:
        job.status = job.record.status
        job.error = "" if job.went_well else job.record.reason


def _end(job: Job, cause: Cause) -> None:
    """Pass on what ended us, so that the record says the same."""
    if job.process and job.process.poll() is None:
        numbers: dict[Cause, signal.Signals] = {"SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
        job.process.send_signal(numbers.get(cause, signal.SIGINT))


def _hear(job: Job, line: str, console: Terminal) -> None:
    text = Secret.redact(line.strip())
    if text.startswith("hubrun: "):
        job.error = text.removeprefix("hubrun: ")
    if text:
        job.line = text
    if not console.is_terminal and (
        text.startswith(("failed", "interrupted")) or time.monotonic() - job.said > SIGN_OF_LIFE
    ):
        job.said = time.monotonic()
        console.print(Text(f"{job.file.stem}: {' '.join(text.split())}"), soft_wrap=True)


@contextlib.contextmanager
def _shown(console: Terminal, jobs: Sequence[Job]) -> Iterator[None]:
    """On a terminal a table that goes along; in a log a first line, and then what `_hear` prints."""
    if not console.is_terminal:
        console.print(f"{len(jobs)} sites: {', '.join(job.file.stem for job in jobs)}", soft_wrap=True)
        yield
        return
    with Live(get_renderable=lambda: _progress(jobs), console=console, refresh_per_second=4, transient=True):
        yield


def _progress(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for job in jobs:
        seconds = job.seconds or (time.monotonic() - job.began if job.began else 0)
        took = duration(seconds) if job.began else ""
        line = Text(" ".join(job.line.split()), no_wrap=True, overflow="ellipsis")
        table.add_row(job.file.stem, Text(job.status, style=STYLE.get(job.status, "dim")), took, line)
    return table


def _table(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("site", "status", "changes", "took", "record"):
        table.add_column(name, overflow="fold")
    for job in jobs:
        record = job.record
        table.add_row(
            record.site if record else job.file.stem,
            Text(job.status, style=STYLE.get(job.status, "")),
            what_changed(record) if record else "",
            duration(job.seconds),
            record.run if record else "none",
        )
    return table
