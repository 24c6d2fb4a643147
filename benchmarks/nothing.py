"""What a converged server costs: time on loopback and over 50 ms, and round trips of each runbook."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from benchmarks import ours, processes
from benchmarks.baselines import Baselines
from benchmarks.figures import Figure
from benchmarks.proxy import Proxy

from hubrun.desired.server import Server
from hubrun.practice.docker_engine import Say
from hubrun.ssh import connection

DELAY = 0.025  # seconds each way
TRIPS_GOAL = 3
ADDED = 5
# A step that is looked at and needs nothing. Its own import: any runbook takes it.
_STEP = 'from hubrun.resources.files import Directory\n\nserver.ensure(Directory("/etc"))'


@dataclass(frozen=True)
class Converged:
    """A server on which nothing is to be done."""

    target: ours.Target
    baselines: Baselines
    say: Say

    def loopback(self, rounds: int) -> list[Figure]:
        """Ours against pyinfra and Ansible."""
        own, pyinfra, ansible = self._in_turn(
            rounds, lambda: ours.install(self.target, converged=True), self.baselines.pyinfra, self.baselines.ansible
        )
        self.say(f"  ours, last round: {ours.parts(self.target)}")
        name = "nothing to do, 01 to 05, record written"
        return [Figure(f"{name}: pyinfra", own, pyinfra, 1.0), Figure(f"{name}: Ansible", own, ansible, 0.25)]

    def delayed(self, rounds: int) -> list[Figure]:
        """Ours against pyinfra, with 50 ms of round trip."""
        with Proxy(self.target.site.ssh_port, DELAY) as proxy:
            there = self.target.through(proxy.port)
            others = self.baselines.through(there)
            counts: list[str] = []

            def counted(run: Callable[[], processes.Done]) -> processes.Done:
                done = run()
                connections = proxy.take()
                counts.append(f"{sum(trips.count for trips in connections)} on {len(connections)} connections")
                return done

            own, other = self._in_turn(
                rounds,
                lambda: counted(lambda: ours.install(there, converged=True)),
                lambda: counted(others.pyinfra),
            )
        note = f"round trips on the wire, logins included: {counts[-2]}; pyinfra {counts[-1]}"
        return [Figure("the same over 50 ms: pyinfra", own, other, 0.45, note=note)]

    def trips(self) -> list[Figure]:
        """Round trips of each runbook in a run of its own, the second of two. What a login costs is taken off and shown apart,
        and so is what the run itself asks over it: what the server is, and what is installed there."""
        with Proxy(self.target.site.ssh_port, DELAY) as proxy:
            there = self.target.through(proxy.port)
            login = self._login(there, proxy)
            figures = [Figure("round trips of an SSH login", [login], unit="")]
            with tempfile.TemporaryDirectory(dir=there.folder) as folder:
                own = self._count(there, proxy, without_steps(Path(folder))) - login
                figures.append(Figure("round trips of the run itself, without the login", [own], unit=""))
                counts = {}
                for book in ours.RUNBOOKS:
                    self.say(f"counting the round trips of {book.stem}")
                    counts[book] = self._count(there, proxy, book) - login - own
                    title = f"round trips of {book.stem}, without the login"
                    figures.append(Figure(title, [counts[book]], goal=TRIPS_GOAL, unit=""))
                first = ours.RUNBOOKS[0]
                longer = with_steps(first, ADDED, Path(folder))
                more = self._count(there, proxy, longer) - login - own - counts[first]
            figures.append(Figure(f"round trips added to {first.stem} by {ADDED} more steps", [more], goal=0, unit=""))
        return figures

    def _login(self, there: ours.Target, proxy: Proxy) -> int:
        connection.open(there.site).connection.close()
        return sum(trips.count for trips in proxy.take())

    def _count(self, there: ours.Target, proxy: Proxy, book: Path) -> int:
        """Those of a run with this runbook alone, on its one connection."""
        for _ in range(2):  # what the first asks, the second asks ahead
            proxy.take()
            ours.install(there, converged=True, books=[book])
        (trips,) = proxy.take()
        return trips.count

    def _in_turn(self, rounds: int, *runs: Callable[[], processes.Done]) -> list[list[float]]:
        """The seconds of each, one after another and then again, so that a noisy machine disturbs all alike."""
        seconds: list[list[float]] = [[] for _ in runs]
        for number in range(rounds):
            for kept, once in zip(seconds, runs, strict=True):
                kept.append(once().seconds)
            self.say(f"  round {number + 1}: " + ", ".join(f"{kept[-1]:.1f} s" for kept in seconds))
        return seconds


def without_steps(folder: Path) -> Path:
    """A runbook that asks nothing."""
    parameters = nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(
        cells=[parameters, nbformat.v4.new_code_cell("pass")], metadata={"kernelspec": kernel}
    )
    path = folder / "01_nothing.ipynb"
    nbformat.write(book, path)
    return path


def with_steps(notebook: Path, number: int, folder: Path) -> Path:
    """A copy of a runbook with so many more steps before its summary."""
    book = nbformat.read(notebook, as_version=4)
    for _ in range(number):
        book.cells.insert(len(book.cells) - 2, nbformat.v4.new_code_cell(_STEP))
    path = folder / notebook.name
    nbformat.write(book, path)
    return path


def prepare(server: Server) -> None:
    """What Ansible's modules for packages need on a server, and would install themselves."""
    server.run("apt-get install -y -q --no-install-recommends python3-apt python3-packaging", seconds=300)
