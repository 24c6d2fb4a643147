"""Who is who, for the operator: PEOPLE HUB COURSES list | look ONE INTO | join ONE INTO. Prints JSON; run by root."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from hubrun_hub.failed import Failed
from hubrun_hub.joining import homes
from hubrun_hub.lti import people_file


def main(file: str, hub: str, courses: str, command: str, *users: str) -> dict[str, Any]:
    """Do what is asked; the answer, {"error": …} when it failed."""
    places = homes.Places(Path(file), Path(hub), Path(courses))
    try:
        if command == "list":
            return people_file.everybody(places.people, places.hub)
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
