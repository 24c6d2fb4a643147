"""A student's web browser: cookies, redirects, the XSRF tokens of JupyterHub, a notebook's kernel."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urljoin, urlsplit

import httpx

from hubrun.errors import CheckFailed
from hubrun.lms import kernel_client
from hubrun.lms.connect_to import Route

# Its presence is what a login is: a launch of someone who is not allowed ends in 302 as well, without it.
# With subdomains its name has the prefix that ties it to the hub's host (RFC 6265bis, 4.1.3.2).
LOGIN_COOKIES = ("jupyterhub-hub-login", "__Host-jupyterhub-hub-login")
_POLL_S = 0.5
_EVENTS_S = 10.0


@dataclass(frozen=True)
class Launch:
    """What the hub answered to a launch.

    `cookie`: whether it set the login cookie; `user`: who the hub says is logged in ("" without the cookie);
    `text`: what its page says, without markup; `reason`: the word for why it refused (hubrun_hub/lti/refusals.py), "" for none.
    """

    status: int
    cookie: bool
    user: str
    location: str = ""
    text: str = ""
    reason: str = ""

    @property
    def came(self) -> str:
        """Status, reason, cookie and user on one line, such as "401 (expired), no login cookie, nobody"."""
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.status}{why}, {'login cookie' if self.cookie else 'no login cookie'}, {self.user or 'nobody'}"


class Browser:
    """One student's session at a site. Two students are two browsers.

    `kernel_id` is the kernel that `run_cell` uses, "" before the first; `user` is who launched.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.user = ""
        self.kernel_id = ""
        self._server = route.url
        self._client = route.client()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections; its cookies are gone with it."""
        self._client.close()

    @property
    def home_path(self) -> str:
        """The path of the student's server, such as /user/ada/."""
        return self.path_of(self.user)

    @staticmethod
    def path_of(user: str) -> str:
        """The path of a user's server, escaped as the hub does."""
        return f"/user/{_segment(user)}/"

    @property
    def lab_url(self) -> str:
        """Where the student's server was found last; on the hub's own host before it was started."""
        return f"{self._server}{self.home_path}lab"

    def launch(self, url: str, form: dict[str, str], headers: dict[str, str] | None = None) -> Launch:
        """Post a launch form to `url` as the page of an LMS does, and return what came.

        Raises CheckFailed only when nothing answered: a refusal is an answer.
        """
        headers = {
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": "cross-site",
            **(headers or {}),
        }
        response = self._request("POST", url, data=form, headers=headers)
        cookie = any(
            line.startswith(f"{name}=") and not line.startswith(f'{name}="";')
            for line in response.headers.get_list("set-cookie")
            for name in LOGIN_COOKIES
        )
        if cookie:
            self.user = self._json("GET", "/hub/api/user")["name"]
        return Launch(
            response.status_code,
            cookie,
            self.user if cookie else "",
            response.headers.get("location", ""),
            page_text(response.text),
            page_reason(response.text),
        )

    @property
    def cookies(self) -> httpx.Cookies:
        """Its cookies, those of all hosts."""
        return self._client.cookies

    def get(self, path: str, timeout_s: float = 30.0) -> httpx.Response:
        """Open a page of the site, following redirects. The answer may be an error page.

        Raises CheckFailed when nothing answers within `timeout_s` seconds.
        """
        return self._request("GET", path, timeout_s, follow_redirects=True, headers={"Sec-Fetch-Mode": "navigate"})

    def start(self, timeout_s: float = 120.0, say: Callable[[str], None] = lambda _: None) -> str:
        """Start the student's server, wait until JupyterLab answers, and return the URL that was reached.

        A server that runs already is used. `say` gets a line about the progress now and then. Raises
        CheckFailed when the hub reports a failed start or `timeout_s` seconds go by.
        """
        began = time.monotonic()
        said = 0
        page = self.get("/hub/spawn", timeout_s)
        # the hub shows a page of its own until the server is ready, then redirects to it
        while page.is_success and _path(page).startswith("/hub/spawn-pending/"):
            waited = time.monotonic() - began
            if waited > timeout_s:
                raise CheckFailed(
                    f"the server of {self.user} was not ready within {timeout_s:g} s",
                    self.route.url,
                    "Read the container's log and `journalctl -u jupyterhub` on the server.",
                    page_text(page.text),
                )
            if waited >= said + 5:
                said = int(waited)
                say(f"the server of {self.user} is starting, {said} s")
            self._follow_progress(page, began + timeout_s)
            page = self.get(str(page.url), timeout_s)
        if page.is_success and _path(page).startswith(self.home_path):
            self._server = str(page.url.copy_with(raw_path=b"/", fragment=None)).rstrip("/")
            page = self.get(f"{self.home_path}lab", timeout_s)
        if not page.is_success or not _path(page).startswith(f"{self.home_path}lab"):
            raise CheckFailed(
                f"JupyterLab did not open: {page.status_code} at {page.url}",
                self.route.url,
                "Read `journalctl -u jupyterhub` on the server; the end of it names the reason.",
                page_text(page.text),
            )
        return str(page.url)

    def _follow_progress(self, page: httpx.Response, until: float) -> None:
        """Wait as the page does: it is told when the server is there, and asks for nothing meanwhile."""
        found = re.search(r'EventSource\("([^"]+)"\)', page.text)
        if not found:
            time.sleep(_POLL_S)
            return
        try:
            url = urljoin(str(page.url), html.unescape(found[1]))
            with self._client.stream("GET", url, timeout=_EVENTS_S) as events:
                # Something comes every 8 s (JupyterHub, SpawnProgressAPIHandler.keepalive_interval).
                began = time.monotonic()
                for line in events.iter_lines():
                    done = '"ready"' in line or '"failed"' in line
                    if done or time.monotonic() > min(until, began + _EVENTS_S):
                        return
        except httpx.HTTPError:
            pass
        time.sleep(_POLL_S)

    def stop(self, timeout_s: float = 60.0) -> None:
        """Stop the student's server and wait until it is gone. Raises CheckFailed after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        self.kernel_id = ""
        user = f"/hub/api/users/{_segment(self.user)}"
        self._fetch("DELETE", f"{user}/server", timeout_s=timeout_s)
        while self._json("GET", user)["servers"]:
            if time.monotonic() > deadline:
                raise CheckFailed(f"the server of {self.user} did not stop within {timeout_s:g} s", self.route.url)
            time.sleep(_POLL_S)

    def run_cell(self, code: str, timeout_s: float = 60.0) -> str:
        """Execute `code` in this browser's kernel, starting it when there is none; see kernel.execute."""
        if not self.kernel_id:
            started = self._json("POST", f"{self.home_path}api/kernels", json={}, timeout_s=timeout_s)
            self.kernel_id = started["id"]
        url = self._url(f"{self.home_path}api/kernels/{self.kernel_id}/channels")
        request = self._client.build_request("GET", url)
        headers = {"Cookie": request.headers.get("cookie", ""), "Origin": self._server}
        return kernel_client.execute(self.route, "ws" + url.removeprefix("http"), headers, code, timeout_s)

    def write_file(self, path: str, text: str) -> None:
        """Write a text file below the student's home as JupyterLab saves one. Raises CheckFailed."""
        model = {"type": "file", "format": "text", "content": text}
        self._fetch("PUT", f"{self.home_path}api/contents/{quote(path)}", json=model)

    def read_file(self, path: str) -> str:
        """Return the text of a file below the student's home. Raises CheckFailed when it is not there."""
        model = self._json("GET", f"{self.home_path}api/contents/{quote(path)}?type=file&format=text")
        return str(model["content"])

    def _json(self, method: str, path: str, **options: Any) -> Any:
        return self._fetch(method, path, **options).json()

    def _fetch(self, method: str, path: str, timeout_s: float = 30.0, **options: Any) -> httpx.Response:
        """Call an API as a script in the page does: with the XSRF token that belongs to the path."""
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "X-XSRFToken": self._xsrf_token(path)}
        response = self._request(method, path, timeout_s, headers=headers, **options)
        if not response.is_success:
            raise CheckFailed(
                f"{method} {path} was answered with {response.status_code}",
                self.route.url,
                detail=page_text(response.text),
            )
        return response

    def _xsrf_token(self, path: str) -> str:
        # the hub and each user's server have a token of their own, in cookies with different paths
        jar = self._client.cookies.jar
        return next((c.value or "" for c in jar if c.name == "_xsrf" and path.startswith(c.path)), "")

    def _request(self, method: str, path: str, timeout_s: float = 30.0, **options: Any) -> httpx.Response:
        url = self._url(path)
        try:
            return self._client.request(method, url, timeout=timeout_s, **options)
        except httpx.HTTPError as error:
            raise unanswered(self.route, error, f"{method} {urlsplit(url).path}") from error

    def _url(self, path: str) -> str:
        # another person's server is asked for at the hub, which knows where it is
        return urljoin(self._server if self.user and path.startswith(self.home_path) else self.route.url, path)


def _segment(user: str) -> str:
    # as jupyterhub.utils.url_escape_path does, so that paths can be compared with those of the hub
    return quote(user, safe="@~")


def _path(page: httpx.Response) -> str:
    return page.url.raw_path.decode().partition("?")[0]


def unanswered(route: Route, error: httpx.HTTPError, request: str) -> CheckFailed:
    """Return the error for a request that got no answer, with its likely cause."""
    address, port = route.target(route.url)
    if isinstance(error, httpx.TimeoutException):
        remedy = f"Nothing came from {address} port {port} in time: a firewall that drops packets, or a hub that hangs."
    elif "CERTIFICATE_VERIFY_FAILED" in str(error):
        remedy = "The certificate is not valid for this domain, or not from an authority in trust_ca_file."
    else:
        remedy = f"Does nginx run on {address} and listen on port {port}? Is the port open in the firewall?"
    return CheckFailed(f"{request} got no answer ({error})", route.url, remedy)


def page_reason(page: str) -> str:
    """Return why a page of the hub's front door refuses, as hubrun_hub/lti/refusals.py calls it; "" for any other page."""
    found = re.search(r'data-reason="([^"]*)"', page)
    return html.unescape(found.group(1)) if found else ""


def page_text(page: str) -> str:
    """Return what a page says, on one line: the hub's error message when it has one, else all its text."""
    marked = re.search(r'<div class="error">.*?<p>(.*?)</p>', page, re.S)
    text = marked.group(1) if marked else re.sub(r"<(script|style|head|noscript|nav)\b.*?</\1>", " ", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<!--.*?-->|<[^>]*>", " ", text, flags=re.S)).split())[:500]
