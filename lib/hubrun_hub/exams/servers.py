"""Servers that run, and which of them are not as an exam wants them. Pure, but for what Docker and the hub are asked."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..courses import exam_schedule as schedule
from ..docker_command import environment, nodes
from ..nodes.nodes_file import MANAGER

DATABASE = Path("/var/lib/jupyterhub/jupyterhub.sqlite")
_SECONDS = 120
# For a node that hangs an exam does not wait long.
_NODE_S = 20
_GROUPS = """SELECT users.name, groups.name, groups.properties FROM users
    JOIN user_group_map ON user_group_map.user_id = users.id JOIN groups ON groups.id = user_group_map.group_id"""
_LABELS = '{{index .Config.Labels "hubrun.student"}}'
_FORMAT = f'{{{{.Id}}}} {{{{index .Config.Labels "{schedule.LABEL}"}}}}|{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}|{_LABELS}'


class Server(NamedTuple):
    """A student's container that runs. exam: its label, "" for none. node: where, of which in an exam it is the manager alone."""

    container: str
    exam: str
    address: str
    user: str
    node: str = MANAGER


def running() -> list[Server]:
    """All that run, on nodes that answer too. Raises OSError, SubprocessError, Failed when the manager's Docker does not answer."""
    names = nodes()
    with ThreadPoolExecutor(len(names) + 1) as pool:
        there = [pool.submit(_running_on, name) for name in names]
        return [*_running(MANAGER), *(server for each in there for server in each.result())]


def _running_on(node: str) -> list[Server]:
    try:
        return _running(node)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        # Its servers reach neither the hub nor their files; the exam of everybody else begins.
        print(f"<4>node {node} is away: {error!r}"[:300], file=sys.stderr)
        return []


def _running(node: str) -> list[Server]:
    ids = _docker("ps", "-q", "--no-trunc", "--filter", "label=hubrun.student", node=node).splitlines()
    # One that has ended since is left out, and so is one that has no address any more.
    lines = _docker("inspect", "-f", _FORMAT, *ids, node=node, check=False).splitlines() if ids else []
    return [server._replace(node=node) for server in map(parsed, lines) if server.address]


def parsed(line: str) -> Server:
    """A line of Docker's answer. Raises ValueError for one that is none: of a node it is what that one likes to say."""
    rest, address, user = line.split("|", 2)
    container, exam = rest.split(" ", 1)
    return Server(container, "" if exam == "<no value>" else exam, address, user)


def stop(servers: Collection[Server]) -> None:
    """End them, many at a time; the hub finds that by itself. Raises OSError, SubprocessError, once all others are asked."""
    of = {each.node: [other.container for other in servers if other.node == each.node] for each in servers}
    with ThreadPoolExecutor(max(len(of), 1)) as pool:
        ended = [pool.submit(_docker, "stop", "-t", "5", *ids, node=node, check=False) for node, ids in of.items()]
    for each in ended:
        each.result()


def _docker(*words: str, node: str, check: bool = True) -> str:
    seconds = _SECONDS if node == MANAGER else _NODE_S
    command = ["docker", *words]
    done = subprocess.run(
        command, env=environment(node), stdout=subprocess.PIPE, text=True, check=check, timeout=seconds
    )
    return done.stdout


def people(database: Path = DATABASE) -> dict[str, list[schedule.Group]]:
    """User of the hub → their groups, by its database. Raises sqlite3.Error, ValueError."""
    found: dict[str, list[schedule.Group]] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        for user, group, says in connection.execute(_GROUPS):
            found.setdefault(user, []).append((group, json.loads(says or "{}") or {}))
    return found


def misplaced(
    servers: Iterable[Server], groups: Mapping[str, list[schedule.Group]], site: Mapping[str, Any], now: datetime
) -> list[Server]:
    """Those whose person sits in another exam than their server is in: in one and not in it, or the other way round."""
    found = []
    for server in servers:
        sits = schedule.sits_in(site, groups.get(server.user, ()), server.user, now)
        if server.exam != (sits[0].key if sits else ""):
            found.append(server)
    return found
