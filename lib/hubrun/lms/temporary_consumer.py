"""The consumer `hubruntest`, with which hubrun plays an LMS of LTI 1.3: on the server for minutes at most.

Its file holds its public keys, and until when the hub takes it: so it is shut out by itself, also when whoever made it
was killed. What is left of its file then goes with the next 06_verify or 02_hub_lti.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hubrun.desired.server import Server
from hubrun.errors import CommandFailed
from hubrun.lms.platform13 import Key, Lms
from hubrun.server_paths import CONSUMERS
from hubrun.shell import quote

NAME = "hubruntest"
FILE = f"{CONSUMERS}/{NAME}.json"
# Nobody can own a name under .invalid (RFC 2606), so no LMS has this issuer.
ISSUER = "https://lms.hubrun.invalid"

# The consumer's text comes on standard input, with EXPIRES for the end by the server's clock. It prints that clock.
_START = """# make the temporary consumer
set -eu
folder={} file={} new={}
trap 'rm -f "$new"' EXIT
install -m 0640 -o root -g "$(stat -c %G "$folder")" /dev/null "$new"
sed "s/\\"EXPIRES\\"/$(($(date +%s) + {}))/" > "$new"
mv -fT "$new" "$file"
date +%s.%N
"""
_NEW = f"{CONSUMERS}/.{NAME}.new"


def stop_script() -> str:
    """Shell that shuts the consumer out; nothing where there is none."""
    return quote("rm -f {} {}", FILE, _NEW)


def start_script(seconds: int) -> str:
    """Shell that makes the consumer of the text on its standard input, for so many seconds."""
    return quote(_START, CONSUMERS, FILE, _NEW, seconds)


def consumer(prefix: str, client_id: str, keys: list[dict[str, str]], authorize_url: str) -> str:
    """The text of the consumer's file, which still says EXPIRES. `keys` are its public ones."""
    return json.dumps(
        {
            "issuer": ISSUER, "client_ids": [client_id], "authorize_url": authorize_url, "jwks": {"keys": keys},
            "prefix": prefix, "expires": "EXPIRES",
        }, indent=2,
    ) + "\n"  # fmt: skip


@contextmanager
def temporary_consumer(
    server: Server, *, prefix: str = NAME, authorize_url: str = "http://127.0.0.1/authorize", seconds: int = 120
) -> Iterator[Lms]:
    """An LMS whose launches the hub accepts while this lasts, for `seconds` at most.

    `prefix` stands before the names of its people; `authorize_url` is where the hub sends a browser with its question.
    """
    # All of it is new each time: what is left of an earlier one is no use.
    unique = secrets.token_hex(8)
    key = Key(unique)
    text = consumer(prefix, f"{NAME}-{unique}", [key.jwk], authorize_url)
    try:
        started = server.run(start_script(seconds), data=text.encode(), check=False)
        if started.exit_code != 0:
            last = (started.stderr.strip().splitlines() or [f"exit code {started.exit_code}"])[-1]
            raise CommandFailed(
                f"the hub could not be told of an LMS that is played here: {last}", server.site.host,
                "Run 02 first",
            )  # fmt: skip
        # What it printed last is the server's time.
        ahead = float(started.stdout.split()[-1]) - time.time()
        yield Lms(f"{server.site.url}/hub/", ISSUER, f"{NAME}-{unique}", key, ahead)
    finally:
        server.run(stop_script())
