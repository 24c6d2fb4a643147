"""Canvas's REST API by httpx: with time limits, retries, errors that say what to do, and nothing secret in sight."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from hubrun.canvas_api.answers import judge, said_of
from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.secret import Secret

Form = dict[str, Any]
# Seconds to connect, and seconds between two bytes of an answer.
TIME_LIMIT = (10, 60)
# How long to wait before each further try, in seconds. Throttled: doc/api/throttling.md says to try again "at a later
# time" and names none; in app/middleware/request_throttle.rb a bucket of 600 leaks 10 a second.
THROTTLED = (1, 2, 4, 8, 16)
FAILED = (1, 3)
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Api:
    """One Canvas, as the person whose token this is.

    Raises CanvasRefused (nothing will change that until a parameter is changed) or CanvasFailed, and BadInput for
    an address or a token that can be none. sleep: waits so many seconds.
    """

    def __init__(self, url: str, token: Secret, ca_file: str = "", sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = origin(url)
        if not _TOKEN.fullmatch(token.reveal()):
            raise BadInput(
                "the token is empty, or holds a space, a line break or a letter that no token has",
                "canvas_token",
                "Copy it again: Canvas → Account → Settings → New Access Token",
            )
        self._client = httpx.Client(
            # doc/api/oauth.md
            headers={"Authorization": f"Bearer {token.reveal()}", "Content-Type": "application/x-www-form-urlencoded"},
            verify=_trusting(ca_file),
            # A redirected POST would become a GET, and the token would go where nobody said.
            follow_redirects=False,
        )
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._sleep = sleep

    def all(self, path: str) -> list[Form]:
        """What is listed at `path` below /api/v1/, all pages (doc/api/pagination.md)."""
        found: list[Form] = []
        following = f"{self._base}{path}"
        while following:
            response = self._request("GET", following, "")
            found += response.json()
            following = str(response.links.get("next", {}).get("url", ""))
        return found

    def send(self, method: str, path: str, form: Form) -> None:
        """POST or PUT a form to `path` below /api/v1/."""
        self._request(method, f"{self._base}{path}", urlencode(flat(form)))

    @property
    def _base(self) -> str:
        return f"{self.url}/api/v1/"

    def _request(self, method: str, url: str, body: str) -> httpx.Response:
        tries = {"throttled": iter(THROTTLED), "failed": iter(FAILED)}
        while True:
            response, problem, again = self._once(method, url, body)
            wait = next(tries[again], None) if again else None
            if wait is None:
                break
            self._sleep(_asked_to_wait(response) or wait)
        # Raised out here, so that it carries no exception of httpx: those hold headers and bodies.
        if problem:
            raise problem
        assert response is not None
        return response

    def _once(self, method: str, url: str, body: str) -> tuple[httpx.Response | None, HubrunError | None, str]:
        """One try: the answer, what is wrong, and why another try may help ("throttled", "failed", or "" for not)."""
        where = f"{self.url}, {method} {url.removeprefix(self._base).partition('?')[0]}"
        connect, read = TIME_LIMIT
        try:
            response = self._client.request(method, url, content=body, timeout=httpx.Timeout(read, connect=connect))
        except httpx.HTTPError as error:
            no_answer, sent = said_of(error, where)
            # What may have reached Canvas is not sent again when that could make a second tool or item.
            return None, no_answer, "failed" if sent and method != "POST" else ""
        problem, again = judge(response, where, self._base)
        return response, problem, "" if again == "failed" and method == "POST" else again


def origin(url: str) -> str:
    """https://HOST[:PORT] of a Canvas, in the form that its own links have. Raises BadInput for anything else."""
    parts = urlsplit(url.strip())
    try:
        port = parts.port
    except ValueError:
        port = -1
    remedy = "Give the address alone, as in https://school.instructure.com"
    if parts.scheme == "http":
        raise BadInput("not an https address: the token would go over the network in the open", "canvas_url", remedy)
    if parts.scheme != "https" or not parts.hostname or port == -1 or "@" in parts.netloc:
        raise BadInput("not the https address of a Canvas", "canvas_url", remedy)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise BadInput(f"{parts.path!r} and what follows is too much", "canvas_url", remedy)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" + (f":{port}" if port not in (None, 443) else "")


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(
            f"no certificate can be read from {ca_file!r}", "canvas_ca_file", "It is a PEM file", str(error)
        ) from None


def _asked_to_wait(response: httpx.Response | None) -> float:
    """Seconds that a Retry-After asks for (RFC 9110, 10.2.3), at most 60; 0 for none, or a date."""
    said = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(said), 60) if said.isdigit() else 0


def text(value: object) -> str:
    """A field's value as forms have it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def flat(form: Form) -> dict[str, str]:
    """Fields in fields as NAME[FIELD], the form in which Canvas's documentation has them."""
    fields: dict[str, str] = {}
    for name, value in form.items():
        if isinstance(value, dict):
            for inner, each in flat(value).items():
                first, bracket, rest = inner.partition("[")
                fields[f"{name}[{first}]{bracket}{rest}"] = each
        else:
            fields[name] = text(value)
    return fields
