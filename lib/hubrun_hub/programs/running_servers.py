"""Prints a line for each student's server that runs: "server", its image, its container, its idle minutes, the image's name, its user.

Image and container are Docker's ids. Root's: it asks Docker itself, and reads the hub's database. -1 minutes: not known. Who
has several servers is idle in none of them while at work in one.
"""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timezone

DATABASE = "/var/lib/jupyterhub/jupyterhub.sqlite"
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


def _docker(*words: str) -> list[str]:
    done = subprocess.run(["docker", *words], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.splitlines()


def main() -> None:
    """Print the lines."""
    containers = _docker("ps", "-q", "--no-trunc", "--filter", "label=hubrun.student")
    idle = idle_minutes(DATABASE, datetime.now(timezone.utc).replace(tzinfo=None))  # noqa: UP017 - as in lti/launch_handler.py
    for line in _docker("inspect", "-f", _FORMAT, *containers) if containers else ():
        image, container, name, user = line.split(" ", 3)
        print("server", image, container, idle.get(user, -1), name, user)


if __name__ == "__main__":
    main()
