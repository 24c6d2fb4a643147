"""`./hubrun bench`: all figures, each beside its baseline from the same run.

    python -m benchmarks.run [--quick] [--only NAME]… [--long]

Makes practice servers of its own (bench, bench-guide) and takes them down; `many` needs none. Everything else that is measured runs on
this machine too and shares its processors, the servers included: the ratios say more than the seconds. Ends with 1 when
a figure could not be measured, a goal that is missed is only shown.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import baselines, install, launch, many, ours, processes, state
from benchmarks.eight import eight
from benchmarks.figures import Figure, table
from benchmarks.nothing import Converged, prepare
from rich.console import Console

from hubrun import practice
from hubrun.desired.server import Server
from hubrun.errors import HubrunError
from hubrun.practice import practice_server as practice_servers
from hubrun.redaction.secret import Secret

PARTS = ("install", "memory", "progress", "nothing", "delayed", "trips", "verify", "eight", "launch", "class", "many")
QUICK_SECONDS = 540  # with this, what ends last is over within 10 minutes
MEMORY_GOAL_MB = 500
INSTALL_GOAL = 0.5
NAMES = ("bench", "bench-guide")


@dataclass(frozen=True)
class Rounds:
    """How often each part is measured."""

    install: int = 3
    nothing: int = 5
    delayed: int = 3
    eight: int = 3
    launch: int = 5


QUICK = Rounds(install=1, nothing=1, delayed=1, eight=1, launch=1)


@dataclass
class Bench:
    """One run of the benchmark. only: names of PARTS. long: `many` with 5,000 people."""

    only: Sequence[str]
    quick: bool
    long: bool = False
    console: Console = field(default_factory=lambda: Console(stderr=True, soft_wrap=True))
    figures: dict[str, list[Figure]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def rounds(self) -> Rounds:
        return QUICK if self.quick else Rounds()

    def say(self, text: str) -> None:
        self.console.print(f"[{time.monotonic() - self.began:4.0f} s] {Secret.redact(text)}", markup=False)

    def run(self) -> list[Figure]:
        """Every figure that was asked for, in the order of PARTS; one that failed says why."""
        self._many()
        if set(self.only) != {"many"}:
            self._on_servers()
        return [figure for name in PARTS for figure in self.figures.get(name, [])]

    def _many(self) -> None:
        if self.quick:
            self._leave_out("many", "many people: left out with --quick")
            return
        with tempfile.TemporaryDirectory(prefix="hubrun-bench-") as folder:
            Path(folder).chmod(0o711)  # PostgreSQL's account has a folder in it
            steps = many.LONG if self.long else many.STEPS
            self._measure("many", lambda: many.measure(Path(folder), self.say, steps))

    def _on_servers(self) -> None:
        """The parts that need practice servers."""
        programs = baselines.environment(self.say)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubrun-bench-")))
            target = stack.enter_context(ours.server(NAMES[0], folder, self.say))
            guide = None
            if "install" in self.only and not self.quick:
                guide = stack.enter_context(ours.server(NAMES[1], folder, self.say))
            self._installs(target, guide)
            server = stack.enter_context(Server.connect(target.site))
            if {"nothing", "delayed", "trips"} & set(self.only):
                prepare(server)
                data = state.fetch(server, ours.labels(ours.last_run(target)), folder)
                compared = baselines.Baselines(programs, state.keep(data, folder), target)
                self.say("left to us alone, in favour of pyinfra and Ansible: " + "; ".join(data["left_out"]))
                converged = Converged(target, compared, self.say)
                self._measure("nothing", lambda: converged.loopback(self.rounds.nothing))
                self._measure("delayed", lambda: converged.delayed(self.rounds.delayed))
                self._measure("trips", converged.trips)
            launches = launch.Launches(server, practice_servers.load(NAMES[0]).address, self.say)
            self._measure("launch", lambda: launches.one(self.rounds.launch))
            if self.quick:
                self._leave_out("verify", "06_verify: left out with --quick")
                self._leave_out("class", "a hundred students at once: left out with --quick")
                self._leave_out("eight", "eight servers: left out with --quick")
            else:
                self._measure("verify", lambda: [Figure("06_verify, apart", [ours.verify(target).seconds])])
                self._measure("eight", lambda: eight(target, self.rounds.eight, self.say))
                self._measure("class", launches.of_a_class)
            if "install" in self.only and self.quick:
                guide = stack.enter_context(ours.server(NAMES[1], folder, self.say))
                self._guide_once(guide)

    # -- the parts

    def _installs(self, target: ours.Target, guide: ours.Target | None) -> None:
        """The first install makes the converged server that the other parts need: a failure of it ends the run."""
        seconds: list[float] = []
        peaks: list[float] = []
        bare: list[float] = []
        first: list[float] = []
        still: list[float] = []
        for number in range(self.rounds.install if guide else 1):
            if number:
                practice.reset(NAMES[0], self.say)
            self.say("installing a fresh server: ours")
            done = ours.install(target, converged=False, watch=True)
            seconds.append(done.seconds)
            peaks.append(done.peak_mb)
            first.append(done.first)
            still.append(done.still)
            self.say(f"  {done.seconds:.1f} s, peak of {done.peak_mb:.0f} MB: {ours.parts(target)}")
            if guide:
                if number:
                    practice.reset(NAMES[1], self.say)
                self.say("installing a fresh server: the guide's commands")
                bare.append(self._guide(guide, install.GUIDE_LIMIT).seconds)
        note = "proportional set size of all its processes, sampled four times a second"
        peak = Figure(
            "memory of the operator's side during an install", peaks, goal=MEMORY_GOAL_MB, unit="MB", note=note
        )
        if "progress" in self.only:
            self.figures["progress"] = [
                Figure("first sign of progress of an install", first, goal=1),
                Figure("longest time without a sign of progress, into a log", still, goal=10),
            ]
        if "memory" in self.only:
            self.figures["memory"] = [peak]
        self.figures["install"] = [Figure(_INSTALL, seconds, bare, INSTALL_GOAL)] if "install" in self.only else []

    def _guide(self, target: ours.Target, limit: float) -> processes.Done:
        done = install.guide(target, limit)
        self.say(f"  {done.seconds:.1f} s: {install.parts(done.output)}")
        return done

    def _guide_once(self, guide: ours.Target) -> None:
        """With --quick: the guide's commands come last and are cut short when the time is over; then it is a bound."""
        (figure,) = self.figures["install"]
        left = QUICK_SECONDS - (time.monotonic() - self.began)

        def measured() -> list[Figure]:
            if left < min(figure.ours):
                return [
                    Figure(
                        _INSTALL, figure.ours, goal=INSTALL_GOAL, missing="no time was left for the guide's commands"
                    )
                ]
            self.say(f"installing a fresh server: the guide's commands, for at most {left:.0f} s")
            done = self._guide(guide, left)
            note = "the guide's commands had not ended" if done.cut_short else ""
            return [Figure(_INSTALL, figure.ours, [done.seconds], INSTALL_GOAL, note=note, at_least=done.cut_short)]

        self._measure("install", measured)

    def _measure(self, name: str, measure: Callable[[], list[Figure]]) -> None:
        if name not in self.only:
            return
        self.say(f"measuring: {name}")
        try:
            self.figures[name] = measure()
        except HubrunError as error:
            self.say(str(error) + "".join(f"\n    {line}" for line in error.detail.splitlines()[-20:]))
            self._leave_out(name, str(error))

    def _leave_out(self, name: str, why: str) -> None:
        if name in self.only:
            self.figures[name] = [Figure(name, missing=why)]


_INSTALL = "install of a fresh server, 01 to 05, image and certificate: the guide's commands"


def machine() -> str:
    """This machine and the day, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{datetime.date.today()}, {os.cpu_count()} CPUs, {memory:.0f} GB, {platform.platform(terse=True)}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="./hubrun bench", description="Measure, each figure beside its baseline.")
    parser.add_argument("--quick", action="store_true", help="one round of each, within 10 minutes")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be given more than once")
    parser.add_argument(
        "--long", action="store_true", help="many: up to 5,000 people and 1,000 servers, an hour or more"
    )
    options = parser.parse_args()
    bench = Bench(options.only or PARTS, options.quick, options.long)
    try:
        figures = bench.run()
    except HubrunError as error:
        detail = "".join(f"\n    {line}" for line in error.detail.splitlines()[-20:])
        sys.exit(Secret.redact(f"hubrun bench: {error}{detail}"))
    except KeyboardInterrupt:
        sys.exit(130)
    Console(width=None if sys.stdout.isatty() else 140).print(table(figures, machine()))
    bench.say("done")
    sys.exit(1 if any(figure.verdict == "not measured" and not bench.quick for figure in figures) else 0)


if __name__ == "__main__":
    main()
