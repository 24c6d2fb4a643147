"""Launches that another site sends: somebody could post a launch of their own person into another's browser.

A victim who does not notice works under the other's name, who reads it all later. In LTI 1.3 the LMS answers the very
browser that began; a launch of LTI 1.1 is a form that any page can post. A browser says from which site a form comes
(Origin; RFC 6454, section 7), and a launch says, signed, where its LMS is. Where the two differ, a page names the person
and waits for a click. No Origin means no browser; a launch that does not name its LMS cannot be compared, and goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlsplit

from .launch import Launch

# Fields with addresses of the LMS itself (IMS LTI 1.1.1, 3 and 4.4; tool_consumer_instance_url).
_NAMES_LMS = ("launch_presentation_return_url", "lis_outcome_service_url", "tool_consumer_instance_url")
COOKIE = "__Host-hubrun-confirm"
KEEP_S = 300
_LIMIT = 1000
_DEFAULT_PORTS = {"http": 80, "https": 443}


def lms_hosts(signed: Mapping[str, str]) -> frozenset[str]:
    """Return the host that the `signed` fields of LTI 1.1 name as the LMS's own: by the first of _NAMES_LMS that is there.

    Not by any of them: Canvas sends a return URL with each launch, but not always the others, and copies these from a
    link's own address into the form that it signs (gems/lti_outbound, tool_launch.rb), and any student can launch such a
    link. Nor is a field left out that is in the query: whoever sends a launch can write it there, or move it there.
    """
    return hosts_of([next((signed[name] for name in _NAMES_LMS if signed.get(name, "").strip()), "")])


def claimed_hosts(body: bytes) -> frozenset[str]:
    """What `lms_hosts` would be, from a form that nobody has verified."""
    try:
        return lms_hosts(dict(reversed(parse_qsl(body.decode(errors="replace"), max_num_fields=1000))))
    except ValueError:
        return frozenset()


def hosts_of(addresses: Iterable[str]) -> frozenset[str]:
    """Return the hosts of those that are addresses of the web, with the port where it is not the usual one."""
    return frozenset(filter(None, map(host_of, addresses)))


def is_elsewhere(origin: str | None, hosts: frozenset[str]) -> bool:
    """Whether a browser says that the form comes from another site than the LMS: `null` is a site that hides its name."""
    return origin is not None and bool(hosts) and host_of(origin) not in hosts


def host_of(address: str) -> str:
    """Return the host of an address of the web, with the port where it is not the usual one; "" for anything else."""
    try:
        url = urlsplit(address.strip())
        port = url.port
    except ValueError:
        return ""
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        return ""
    return url.hostname if port in (None, _DEFAULT_PORTS[url.scheme]) else f"{url.hostname}:{port}"


class PendingConfirmations:
    """Verified launches that wait for a click, for KEEP_S seconds. Only what is signed gets here, and not for long."""

    def __init__(self) -> None:
        self._launches: dict[str, tuple[float, str, Launch]] = {}

    def put(self, launch: Launch, now: float) -> tuple[str, str]:
        """Keep a launch; return the ticket for the page and the secret for the browser's cookie."""
        self._launches = {key: each for key, each in self._launches.items() if each[0] > now}
        while len(self._launches) >= _LIMIT:
            del self._launches[next(iter(self._launches))]
        ticket, browser = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self._launches[ticket] = (now + KEEP_S, browser, launch)
        return ticket, browser

    def take(self, ticket: str, browser: str, now: float) -> Launch | None:
        """Return the launch of a ticket, once, to the browser to which it was given; None otherwise."""
        until, secret, launch = self._launches.get(ticket, (0.0, "", None))
        if launch is None or until <= now or not secrets.compare_digest(secret.encode(), browser.encode()):
            return None
        del self._launches[ticket]
        return launch
