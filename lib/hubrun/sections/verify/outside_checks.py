"""Checks of a site from outside, as a student's browser, an LMS and a stranger see it."""

from __future__ import annotations

import errno
import socket
from datetime import UTC, datetime

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from hubrun.desired.checks import Check
from hubrun.desired.diagnosis import BY_TLS_REASON, launch_cause, remedy_for
from hubrun.errors import CheckFailed
from hubrun.lms.browser import Browser, Launch, page_reason, page_text, unanswered
from hubrun.lms.connect_to import Route
from hubrun.lms.lti11 import LAUNCH_PATH
from hubrun.lms.lti11_cases import Wanted, judge


def _presented_certificate(route: Route) -> x509.Certificate:
    """The site's own certificate, as it presents it. Raises CheckFailed when its chain does not verify."""
    try:
        with route.client() as client, client.stream("GET", route.url) as response:
            tls = response.extensions["network_stream"].get_extra_info("ssl_object")
    except httpx.HTTPError as error:
        for reason, remedy in BY_TLS_REASON.items():
            if reason in str(error):
                raise CheckFailed(f"the certificate is not valid: {reason}", route.url, remedy) from error
        raise unanswered(route, error, "The TLS handshake") from error
    if tls is None:
        raise CheckFailed("no certificate is presented: the URL is plain http", route.url)
    return x509.load_der_x509_certificate(tls.getpeercert(True))


def check_certificate(route: Route, file_sha256: str, min_days: int = 7) -> Check:
    """Check that the chain verifies, that `min_days` are left and that the leaf is the file on the server.

    `file_sha256` may be as `openssl x509 -noout -fingerprint -sha256` prints it.
    """
    expected = f"a verified chain, the certificate on the server, {min_days} days or more left"
    try:
        leaf = _presented_certificate(route)
    except CheckFailed as failure:
        return Check("certificate", False, expected, failure.what, failure.remedy)
    issuer, sha256 = leaf.issuer.rfc4514_string(), leaf.fingerprint(hashes.SHA256()).hex()
    days_left = (leaf.not_valid_after_utc - datetime.now(UTC)).days
    came = f"a verified chain from {issuer}, {days_left} days left, sha256 {sha256[:16]}…"
    cause = ""
    if sha256 != file_sha256.strip().rpartition("=")[2].replace(":", "").lower():
        cause = "nginx presents a certificate other than the one in the file: reload it (`systemctl reload nginx`)."
    elif days_left < min_days:
        cause = "The certificate was not renewed: `systemctl list-timers`, `certbot renew --dry-run`."
    return Check("certificate", not cause, expected, came, cause)


def check_redirect(route: Route, http_port: int = 80) -> Check:
    """Check that plain http leads to the same page over https. `http_port` is the site's public http port."""
    http_url = f"http://{route.host}:{http_port}/hub/health" if http_port != 80 else f"http://{route.host}/hub/health"
    expected = f"a redirect to {route.url}/hub/health"
    answer = _answer(route, http_url)
    if isinstance(answer, CheckFailed):
        return Check("redirect to https", False, expected, answer.what, answer.remedy)
    location = answer.headers.get("location", "")
    ok = answer.status_code in (301, 302, 307, 308) and _same_url(location, f"{route.url}/hub/health")
    cause = "nginx's server block for port 80 does not redirect, or redirects to a URL without the public port."
    return Check("redirect to https", ok, expected, f"{answer.status_code} {location}".rstrip(), cause)


def check_health(route: Route) -> Check:
    """Check that the hub answers its health page (/hub/health) with 200; otherwise the page says what is wrong."""
    answer = _answer(route, f"{route.url}/hub/health")
    if isinstance(answer, CheckFailed):
        return Check("hub health", False, "200", answer.what, answer.remedy)
    if answer.status_code == 200:
        return Check("hub health", True, "200", "200")
    problem = page_text(answer.text) if answer.headers.get("content-type", "").startswith("text/plain") else ""
    cause = remedy_for(problem) if problem else launch_cause(answer.status_code, False)
    return Check("hub health", False, "200", f"{answer.status_code} {problem}".rstrip(), cause)


def check_launch_get(route: Route) -> Check:
    """Check that opening the launch URL is 405: the LTI handler is there, and takes launches only."""
    answer = _answer(route, route.url + LAUNCH_PATH)
    if isinstance(answer, CheckFailed):
        return Check("launch URL", False, "405", answer.what, answer.remedy)
    ok = answer.status_code == 405
    cause = launch_cause(answer.status_code, False, page_reason(answer.text))
    return Check("launch URL", ok, "405", str(answer.status_code), cause)


def check_closed(address: str, port: int, timeout_s: float = 3.0) -> Check:
    """Check that nothing can be reached at a TCP port: refused, or no answer within `timeout_s` seconds."""
    name, expected = f"port {port} closed", "refused or filtered"
    try:
        socket.create_connection((address, port), timeout=timeout_s).close()
    except ConnectionRefusedError:
        return Check(name, True, expected, "refused")
    except TimeoutError:
        return Check(name, True, expected, "filtered")
    except OSError as error:
        # a router's or firewall's ICMP answer says that the port is filtered; anything else says nothing about it
        filtered = error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM)
        cause = f"{address} cannot be reached from here at all: the port was not tested."
        return Check(name, filtered, expected, f"no connection ({error})", cause)
    cause = f"A service listens beyond loopback (`ss -ltnp 'sport = :{port}'`), or Docker publishes the port past ufw."
    return Check(name, False, expected, "open", cause)


def check_private(browser: Browser, owner: str, path: str, root: str = "") -> Check:
    """Check that the student of `browser`, in their own session, gets nothing of `owner`: no page of their server, not
    the file `path` in their home, nor what the hub knows of them.

    `root` is the address of the owner's server, where it is another than the hub's: both are asked. A browser that is not logged in proves nothing: launch first.
    """
    home = browser.path_of(owner)
    paths = ["", "lab", f"files/{path}", f"api/contents/{path}", "api/terminals", "api/kernels"]
    homes = [f"{at}{home}" for at in dict.fromkeys(("", root))]
    addresses = [*(at + each for at in homes for each in paths), f"/hub/api/users/{home.split('/')[2]}"]
    name, expected = f"{browser.user} cannot see {owner}'s pages and files", f"403 or 404, {len(addresses)} times"
    pages = [browser.get(address) for address in addresses]
    came = ", ".join(str(page.status_code) for page in pages)
    ok = bool(browser.user) and all(page.status_code in (403, 404) for page in pages)
    cause = "A role gives students access:servers, or both launches became the same user."
    return Check(name, ok, expected, came, cause)


def check_accepted(launch: Launch, user: str) -> Check:
    """Check that a launch logged in the hub's `user`."""
    return judge("launch", Wanted(user=user), launch)


def _answer(route: Route, url: str) -> httpx.Response | CheckFailed:
    try:
        with route.client() as client:
            return client.get(url)
    except httpx.HTTPError as error:
        return unanswered(route, error, f"GET {url}")


def _same_url(one: str, other: str) -> bool:
    # The default port may be written out; httpx leaves it away.
    a, b = httpx.URL(one), httpx.URL(other)
    return (a.scheme, a.host, a.port, a.path) == (b.scheme, b.host, b.port, b.path)
