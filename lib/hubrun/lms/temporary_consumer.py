"""The consumer `hubruntest`, with which hubrun plays an LMS of LTI 1.3: on the server for minutes at most.

Its keys are published on the server's own loopback by a unit of systemd that ends by itself, and the consumer's file
goes when the unit ends, however it ends: when it is stopped, when its time is over, when whoever started it was killed.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hubrun import server_paths
from hubrun.desired.server import Server
from hubrun.errors import CommandFailed
from hubrun.lms.platform13 import Key, Lms
from hubrun.server_paths import CONSUMERS
from hubrun.shell import quote

NAME = "hubruntest"
FILE = f"{CONSUMERS}/{NAME}.json"
UNIT = "hubrun-lms.service"
# Nobody can own a name under .invalid (RFC 2606), so no LMS has this issuer.
ISSUER = "https://lms.hubrun.invalid"

# Says to systemd (sd_notify(3)) that it is ready, and on which port.
_KEYS = """
import os, socket, socketserver, sys
from http.server import BaseHTTPRequestHandler

class Keys(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())

    def log_message(self, *_):
        pass

with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Keys) as server:
    to = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        ready = "READY=1\\nSTATUS=" + str(server.server_address[1])
        systemd.sendto(ready.encode(), chr(0) + to[1:] if to[0] == "@" else to)
    server.serve_forever()
"""

# The consumer's text comes on standard input, with PORT for the port.
_START = """# make the temporary consumer
set -eu
file={} unit={} new={}
{stop}
systemd-run --quiet --collect --unit="$unit" --service-type=notify \
    --property=Description={} --property=DynamicUser=yes --property=RuntimeMaxSec={} \
    --property=ProtectHome=yes --property=ProtectSystem=strict --property=NoNewPrivileges=yes \
    --property="ExecStopPost=+/bin/rm -f $file $new" \
    {}/bin/python -I -c {} {}
trap 'rm -f "$file" "$new"; systemctl stop "$unit"' EXIT
port=$(systemctl show --property=StatusText --value "$unit")
install -m 0640 -o root -g "$(stat -c %G {})" /dev/null "$new"
sed "s/PORT/$port/" > "$new"
mv -fT "$new" "$file"
systemctl is-active -q "$unit"
trap - EXIT
date +%s.%N
"""

# The file first: nobody else may take the unit's port while the hub still looks for keys there.
_STOP = quote("rm -f {}; systemctl stop {} 2>/dev/null || true", FILE, UNIT)


def stop_script() -> str:
    """Shell that shuts the consumer out and ends its unit; nothing where there is none."""
    return _STOP


def start_script(keys: list[dict[str, str]], seconds: int) -> str:
    """Shell that publishes `keys`, and makes the consumer of the text on its standard input, for so many seconds."""
    return quote(
        _START.replace("{stop}", _STOP), FILE, UNIT, f"{CONSUMERS}/.{NAME}.new",
        "An LMS played by hubrun: its public keys", seconds, server_paths.VENV, _KEYS, json.dumps({"keys": keys}), CONSUMERS,
    )  # fmt: skip


def consumer(prefix: str, client_id: str, path: str, authorize_url: str) -> str:
    """The text of the consumer's file. `path` is where its keys are; the unit says at which PORT."""
    jwks_url = f"http://127.0.0.1:PORT/{path}"
    return json.dumps(
        {
            "issuer": ISSUER, "client_ids": [client_id], "authorize_url": authorize_url, "jwks_url": jwks_url,
            "prefix": prefix,
        }, indent=2,
    ) + "\n"  # fmt: skip


@contextmanager
def temporary_consumer(
    server: Server, *, prefix: str = NAME, authorize_url: str = "http://127.0.0.1/authorize", seconds: int = 120
) -> Iterator[Lms]:
    """An LMS whose launches the hub accepts while this lasts, for `seconds` at most.

    `prefix` stands before the names of its people; `authorize_url` is where the hub sends a browser with its question.
    """
    # All of it is new each time: what the hub keeps of keys (hubrun_hub/lti/jwks.py) or what is left of an earlier one is no use.
    unique = secrets.token_hex(8)
    key = Key(unique)
    text = consumer(prefix, f"{NAME}-{unique}", unique, authorize_url)
    try:
        started = server.run(start_script([key.jwk], seconds), data=text.encode(), check=False)
        if started.exit_code != 0:
            last = (started.stderr.strip().splitlines() or [f"exit code {started.exit_code}"])[-1]
            raise CommandFailed(
                f"the hub could not be told of an LMS that is played here: {last}", server.site.host,
                "Run 02 first; `journalctl -u hubrun-lms` on the server may say more",
            )  # fmt: skip
        # What it printed last is the server's time.
        ahead = float(started.stdout.split()[-1]) - time.time()
        yield Lms(f"{server.site.url}/hub/", ISSUER, f"{NAME}-{unique}", key, ahead)
    finally:
        server.run(_STOP)
