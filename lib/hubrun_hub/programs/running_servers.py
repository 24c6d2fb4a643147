"""Prints a line for each student's server that runs: "server", its image, its container, its idle minutes, the image's name, its user.

Image and container are Docker's ids; one on a node has the node's name and "/" before it. A node that does not answer is passed
over. Root's: it asks Docker itself, and reads the hub's database. -1 minutes: not known. Who
has several servers is idle in none of them while at work in one.
"""

import sqlite3
import sys
from contextlib import closing
from datetime import datetime, timezone

from hubrun_hub.docker_command import docker, engines
from hubrun_hub.failed import Failed
from hubrun_hub.nodes.nodes_file import MANAGER

DATABASE = "/var/lib/jupyterhub/jupyterhub.sqlite"
_SECONDS = 60
_FORMAT = '{{.Image}} {{.Id}} {{.Config.Image}} {{index .Config.Labels "hubrun.student"}}'


def idle_minutes(database: str, now: datetime) -> dict[str, int]:
    """User of the hub → for how many minutes their servers, which run, were idle. now: in UTC, without a zone."""
    query = """SELECT users.name, max(spawners.last_activity) FROM spawners JOIN users ON users.id = spawners.user_id
        WHERE spawners.server_id IS NOT NULL AND spawners.last_activity IS NOT NULL GROUP BY users.name"""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
            rows = connection.execute(query).fetchall()
    except sqlite3.Error as error:
        print(f"{database}: {error}", file=sys.stderr)
        return {}
    return {name: int((now - datetime.fromisoformat(at)).total_seconds() // 60) for name, at in rows}


def _docker(*words: str, node: str) -> list[str]:
    try:
        return docker(*words, node=node, seconds=_SECONDS).splitlines()
    except Failed as error:  # one of them may have ended meanwhile
        print(error, file=sys.stderr)
        return []


def main() -> None:
    """Print the lines."""
    idle = idle_minutes(DATABASE, datetime.now(timezone.utc).replace(tzinfo=None))  # noqa: UP017 - as in lti/launch_handler.py
    for node in engines():
        containers = _docker("ps", "-q", "--no-trunc", "--filter", "label=hubrun.student", node=node)
        for line in _docker("inspect", "-f", _FORMAT, *containers, node=node) if containers else ():
            image, container, name, user = line.split(" ", 3)
            where = container if node == MANAGER else f"{node}/{container}"
            print("server", image, where, idle.get(user, -1), name, user)


if __name__ == "__main__":
    main()
