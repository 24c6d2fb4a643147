"""Plays Canvas and two students, from outside, over HTTPS: what 06_verify does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

from hubrun.checks import Check
from hubrun.display import Live
from hubrun.errors import CheckFailed
from hubrun.hub import config, https, lti, outside
from hubrun.hub.browser import Browser
from hubrun.hub.connect_to import Route
from hubrun.hub.lti import LaunchRequest
from hubrun.plan import quote
from hubrun.server import Server

# Letters and digits alone: DockerSpawner escapes other characters in the names of volumes.
STUDENTS = ("hubruntest1", "hubruntest2")
STRANGER = "hubruntest3"
TEST_USERS = (*STUDENTS, STRANGER)
FILE = "hubrun-verify.txt"
CLOSED = (8000, 8001, 8081)

# Removes the test users through the hub, as the service that may remove these and no other, then what they left.
_CLEAN_UP = """
{}/bin/python - {} <<'EOF'
import sys, urllib.error, urllib.request
from dotenv import dotenv_values
token = dotenv_values({!env})["HUBRUN_VERIFY_TOKEN"]
for user in sys.argv[1:]:
    request = urllib.request.Request(
        "http://127.0.0.1:8000/hub/api/users/" + user, method="DELETE", headers={"Authorization": "token " + token}
    )
    try:
        urllib.request.urlopen(request, timeout=90).close()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            sys.exit(f"removing {user}: {error.code} {error.read()[:300]}")
EOF
for user in {}; do
    docker rm -f "jupyter-$user" >/dev/null 2>&1 || true
    docker volume rm -f "jupyterhub-user-$user" >/dev/null
done
""".replace("{!env}", repr(config.VERIFY_ENV))

_LEFT = """
docker ps -a --format '{{.Names}}' | grep -E '^jupyter-hubruntest[0-9]'
docker volume ls --format '{{.Name}}' | grep -E '^jupyterhub-user-hubruntest[0-9]'
"""


def _cleaning_up(step: Callable[[Verification], list[Check]]) -> Callable[[Verification], list[Check]]:
    """A step that leaves no trace: in check mode it does not run, and when it fails the test users go at once."""

    @wraps(step)
    def run(self: Verification) -> list[Check]:
        if self.server.check_mode:
            return []
        try:
            checks = step(self)
        except CheckFailed:
            self.clean_up()
            raise
        if not all(check.ok for check in checks):
            self.clean_up()
        return checks

    return run


class Verification:
    """The checks of a site from outside. Each method returns its findings; `Server.require` shows and judges them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.site = server.site
        self.route = Route(self.site.url, self.site.public_address, trust_ca_file=self.site.trust_ca_file)
        self._live = Live()
        running = "systemctl is-active -q nginx jupyterhub jupyterhub-proxy docker"
        if server.check_mode and server.probe(running)[0].exit_code != 0:
            server.pending.append("what 02 to 04 install")

    # -- what anybody sees
    def outside(self) -> list[Check]:
        """Health, certificate chain (and that it is the file on the server), redirect, the launch URL."""
        if self.server.pending:
            return []
        shown = quote("openssl x509 -in {} -noout -fingerprint -sha256", https.paths(self.site)[0])
        fingerprint = self.server.probe(shown)[0].stdout
        return [
            outside.check_health(self.route),
            outside.check_certificate(self.route, fingerprint),
            outside.check_redirect(self.route, self.site.http_port),
            outside.check_launch_get(self.route),
        ]

    # -- launches
    def sign(self, launches: Sequence[LaunchRequest]) -> list[dict[str, str]]:
        """Have the launches signed on the server, where the secret is and stays."""
        job = lti.signer_input(config.LTI_ENV, launches).encode()
        return lti.signer_output(self.server.run("{}/bin/python -c {}", config.VENV, lti.SIGNER, data=job).stdout)

    def form(self, user: str) -> dict[str, str]:
        return lti.canvas_launch(
            self.site.launch_url, username=user, user_id=f"opaque-{user}", username_key=self.site.lti_username_key
        )

    def login(self, user: str) -> tuple[Browser, Check]:
        """A browser in which Canvas has launched `user`, and the finding about that launch."""
        browser = Browser(self.route)
        (signed,) = self.sign([LaunchRequest(self.site.launch_url, self.form(user))])
        return browser, outside.check_accepted(browser.launch(self.site.launch_url, signed), user)

    @_cleaning_up
    def refusals(self) -> list[Check]:
        """A good launch is accepted; unsigned, tampered, replayed, stale, wrong-key and wrong-secret ones are not."""
        return outside.check_refusals(self.route, self.form(STRANGER), self.sign)

    # -- students
    @_cleaning_up
    def work(self) -> list[Check]:
        """A student launches, gets JupyterLab, runs a cell, and finds a file again after the server was stopped."""
        browser, launched = self.login(STUDENTS[0])
        with browser:
            if not launched.ok:
                return [launched]
            opened = browser.start(180, self._live.line)
            answer = browser.run_cell("6*7")
            browser.write_file(FILE, "kept")
            browser.stop()
            browser.start(180, self._live.line)
            kept = browser.read_file(FILE)
        return [
            launched,
            Check("JupyterLab opens", True, "JupyterLab", opened),
            Check("a kernel runs 6*7 through the websocket", answer == "42", "42", answer),
            Check("a file survives stop and start", kept == "kept", "kept", kept),
        ]

    @_cleaning_up
    def privacy(self) -> list[Check]:
        """A second student sees nothing of the first, whose server still runs; nor the hub's inner ports."""
        neighbour = self.server.run(
            "docker inspect -f {} {}",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            f"jupyter-{STUDENTS[0]}",
        ).stdout.strip()
        address = self.server.run("ip -4 route get 192.0.2.1 | sed -n 's/.* src \\([0-9.]*\\).*/\\1/p'").stdout.strip()
        browser, launched = self.login(STUDENTS[1])
        with browser:
            if not launched.ok:
                return [launched]
            browser.start(180, self._live.line)
            checks = [launched, outside.check_private(browser, STUDENTS[0], FILE)]
            # What must work, so that the refusals below mean something: the student's container reaches the hub.
            checks.append(_reach(browser, self.site.gateway, 8081, True, "the hub, which it needs"))
            checks.append(_reach(browser, neighbour, 8888, False, "the first student's server"))
            checks += [_reach(browser, address, port, False, "outside address of the server") for port in CLOSED]
        if self.site.https_port == 443:  # else a forwarder stands before the server, and its ports say nothing
            checks += [outside.check_closed(self.site.public_address or self.site.domain, port) for port in CLOSED]
        return checks

    def clean_up(self) -> list[Check]:
        """Remove the test users with their containers and volumes."""
        if self.server.check_mode:
            return []
        self.server.run(_CLEAN_UP, config.VENV, TEST_USERS, TEST_USERS, seconds=180)
        left = self.server.run(_LEFT, check=False).stdout.split()
        return [Check("test users, containers and volumes are gone", not left, "nothing", ", ".join(left) or "nothing")]


def _reach(browser: Browser, address: str, port: int, wanted: bool, what: str) -> Check:
    """Whether a student's kernel can open a connection to a port."""
    code = f"""
import socket
try:
    socket.create_connection(({address!r}, {port}), 3).close()
    print("open")
except OSError as error:
    print("closed")
"""
    came = browser.run_cell(code)
    expected = "open" if wanted else "closed"
    cause = "" if came == expected else (
        "A firewall on the server drops it: allow the containers' network" if wanted
        else "It listens on more than loopback, or the network was not made with enable_icc=false: run 02 and 04 again"
    )  # fmt: skip
    return Check(
        f"from a student's container, {address}:{port} ({what}) is {expected}", came == expected, expected, came, cause
    )
