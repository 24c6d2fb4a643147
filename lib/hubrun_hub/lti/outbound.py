"""JSON from an address that somebody else named: over TLS, from the internet, and not for longer than is good.

Whoever says where the hub shall ask could otherwise have it ask the server itself, or machines that only the server can
reach (OWASP, "Server-Side Request Forgery Prevention"). What counts is where a name leads: it is looked up once, and
what was looked at is what is connected to. Redirects are not followed.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.netutil import DefaultLoopResolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

TIMEOUT_S = 10
LIMIT_BYTES = 256 * 1024
# Where a network passes IPv4 on to hosts that only have IPv6 (RFC 6052, 2.1), the address is in the last 32 bits.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class NotAnswered(Exception):
    """Why there is no answer, in words for the log; it holds nothing that was sent."""


def check_address(address: object, inner: bool) -> str:
    """Return `address` when the hub may ask there. Raises NotAnswered.

    `inner`: addresses of inner networks too; this machine may then do without TLS, as an LMS does that is tried out on it.
    """
    text = address if isinstance(address, str) else ""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        raise NotAnswered("what it says is not an address") from None
    local = inner and url.scheme == "http" and host in ("127.0.0.1", "localhost")
    if not host or "@" in url.netloc or not text.isprintable() or not text.isascii():
        raise NotAnswered("what it says is not an address")
    if url.scheme != "https" and not local:
        raise NotAnswered(f"{host} is not an https address")
    return text


def is_inner(address: str) -> bool:
    """Whether an IP address is not one of the internet (IANA's special-purpose registries, as Python has them)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        within = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            within = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if within is not None:
            found = within
    return not found.is_global or found.is_multicast


class _OutsideResolver(DefaultLoopResolver):
    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        found: list[tuple[int, Any]] = await super().resolve(host, port, family)
        if any(is_inner(str(address[0])) for _, address in found):
            raise OSError("it is in an inner network")
        return found


async def get_json(address: object, *, bearer: str = "", body: object = None, inner: bool = False) -> dict[str, Any]:
    """The JSON object at `address`; `body`, where there is one, is posted to it as JSON. Raises NotAnswered."""
    url = check_address(address, inner)
    headers = {"Accept": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = HTTPRequest(
        url, method="GET" if body is None else "POST", headers=headers, connect_timeout=TIMEOUT_S,
        body=None if body is None else json.dumps(body), request_timeout=TIMEOUT_S, follow_redirects=False,
    )  # fmt: skip
    client = SimpleAsyncHTTPClient(
        force_instance=True, max_body_size=LIMIT_BYTES, max_header_size=65536,
        resolver=None if inner else _OutsideResolver(),
    )  # fmt: skip
    where = urlsplit(url).netloc
    try:
        answer = await asyncio.wait_for(client.fetch(request, raise_error=False), TIMEOUT_S)
        # 599 is tornado's own, for what did not come at all.
        if answer.code == 599:
            raise answer.error or OSError("no answer")
        if not 200 <= answer.code < 300:
            raise NotAnswered(f"{where} answered {answer.code}")
        data = json.loads(answer.body)
    except NotAnswered:
        raise
    except TimeoutError:
        raise NotAnswered(f"{where} gave no answer within {TIMEOUT_S} s") from None
    except (ValueError, RecursionError):
        raise NotAnswered(f"{where} answered what is not JSON") from None
    except Exception as error:
        raise NotAnswered(f"{where}: {error}"[:200]) from None
    finally:
        client.close()
    if not isinstance(data, dict):
        raise NotAnswered(f"{where} answered what is not a JSON object")
    return data
