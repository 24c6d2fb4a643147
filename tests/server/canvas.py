"""A Canvas of the tests' own: launches signed with oauthlib and posted with httpx, without a line of hubrun.

Whoever gets `socket.getaddrinfo` from `resolve_localhost` reaches practice domains as a browser does.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
from oauthlib.oauth1 import SIGNATURE_TYPE_BODY
from oauthlib.oauth1 import Client as OAuth1

LOGIN_COOKIE = "jupyterhub-hub-login"


def resolve_localhost(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """`socket.getaddrinfo` for which names under .localhost are this machine (RFC 6761, 6.3), as for browsers."""

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *args, **kwargs)

    return getaddrinfo


def env_file(text: str) -> dict[str, str]:
    """The NAME=value lines of a file such as lti.env."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


class Student:
    """A student's browser, and Canvas with a consumer key and secret."""

    def __init__(self, info: dict[str, Any], name: str) -> None:
        self.name = name
        self.root = info["url"].rstrip("/")
        context = ssl.create_default_context(cafile=info["ca_bundle"])
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        self.client = httpx.Client(verify=context, trust_env=False, timeout=30, headers=headers)

    def __enter__(self) -> Student:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    @property
    def logged_in(self) -> bool:
        return bool(self.client.cookies.get(LOGIN_COOKIE, path="/hub/"))

    def launch(self, key: str, secret: str) -> httpx.Response:
        """Post what Canvas posts for this student, signed; redirects are not followed."""
        form = {
            "lti_message_type": "basic-lti-launch-request",
            "lti_version": "LTI-1p0",
            "resource_link_id": "88391-e1919-bb3456",
            "user_id": f"opaque-{self.name}",
            "roles": "Learner",
            "lis_person_sourcedid": self.name,
            "custom_canvas_user_login_id": self.name,
            "context_id": "2f3a",
            "context_title": "Astronomy 101: motion & light",
            "launch_presentation_document_target": "window",
            "tool_consumer_info_product_family_code": "canvas",
            "tool_consumer_instance_guid": "tests.canvas.example.edu",
            "oauth_callback": "about:blank",
        }
        url = f"{self.root}/hub/lti/launch"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        signer = OAuth1(key, client_secret=secret, signature_type=SIGNATURE_TYPE_BODY)
        url, headers, body = signer.sign(url, "POST", body=form, headers=headers)
        return self.client.post(url, data=dict(parse_qsl(body)), headers=headers)

    def open_lab(self, seconds: float = 120) -> httpx.Response:
        """Start the student's server and open JupyterLab; the last page that came within `seconds`."""
        end = time.monotonic() + seconds
        page = self.client.get(f"{self.root}/hub/spawn", follow_redirects=True)
        while page.url.path.startswith("/hub/spawn-pending/") and time.monotonic() < end:
            time.sleep(0.5)
            page = self.client.get(page.url, follow_redirects=True)
        return self.client.get(f"{self.root}/user/{self.name}/lab", follow_redirects=True)
