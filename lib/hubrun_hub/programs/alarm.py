"""Looks at the server and tells the operator what is trouble: DOMAIN SETTINGS [--test]. Run by root, by hubrun-watch.timer.

SETTINGS: the file that says where to (watching/sending.py); where there is none, nothing is done. --test: send a message
that says that it is a test.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hubrun_hub.watching import alarms, kept, sending
from hubrun_hub.watching.judge import judge
from hubrun_hub.watching.seen import look


def tell(seen: dict[str, Any], before: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Send what there is to say, and return what to keep: error, why it was not sent, and the troubles."""
    found = alarms.look(before.get("troubles", {}), judge(seen), seen["at"], whole=not seen["unread"])
    if not (found.say or found.over):
        # An error stays until something arrives.
        return {"error": before.get("error", ""), "troubles": found.state}
    try:
        sending.send(settings, *alarms.message(settings["domain"], found))
    except sending.NotSent as error:
        return {"error": str(error), "troubles": found.state}
    return {"error": "", "troubles": alarms.told(found, seen["at"])}


def main(domain: str, file: str, *option: str) -> int:
    """Return the exit code: 1 when something was to be sent and did not arrive."""
    try:
        settings = json.loads(Path(file).read_text())
    except FileNotFoundError:
        kept.forget("alarms")
        return 0
    before = kept.read("alarms") or {}
    if option == ("--test",):
        text = "This is a test: alarms of this server arrive here. There is nothing to do."
        try:
            sending.send(settings, f"{domain}: a test", text)
            after = {**before, "error": ""}
        except sending.NotSent as error:
            after = {**before, "error": str(error)}
    else:
        after = tell(look(domain), before, settings)
    kept.write("alarms", after)
    if after["error"]:
        print(f"not sent: {after['error']}")
    return 1 if after["error"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
