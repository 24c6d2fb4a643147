"""LMSs and browsers of the tests' own, over HTTPS to a practice server, without a line of hubrun.

Whoever gets `socket.getaddrinfo` from `resolve_localhost` reaches practice domains as a browser does.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Self

import httpx
from machines import Machine
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from lti_platform import Answer, Platform, signed_form

LOGIN_COOKIE = "jupyterhub-hub-login"
LTI_ENV = "/etc/jupyterhub/lti.env"
CONSUMERS = "/etc/jupyterhub/consumers.d"
# Where an LMS publishes its keys on the practice server itself: only from there does a hub take them without TLS.
_KEYS_UNIT, _KEYS_PORT, _KEYS = "tests-keys", 8899, "/run/tests-keys"


def resolve_localhost(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """`socket.getaddrinfo` for which names under .localhost are this machine (RFC 6761, 6.3), as for browsers."""

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *args, **kwargs)

    return getaddrinfo


def env_file(text: str) -> dict[str, str]:
    """The NAME=value lines of a file such as lti.env."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def stop_at_home(page: Page) -> None:
    """Stop the person's server on the hub's home page, which `page` shows. A click before its program is there does nothing."""
    for _ in range(6):
        if not page.locator("#stop").is_visible():
            return
        page.locator("#stop").click()
        with suppress(PlaywrightTimeout):
            page.locator("#stop").wait_for(state="hidden", timeout=15_000)
            return
        page.reload()
    raise AssertionError(page.inner_text("body"))


@cache
def trust(ca_bundle: str) -> ssl.SSLContext:
    """TLS that takes certificates of the practice CA."""
    return ssl.create_default_context(cafile=ca_bundle)


class Visitor:
    """A browser, with cookies of its own. `get` and `post` take paths on the hub too; redirects are not followed."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info
        self.root = info["url"].rstrip("/")
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        self.client = httpx.Client(
            base_url=self.root, verify=trust(info["ca_bundle"]), trust_env=False, timeout=30, headers=headers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    @property
    def logged_in(self) -> bool:
        return bool(self.client.cookies.get(LOGIN_COOKIE, path="/hub/"))

    @property
    def user(self) -> str:
        """Who the hub says we are; "" when nobody."""
        found = re.search(r'user: "([^"]*)"', self.client.get("/hub/home").text)
        return found.group(1) if found else ""

    def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        return self._answer(self.client.get(url, headers=headers))

    def post(self, url: str, form: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        """Post a form as another site's page does."""
        others = {"Origin": "https://canvas.example.edu", "Sec-Fetch-Site": "cross-site"}
        return self._answer(self.client.post(url, data=form, headers={**others, **(headers or {})}))

    def _answer(self, response: httpx.Response) -> Answer:
        lines = response.headers.get_list("set-cookie")
        return Answer(response, any(re.match(f'{LOGIN_COOKIE}="?[^";]', line) for line in lines))


class Student(Visitor):
    """A student's browser, and Canvas with a consumer key and secret."""

    def __init__(self, info: dict[str, Any], name: str) -> None:
        super().__init__(info)
        self.name = name

    def launch(self, key: str, secret: str) -> httpx.Response:
        """Post what Canvas posts for this student, signed; redirects are not followed."""
        form = signed_form(f"{self.root}/hub/lti/launch", key, secret, self.name, user_id=f"opaque-{self.name}")
        return self.post("/hub/lti/launch", form).response

    def open_lab(self, seconds: float = 120) -> httpx.Response:
        """Start the student's server and open JupyterLab; the last page that came within `seconds`."""
        end = time.monotonic() + seconds
        page = self.client.get("/hub/spawn", follow_redirects=True)
        while page.url.path.startswith("/hub/spawn-pending/") and time.monotonic() < end:
            time.sleep(0.5)
            page = self.client.get(page.url, follow_redirects=True)
        return self.client.get(f"/user/{self.name}/lab", follow_redirects=True)


class Consumers:
    """Consumers that a test writes to a server by hand, as hubrun_hub/lti/consumers.py says that their files are."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def write(self, file: str, text: str) -> None:
        """NAME.env or NAME.json; whoever reads meanwhile sees the old one or the new one."""
        script = 'umask 077 && cat > "$1.new" && chown jupyterhub: "$1.new" && mv "$1.new" "$1"'
        self.machine.run(script, f"{CONSUMERS}/{file}", data=text.encode())

    def admit(self, name: str, platform: Platform, **changes: Any) -> None:
        """Let `platform` launch with LTI 1.3, and publish its key."""
        settings = {"jwks_url": f"http://127.0.0.1:{_KEYS_PORT}/{name}.json", **changes}
        self.publish(name, platform.key.jwk)
        self.write(f"{name}.json", platform.settings(**settings))

    def publish(self, name: str, *keys: dict[str, str]) -> None:
        self.machine.run(f"cat > {_KEYS}/$1.json", name, data=json.dumps({"keys": keys}).encode())


@contextmanager
def consumers(machine: Machine) -> Iterator[Consumers]:
    """Consumers besides the `default` with its LTI 1.1; they go at the end."""
    python = "/opt/jupyterhub/bin/python -m http.server --bind 127.0.0.1"
    machine.run(
        f"mkdir -p {_KEYS} && systemd-run --quiet --collect --unit={_KEYS_UNIT} {python} -d {_KEYS} {_KEYS_PORT}"
    )
    try:
        yield Consumers(machine)
    finally:
        machine.run(f"rm -f {CONSUMERS}/*; systemctl stop {_KEYS_UNIT}; rm -r {_KEYS}")


# A name and a certificate of this server alone, which it trusts; $1: a folder, $2: the host, $3: a unit.
_SERVE_KEYS = """set -eu
mkdir -p "$1"; cd "$1"; cat > keys.json
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj "/CN=$2" -addext "subjectAltName=DNS:$2" 2>/dev/null
cp cert.pem /usr/local/share/ca-certificates/hubrun-keys.crt; update-ca-certificates >/dev/null 2>&1
grep -q " $2$" /etc/hosts || echo "127.0.0.1 $2" >> /etc/hosts
cat > serve.py <<'END'
import http.server, ssl
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8449), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
END
systemd-run --quiet --collect --unit="$3" --working-directory="$1" python3 serve.py
for _ in 1 2 3 4 5 6 7 8 9 10; do curl -fsS -o /dev/null "https://$2:8449/keys.json" && exit; sleep 0.5; done
exit 1
"""
_STOP_KEYS = """systemctl stop "$3"; rm -r "$1" /usr/local/share/ca-certificates/hubrun-keys.crt
update-ca-certificates --fresh >/dev/null 2>&1; sed "/ $2$/d" /etc/hosts > /tmp/hosts; cat /tmp/hosts > /etc/hosts; rm /tmp/hosts
"""


@contextmanager
def keys_over_https(machine: Machine, *keys: dict[str, str]) -> Iterator[str]:
    """The address on the server itself where keys are published with HTTPS: one inside the institution."""
    given = ("/srv/hubrun-keys", "keys.hubrun.internal", "hubrun-keys-https")
    machine.run(_SERVE_KEYS, *given, data=json.dumps({"keys": keys}).encode())
    try:
        yield f"https://{given[1]}:8449/keys.json"
    finally:
        machine.run(_STOP_KEYS, *given)


@contextmanager
def settings(machine: Machine, text: str) -> Iterator[None]:
    """The hub with these lines besides in the operator's own file of settings."""
    local = "/etc/jupyterhub/conf.d/90-local.py"
    restart = "systemctl restart jupyterhub && curl -fsS --retry 150 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:8000/hub/health"
    before = machine.run("cat $1", local)
    machine.run(f"cat >> $1 && {restart}", local, data=text.encode(), seconds=180)
    try:
        yield
    finally:
        machine.run(f"cat > $1 && {restart}", local, data=before.encode(), seconds=180)


def key_and_secret(machine: Machine, path: str = LTI_ENV) -> tuple[str, str]:
    """Those of a consumer with LTI 1.1; `path` of its file on the server."""
    values = env_file(machine.secret(path))
    return values["LTI_CLIENT_KEY"], values["LTI_CLIENT_SECRET"]
