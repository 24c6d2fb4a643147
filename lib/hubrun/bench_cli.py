"""`./hubrun bench`: the benchmarks of a checkout (benchmarks/)."""

from __future__ import annotations

import os
import sys

import click

from hubrun.errors import BadInput
from hubrun.notebook import PROJECT

# What benchmarks/run.py measures; it is not imported here: an installed hubrun has no benchmarks.
PARTS = ("install", "memory", "progress", "nothing", "delayed", "trips", "verify", "eight", "launch", "class")


@click.command(hidden=True)
@click.option("--quick", is_flag=True, help="One round of each, within 10 minutes.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="This part alone; may be given more than once.")
def bench(quick: bool, only: tuple[str, ...]) -> None:
    """Measure how fast it is: each figure beside its baseline from the same run, on practice servers of its own."""
    if not (PROJECT / "benchmarks" / "run.py").is_file():
        raise BadInput("there are no benchmarks here", str(PROJECT), "Run it from a checkout of the project")
    words = [*(["--quick"] if quick else []), *(word for name in only for word in ("--only", name))]
    os.chdir(PROJECT)
    # In our place: after Ctrl-C it takes its practice servers down, and nobody may end it before.
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks.run", *words])
