"""Who is who, for the operator: PEOPLE HUB COURSES list | look ONE INTO | join ONE INTO. Prints JSON; run by root."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from hubrun_hub.joining import homes
from hubrun_hub.joining.failed import Failed
from hubrun_hub.lti import people_file


def everybody(places: homes.Places) -> dict[str, Any]:
    """The people with what is kept of them, and the users of the hub whom nobody owns. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{places.hub.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        users = {name for (name,) in db.execute("SELECT name FROM users")}
    found: dict[int, dict[str, Any]] = {}
    if places.people.exists():
        with closing(sqlite3.connect(f"{places.people.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            people_file.check_present(db)
            for number, user, since in db.execute("SELECT number, user, since FROM person"):
                found[number] = {"user": user, "since": since, "ids": [], "fields": []}
            for number, *known in db.execute("SELECT person, consumer, version, field, value FROM stable_id"):
                found[number]["ids"].append(known)
            for number, *known in db.execute("SELECT person, consumer, field, value, compared, seen FROM field"):
                found[number]["fields"].append(known)
    everybody = sorted(found.values(), key=lambda each: str(each["user"]))
    return {"people": everybody, "unowned": sorted(users - {each["user"] for each in everybody})}


def main(file: str, hub: str, courses: str, command: str, *users: str) -> dict[str, Any]:
    """Do what is asked; the answer, {"error": …} when it failed."""
    places = homes.Places(Path(file), Path(hub), Path(courses))
    try:
        if command == "list":
            return everybody(places)
        one, into = users
        if command == "look":
            return homes.look(places, one, into)._asdict()
        homes.join(places, one, into)
        return {}
    except KeyError as error:
        return {"error": f"{file}: it is damaged (it knows something of person {error}, and not who that is)"}
    except (Failed, sqlite3.Error, OSError, subprocess.SubprocessError, ValueError) as error:
        return {"error": str(error) if isinstance(error, Failed) else f"{file}: {error}"}


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
