"""Autogrades for the server: see `nbgrader.by_server`. It is run in a course's folder, and reads one line of JSON:
{"assignment": …, "users": […], "feedback": …}. What comes of it is said in lines that begin with `MARK`, and JSON."""

import json
import sys
from collections.abc import Mapping

from hubrun_student.nbgrader import by_server

MARK = "hubrun-autograde: "


def say(what: Mapping[str, str]) -> None:
    """Tell it."""
    print(MARK + json.dumps(what), flush=True)


if __name__ == "__main__":
    job = json.loads(sys.stdin.readline())
    by_server.grade(by_server.api(), job["assignment"], job["users"], job["feedback"], say)
