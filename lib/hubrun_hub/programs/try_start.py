"""Starts a student's server as a launch does, through the hub itself, and stops it again.

ENV_FILE URL: the file with the token of the service that may do so for one test user, and the hub's address. Prints
what the hub said, and ends with 1, when no server came. It is run by root, with the hub's Python.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from dotenv import dotenv_values  # type: ignore[import-not-found]

USER = "hubruntest1"
_SECONDS = 300


def main(env_file: str, url: str) -> int:
    """Return the exit code."""
    token = dotenv_values(env_file)["HUBRUN_VERIFY_TOKEN"]

    def call(method: str, path: str, *known: int) -> Any:
        request = urllib.request.Request(
            f"{url}/hub/api{path}", method=method, headers={"Authorization": f"token {token}"}
        )
        try:
            return urllib.request.urlopen(request, timeout=_SECONDS)  # nosec B310 - the hub on loopback
        except urllib.error.HTTPError as error:
            if error.code in known:
                return error
            sys.exit(f"{method} {path}: {error.code} {error.read()[:300].decode(errors='replace')}")

    def stop() -> None:
        until = time.monotonic() + _SECONDS
        while call("DELETE", f"/users/{USER}/server", 400, 404).status != 204 and time.monotonic() < until:
            # 202: it is being stopped; 400: it is starting, being stopped, or not there.
            if not json.load(call("GET", f"/users/{USER}")).get("servers"):
                return
            time.sleep(1)

    call("POST", f"/users/{USER}", 409)
    stop()
    last: dict[str, Any] = {}
    until = time.monotonic() + _SECONDS
    try:
        call("POST", f"/users/{USER}/server", 400, 500, 503)
        for line in call("GET", f"/users/{USER}/server/progress", 400, 404):
            if line.startswith(b"data: "):
                last = json.loads(line.removeprefix(b"data: "))
            if last.get("ready") or last.get("failed") or time.monotonic() > until:
                break
    finally:
        stop()
        call("DELETE", f"/users/{USER}", 404)
    if not last.get("ready"):
        print(last.get("message") or "the hub said nothing of the start")
    return 0 if last.get("ready") else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
