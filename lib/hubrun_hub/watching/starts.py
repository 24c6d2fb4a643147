"""How students' servers started of late, by what JupyterHub and our spawner write into the hub's log. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# journalctl -o short-unix: when, host, program; then the hub's own mark (jupyterhub/app.py, _log_format_default).
_LINE = re.compile(r"(?P<at>\d+\.\d+) \S+ \S+ \[[A-Z] \S+ \S+ \S+ \S+\] (?P<text>.*)")
_STARTED = re.compile(r"User (?P<user>\S+) took (?P<seconds>[\d.]+) seconds to start")
# JupyterHub's own sentences (jupyterhub/user.py, User.spawn and _wait_up), and those of starting/spawner.py and
# lti/authenticator.py, which come first and say more.
_FAILED = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<user>\S+) (?P<why>ended at its start \(.*\))\. Its last lines:",
        r"(?P<user>\S+) does not start: (?P<why>.*)",
        r"(?P<user>\S+) is not started: (?P<why>.*)",
        r"(?:Error|Unhandled error) starting (?P<user>\S+)'s server: (?P<why>.*)",
        r"Not starting (?P<user>\S+)'s server \S*: (?P<why>.*)",
        r"(?P<user>\S+)'s server (?P<why>failed to start in \d+ seconds)",
        r"(?P<user>\S+)'s server (?P<why>never showed up at .*)",
        r"Unhandled error waiting for (?P<user>\S+)'s server to show up at (?P<why>.*)",
    )
)
# For journalctl's --grep, which finds the few of them among all requests; without an upper-case letter it takes both.
GREP = (
    "seconds to start$|ended at its start|does not start: |is not started: |error starting |not starting |failed to start in "
    "|never showed up at |error waiting for "
)
# One start that fails says so in several lines.
_SAME_S = 10


class Start(NamedTuple):
    """One start of a server: when (seconds since 1970), whose, how long it took; why: of one that failed."""

    at: float
    user: str
    ok: bool
    seconds: float = 0.0
    why: str = ""


def starts(lines: Iterable[str]) -> list[Start]:
    """The starts that the journal's lines (short-unix, in their order) tell of, the newest last."""
    found: list[Start] = []
    for line in lines:
        if not (parts := _LINE.match(line)):
            continue
        at, text = float(parts["at"]), parts["text"]
        if started := _STARTED.match(text):
            found.append(Start(at, started["user"], True, float(started["seconds"])))
            continue
        failed = next((match for pattern in _FAILED if (match := pattern.match(text))), None)
        if failed and not any(
            not each.ok and each.user == failed["user"] and at - each.at < _SAME_S for each in found[-20:]
        ):
            found.append(Start(at, failed["user"], False, why=failed["why"][:300]))
    return found
