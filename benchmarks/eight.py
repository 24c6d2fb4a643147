"""Eight sites with nothing to do, at once, over 50 ms, against one."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import yaml
from benchmarks import ours, processes
from benchmarks.figures import Figure
from benchmarks.nothing import DELAY
from benchmarks.proxy import Proxy

from hubrun import params
from hubrun.practice.docker_engine import Say

SITES = 8
LIMIT = 300


def eight(target: ours.Target, rounds: int, say: Say) -> list[Figure]:
    """`./hubrun plan` for eight sites against one. They are eight ways to one server, on which nothing is changed.

    Raises CommandFailed when there is something to do, or it fails.
    """
    with ExitStack() as stack:
        sites = []
        for number in range(SITES):
            proxy = stack.enter_context(Proxy(target.site.ssh_port, DELAY))
            there = target.through(proxy.port)
            values, _ = params.read_yaml(there.site_file)
            there.site_file.write_text(yaml.safe_dump(values | {"site": f"bench-{number + 1}"}))
            sites.append(there)
        one: list[float] = []
        all_of_them: list[float] = []
        for number in range(-1, rounds):  # the first is not counted: in it each site learns what will be asked
            for kept, chosen in ((one, sites[:1]), (all_of_them, sites)):
                words = [sys.executable, "-m", "hubrun", "plan", *(str(there.site_file) for there in chosen)]
                jobs = ["--jobs", str(SITES)] if len(chosen) > 1 else []
                done = processes.run([*words, *jobs, "--records", str(target.records)], LIMIT)
                kept.append(processes.well(done, "hubrun plan").seconds)
            say(f"  round {number + 1}: one {one[-1]:.1f} s, eight {all_of_them[-1]:.1f} s")
    del one[0], all_of_them[0]
    note = "plan, records written; eight ways to one server, so its own work counts eightfold"
    return [Figure("eight sites with nothing to do, over 50 ms: one", all_of_them, one, 2.0, note=note)]
