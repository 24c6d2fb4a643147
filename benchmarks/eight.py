"""Eight sites with nothing to do, at once, over 50 ms, against one."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from io import StringIO

import yaml
from benchmarks import ours, processes
from benchmarks.figures import Figure
from benchmarks.nothing import DELAY
from benchmarks.proxy import Proxy
from benchmarks.stand_in import StandIn
from paramiko import Ed25519Key

from hubrun import params
from hubrun.desired.server import Server
from hubrun.practice.docker_engine import Say

SITES = 8
LIMIT = 300
_LEARN = 3  # rounds that are not counted: what is asked, what is asked ahead then, and whether all of it is known


def eight(target: ours.Target, rounds: int, say: Say) -> list[Figure]:
    """`./hubrun plan` for eight sites against one. Each leads to a stand-in, which repeats the answers of the one server.

    Raises CommandFailed when there is something to do, or it fails.
    """
    with Server.connect(target.site) as real:
        # What is on the server names its key, so the stand-ins must have it: a practice server's, for as long as this lasts.
        key = Ed25519Key.from_private_key(StringIO(real.run("cat /etc/ssh/ssh_host_ed25519_key").stdout))
    with ExitStack() as stack:
        sites, servers = [], []
        for number in range(SITES):
            server = stack.enter_context(StandIn(target.site, key))
            proxy = stack.enter_context(Proxy(server.port, DELAY))
            there = target.through(proxy.port)
            values, _ = params.read_yaml(there.site_file)
            there.site_file.write_text(yaml.safe_dump(values | {"site": f"bench-{number + 1}"}))
            sites.append(there)
            servers.append(server)
        for _ in range(_LEARN):
            for site in sites:  # one after another, so that each answer takes as long as it does on a quiet server
                _plan(target, [site])
        learnt = sum(server.unknown for server in servers)
        one: list[processes.Done] = []
        every: list[processes.Done] = []
        for number in range(rounds):
            one.append(_plan(target, sites[:1]))
            every.append(_plan(target, sites))
            say(f"  round {number + 1}: one {one[-1].seconds:.1f} s, eight {every[-1].seconds:.1f} s")
        unknown = sum(server.unknown for server in servers) - learnt
    name = f"{SITES} sites with nothing to do, over 50 ms"
    note = f"plan, records written; recorded answers, but for {unknown} of {sum(server.asked for server in servers)}"
    further = [(all_.cpu - single.cpu) / (SITES - 1) for all_, single in zip(every, one, strict=True)]
    return [
        Figure(f"{name}: one", [done.seconds for done in every], [done.seconds for done in one], 2.0, note=note),
        Figure("processor-seconds of the operator's side for each further site: the first", further, [done.cpu for done in one]),
    ]  # fmt: skip


def _plan(target: ours.Target, sites: list[ours.Target]) -> processes.Done:
    words = [sys.executable, "-m", "hubrun", "plan", *(str(there.site_file) for there in sites)]
    jobs = ["--jobs", str(SITES)] if len(sites) > 1 else []
    return processes.well(processes.run([*words, *jobs, "--records", str(target.records)], LIMIT), "hubrun plan")
