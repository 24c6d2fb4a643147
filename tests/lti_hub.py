"""A real JupyterHub with the front door for LTI, as a process on this machine; and a browser that visits it.

No Docker, no TLS and no proxy: requests go to the hub itself, with the Host that a browser would have sent. What is in
the way of that on a server (nginx, the proxy) is tested on the practice server.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from lti_platform import HUB_URL, Answer, signed_form

HUB = Path(str(files("hubrun_hub")))
PUBLIC_URL = HUB_URL
HOST = urlsplit(PUBLIC_URL).netloc
LAUNCH_URL = f"{PUBLIC_URL}hub/lti/launch"
LOGIN_COOKIE = "jupyterhub-hub-login"
# Until the hub asks an LMS again for its keys, and how long it waits for them, in seconds; on a server it is longer.
PAUSE_S = 1.5
KEY, SECRET = "the-key-of-canvas", "the-secret-of-canvas"

CONFIG = """
import sys

sys.path.insert(0, {lib!r})
from hubrun_hub.lti import TEMPLATES, jwks
from hubrun_hub.lti.authenticator import LaunchAuthenticator
from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    "There is none: routes are only remembered."
    should_start = False
    routes = {{}}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {{"routespec": routespec, "target": target, "data": data}}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes


# The tests wait for what takes as long, or make it happen before.
jwks.PAUSE_S = jwks.TIMEOUT_S = {pause_s}
c = get_config()
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy_port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.public_url = {public_url!r}
c.JupyterHub.trusted_downstream_ips = ["127.0.0.1"]
c.JupyterHub.template_paths = [TEMPLATES]
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.authenticator_class = LaunchAuthenticator
c.LaunchAuthenticator.allow_all = True
c.LaunchAuthenticator.consumers_dir = "consumers.d"
c.LaunchAuthenticator.default_consumer = "lti.env"
c.LaunchAuthenticator.username_key = {username_key!r}
c.LaunchAuthenticator.admin_users = {{"root-of-all"}}
c.LaunchAuthenticator.blocked_users = {{"mallory"}}
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}, "admin": True}}]
c.JupyterHub.load_groups = {{"made-by-hand": {{"users": ["grace"]}}}}
"""


def hub_python() -> Path:
    """Python of an environment with what requirements/hub.txt pins: HUBRUN_HUB_PYTHON, or one that is made once."""
    if given := os.environ.get("HUBRUN_HUB_PYTHON"):
        return Path(given)
    pins = Path(str(files("hubrun.sections.hub"))) / "requirements" / "hub.txt"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    venv = Path.home() / ".cache" / "hubrun" / f"hub-{sys.version_info.major}{sys.version_info.minor}-{digest}"
    venv.mkdir(parents=True, exist_ok=True)
    with (venv / "lock").open("w") as lock:  # pytest-xdist may come here several times at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (venv / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", pins], check=True)
            (venv / "complete").touch()
    return venv / "bin" / "python"


@dataclass
class Browser:
    """Cookies, and requests as they would arrive from nginx."""

    hub: Hub
    cookies: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    def _send(self, method: str, url: str, **request: Any) -> Answer:
        assert url.startswith(("/", PUBLIC_URL)), f"not the hub's: {url}"
        path = "/" + url.removeprefix(PUBLIC_URL).lstrip("/")
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Host": HOST, "X-Forwarded-Proto": "https", **request.pop("headers", {})}
        if jar:
            headers["Cookie"] = jar
        # verify: there is no TLS here, and to read the list of CAs would take longer than the request
        response = httpx.request(
            method, f"http://127.0.0.1:{self.hub.port}{path}", headers=headers, timeout=20, verify=False, **request
        )
        logged_in = False
        for header in response.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                self.attributes[name] = morsel
                expired = "1970" in morsel["expires"] or not morsel.value or morsel["max-age"] == "0"
                past = (
                    bool(morsel["expires"])
                    and time.strptime(morsel["expires"], "%a, %d %b %Y %H:%M:%S %Z") < time.gmtime()
                )
                if expired or past:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
                    logged_in = logged_in or name == LOGIN_COOKIE
        return Answer(response, logged_in)

    def get(self, url: str, **request: Any) -> Answer:
        return self._send("GET", url, **request)

    def post(self, url: str, form: dict[str, str] | list[tuple[str, str]] | bytes, **request: Any) -> Answer:
        """Post a form, as another site's page does."""
        headers = {"Origin": "https://canvas.example.edu", "Sec-Fetch-Site": "cross-site", **request.pop("headers", {})}
        if isinstance(form, list | bytes):
            body = form if isinstance(form, bytes) else urlencode(form).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
            return self._send("POST", url, content=body, headers=headers, **request)
        return self._send("POST", url, data=form, headers=headers, **request)

    @property
    def user(self) -> str:
        """Who the hub says we are; "" when nobody."""
        found = re.search(r'user: "([^"]*)"', self.get("/hub/home").response.text)
        return found.group(1) if found else ""


class Hub:
    """The hub's process, in `folder`, which is kept over `stop` and `start`."""

    def __init__(self, folder: Path, username_key: str = "lis_person_sourcedid", settings: str = "") -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        self.port, proxy_port = free_port(), free_port()
        self.log_file = folder / "hub.log"
        (folder / "consumers.d").mkdir(parents=True)
        shutil.copytree(HUB, folder / "lib" / "hubrun_hub")
        (folder / "jupyterhub_config.py").write_text(
            CONFIG.format(
                lib=str(folder / "lib"), port=self.port, proxy_port=proxy_port, public_url=PUBLIC_URL,
                username_key=username_key, token=self.token, pause_s=PAUSE_S,
            )
            + settings
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 60) -> None:
        """Start it, and wait for so long until it answers. Raises AssertionError with the end of its log."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [hub_python(), "-m", "jupyterhub"], cwd=self.folder, stdout=log, stderr=log, env={"PATH": os.defpath}
            )
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/hub/health", verify=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"the hub does not start:\n{self.log[-3000:]}")

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=20)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def consumer(self, name: str, key: str, secret: str, prefix: str | None = None) -> Path:
        """Write a consumer's file for LTI 1.1 ("default": lti.env)."""
        path = self.folder / ("lti.env" if name == "default" else f"consumers.d/{name}.env")
        text = f"LTI_CLIENT_KEY={key}\nLTI_CLIENT_SECRET={secret}\n"
        path.write_text(text if prefix is None else f"{text}LTI_PREFIX={prefix}\n")
        return path

    def api(self, method: str, path: str, **request: Any) -> Any:
        response = httpx.request(
            method,
            f"http://127.0.0.1:{self.port}/hub/api{path}",
            headers={"Authorization": f"token {self.token}"},
            verify=False,
            **request,
        )
        response.raise_for_status()
        return response.json() if response.content else None

    def groups(self, user: str) -> set[str]:
        return set(self.api("GET", f"/users/{user}")["groups"])

    def users(self) -> set[str]:
        return {user["name"] for user in self.api("GET", "/users")}


@contextmanager
def running_hub(folder: Path, settings: str = "") -> Iterator[Hub]:
    """A hub with the consumer `default`, which has KEY and SECRET; `settings` are lines of its configuration."""
    hub = Hub(folder, settings=settings)
    hub.consumer("default", KEY, SECRET)
    hub.start()
    yield hub
    hub.stop()


def form(
    username: str | None = "ada", *, key: str = KEY, secret: str = SECRET, url: str = LAUNCH_URL, **launch: Any
) -> dict[str, str]:
    """A signed launch of LTI 1.1 for this hub; `launch` as `signed_form` takes it."""
    return signed_form(url, key, secret, username, **launch)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
