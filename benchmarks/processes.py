"""Whole processes: how long one takes, and how much memory it and its children take at most."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

from typing_extensions import override

from hubrun.environment import PROJECT
from hubrun.errors import CommandFailed

SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class Done:
    """What became of a process. peak_mb: highest memory of it and its descendants together, 0 when not watched.

    first, still: seconds until it said something, and the longest time in which it said nothing. cpu: seconds of a processor
    that it and its descendants used, as far as they were waited for (getrusage(2), RUSAGE_CHILDREN).
    """

    seconds: float
    exit_code: int
    output: str
    peak_mb: float = 0.0
    cut_short: bool = False
    first: float = 0.0
    still: float = 0.0
    cpu: float = 0.0


def run(
    command: Sequence[str | Path],
    limit: float,
    *,
    env: Mapping[str, str] | None = None,
    data: bytes = b"",
    watch: bool = False,
) -> Done:
    """Run a command from the project's folder, with `data` as its standard input.

    limit: seconds, after which it is ended. watch: sample its memory. Output: standard output, then standard error.
    """
    began, used = time.monotonic(), _cpu_of_children()
    process = subprocess.Popen(
        list(map(str, command)), cwd=PROJECT, env={**os.environ, **(env or {})}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    watcher = Watcher(process.pid) if watch else None
    ears = [Ear(process.stdout), Ear(process.stderr)]
    cut_short = False
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(data)
            process.stdin.close()
        process.wait(limit)
    except subprocess.TimeoutExpired:
        cut_short = True
        _end(process)
    except BaseException:
        _end(process)
        raise
    finally:
        took, used = time.monotonic() - began, _cpu_of_children() - used
        peak = watcher.stop() if watcher else 0.0
    for ear in ears:
        ear.join(15)
    times = sorted([began, *ears[0].times, *ears[1].times, began + took])
    still = max(later - earlier for earlier, later in pairwise(times))
    output = b"".join(ears[0].heard + ears[1].heard).decode(errors="replace")
    return Done(took, process.returncode, output, peak, cut_short, first=times[1] - began, still=still, cpu=used)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def well(done: Done, what: str) -> Done:
    """`done`, when it ended with 0. Raises CommandFailed otherwise."""
    if done.cut_short:
        raise CommandFailed(f"did not end within {done.seconds:.0f} s", what, detail=done.output)
    if done.exit_code:
        raise CommandFailed(f"it ended with {done.exit_code}", what, detail=done.output)
    return done


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads its own session, and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
            return


class Ear(threading.Thread):
    """Reads a stream to its end, and notes when each piece came."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.heard: list[bytes] = []
        self.times: list[float] = []
        self.start()

    @override
    def run(self) -> None:
        while piece := self.stream.read1(1 << 16):  # type: ignore[attr-defined]
            self.heard.append(piece)
            self.times.append(time.monotonic())


class Watcher(threading.Thread):
    """Samples the memory of a process and its descendants.

    Proportional set size (proc(5), /proc/PID/smaps_rollup): what several of them share is counted once.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mb = pid, 0.0
        self._over = threading.Event()
        self.start()

    @override
    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.peak_mb = max(self.peak_mb, sum(map(pss_mb, family(self.pid))))

    def stop(self) -> float:
        self._over.set()
        self.join(5)
        return self.peak_mb


def family(pid: int) -> set[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # proc(5): the name in brackets may hold anything, brackets too; state and parent stand behind the last one
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += children.get(one, [])
    return found


def cpu_s(pid: int) -> float:
    """Seconds of a processor that the process has used, and its children that have ended (proc(5), /proc/PID/stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """Proportional set size in MB; 0 for a process that has ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0
