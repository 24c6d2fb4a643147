"""What the gate before people's servers costs: nginx with it, and the same nginx without it, in turn, on one server.

    .venv/bin/python -m benchmarks.gate NAME      # a practice server that is set up; 2 minutes

Behind both is the hub's proxy with a program that does nothing, so that what is measured is the way there. `wrk` and a
second site on port 8443 are put on the server meanwhile.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.figures import Figure

from hubrun import Server, params
from hubrun.environment import PROJECT
from hubrun.practice import docker_engine
from hubrun.sections.https.other_sites import HTTPS_FILE
from hubrun.sections.verify.test_users import STUDENTS
from hubrun.sections.verify.verification import Verification

ROUNDS, SECONDS = 3, 3
ALLOWED_MS, WANTED_PER_S = 5.0, 500.0
BARE_PORT, PAGE_PORT, ECHO_PORT = 8443, 8445, 8446
BARE_SITE = "/etc/nginx/conf.d/hubrun-bench.conf"

# The site as it is, at another port and without the gate; and a page to ask for.
_BARE = r"""
sed -n '/^server {/,/^}/p' {site} | awk '/^server/ {n++} n == 1' | sed -e '/auth_request /d' -e 's/listen 443/listen {port}/' -e '/listen \[::\]/d' > {bare}
echo 'server { listen 127.0.0.1:{page}; access_log off; location / { return 200 "a page\n"; } }' >> {bare}
nginx -t && systemctl reload nginx
"""
_ECHO = """
import asyncio, sys
from tornado import web, websocket
class Echo(websocket.WebSocketHandler):
    def on_message(self, message): self.write_message(message)
async def main():
    web.Application([(".*", Echo)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()
asyncio.run(main())
"""
_ROUND_TRIPS = """
import asyncio, json, statistics, sys, time
from tornado.httpclient import HTTPRequest
from tornado.netutil import OverrideResolver, Resolver
from tornado.websocket import websocket_connect
url, host, cookie = sys.argv[1:]
async def main():
    here = OverrideResolver(Resolver(), {host: "127.0.0.1"})
    request = HTTPRequest(url, headers={"Host": host, "Cookie": cookie}, validate_cert=False)
    socket = await websocket_connect(request, resolver=here)
    took = []
    for _ in range(2000):
        began = time.perf_counter()
        await socket.write_message("x" * 100)
        await socket.read_message()
        took.append((time.perf_counter() - began) * 1000)
    print(statistics.median(took))
asyncio.run(main())
"""
PYTHON = "/opt/jupyterhub/bin/python"


class Bench:
    """One practice server, and a student of it who is logged in. `path` is that of the student's server."""

    def __init__(self, name: str) -> None:
        info = subprocess.run(
            [PROJECT / "hubrun", "practice", "--name", name, "info", "--json"], stdout=subprocess.PIPE, check=True
        )
        self.info: dict[str, Any] = json.loads(info.stdout)
        self.site = params.load(self.info["site"])
        found = docker_engine.find()
        assert found, "no Docker engine answers"
        self.engine = found
        self.cookies = self.path = ""

    def run(self, script: str, *args: str, data: str = "") -> str:
        return self.engine.run(
            "exec", "-i", self.info["container"], "sh", "-c", script, "sh", *args, stdin=data.encode(), timeout=120
        )

    @contextmanager
    def ready(self) -> Iterator[None]:
        verification = Verification(Server.connect(self.site))
        browser, _ = verification.login(STUDENTS[0])
        with browser:
            self.cookies = "; ".join(
                f"{each.name}={each.value}" for each in browser.cookies.jar if each.path != "/hub/"
            )
            self.path = browser.home_path
            self.run("command -v wrk > /dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq wrk")
            bare = _BARE
            for name, value in {"site": HTTPS_FILE, "bare": BARE_SITE, "port": BARE_PORT, "page": PAGE_PORT}.items():
                bare = bare.replace("{" + name + "}", str(value))
            echo = [
                "systemd-run",
                "--quiet",
                "--collect",
                "--unit=hubrun-bench-echo",
                PYTHON,
                "-c",
                _ECHO,
                str(ECHO_PORT),
            ]
            try:
                self.run(bare)
                self.run('"$@"', *echo)
                yield
            finally:
                self.run(f"rm -f {BARE_SITE}; nginx -t && systemctl reload nginx; systemctl stop hubrun-bench-echo")
                verification.clean_up()

    def route(self) -> None:
        """Tell the proxy of the page and of the echo; the hub takes away what it does not know, once a minute."""
        for path, port in ((self.path, PAGE_PORT), (f"{self.path}ws/", ECHO_PORT)):
            self.run(
                '. /etc/jupyterhub/proxy.env; curl -fsS -X POST -H "Authorization: token $CONFIGPROXY_AUTH_TOKEN" -d "$2" http://127.0.0.1:8001/api/routes"$1"',
                path.rstrip("/"), json.dumps({"target": f"http://127.0.0.1:{port}"}),
            )  # fmt: skip

    def wrk(self, port: int, connections: int) -> tuple[float, float]:
        """The median in ms, and requests a second."""
        self.route()
        url = f"https://{self.info['domain']}:{port}{self.path}page"  # by name: wrk says in the handshake what is here
        said = self.run(
            'wrk --latency -t "$1" -c "$2" -d "$3" -H "Host: $4" -H "Cookie: $5" "$6"',
            str(min(2, connections)), str(connections), f"{SECONDS}s", self.host(port), self.cookies, url,
        )  # fmt: skip
        assert "Non-2xx" not in said, said
        median = re.search(r"50%\s+([\d.]+)(us|ms|s)", said)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        assert median and rate, said
        return float(median[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[median[2]], float(rate[1])

    def round_trip(self, port: int) -> float:
        """The median of a websocket's message and its echo, in ms."""
        self.route()
        url = f"wss://{self.info['domain']}:{port}{self.path}ws/"
        return float(self.run('"$@"', PYTHON, "-c", _ROUND_TRIPS, url, self.host(port), self.cookies))

    def host(self, port: int) -> str:
        return str(self.info["domain"])


def measure(bench: Bench) -> list[Figure]:
    ports = {"with": 443, "without": BARE_PORT}
    alone: dict[str, list[float]] = {name: [] for name in ports}
    many: dict[str, list[float]] = {name: [] for name in ports}
    sockets: dict[str, list[float]] = {name: [] for name in ports}
    with bench.ready():
        for _ in range(ROUNDS):
            for name, port in ports.items():
                alone[name].append(bench.wrk(port, 1)[0])
                many[name].append(bench.wrk(port, 32)[1])
                sockets[name].append(bench.round_trip(port))
    return [
        Figure("a request, one at a time, median", alone["with"], alone["without"], unit="ms"),
        Figure("requests a second, 32 at a time", many["with"], many["without"], unit="/s"),
        Figure("a websocket's round trip, median", sockets["with"], sockets["without"], unit="ms"),
    ]


def main() -> int:
    request, rate, socket = figures = measure(Bench(sys.argv[1] if len(sys.argv) > 1 else "practice"))
    for each in figures:
        with_it, without = statistics.median(each.ours), statistics.median(each.baseline)
        print(f"{each.name}: {with_it:.2f} {each.unit} with the gate, {without:.2f} without, ratio {each.result:.2f}")
    added = statistics.median(request.ours) - statistics.median(request.baseline)
    kept = added <= ALLOWED_MS and statistics.median(rate.ours) >= WANTED_PER_S
    print(
        f"added to a request: {added:.2f} ms (at most {ALLOWED_MS:g}); at least {WANTED_PER_S:g}/s: {'kept' if kept else 'missed'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
