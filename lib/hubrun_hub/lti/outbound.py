"""Requests to an address that somebody else named: over TLS, to the internet, and not for longer than is good.

Whoever says where the hub shall ask could otherwise have it ask the server itself, or machines that only the server can
reach (OWASP, "Server-Side Request Forgery Prevention"), unless the site says so (`lti_inner_addresses`). What counts is where a name leads: it is looked up once, and
what was looked at is what is connected to. Redirects are not followed.

In a network that reaches the outside by a proxy only, the proxy is asked for a tunnel (RFC 9110, 9.3.6). It looks the
name up then, and what it lets through is its operator's to say; a name that is known here to lead inside is refused all
the same. The variables are the unit's own: a proxy that stands in the hub's environment for others is not used.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.tcpclient import TCPClient

TIMEOUT_S = 10
PROXY, DIRECT = "HUBRUN_HTTP_PROXY", "HUBRUN_NO_PROXY"
LIMIT_BYTES = 256 * 1024


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


class InnerAddress(OSError):
    """An address that is not one of the internet, where the site does not allow it."""


class AddressResolver(Resolver):
    """Resolves names, to addresses of the internet alone unless `inner`. What it returns is what is connected to.

    In a thread of its own: the loop's own few would all wait for one LMS whose name servers do not answer.
    """

    def initialize(self, inner: bool) -> None:
        self._inner = inner
        self._thread = ThreadPoolExecutor(1, "outbound")

    async def resolve(self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Any]:
        """Raises InnerAddress where a name has none of the internet, OSError where it has none at all."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        outer = [(family, address) for family, _, _, _, address in found if self._inner or is_outer(str(address[0]))]
        if not outer:
            raise InnerAddress(f"{host} is at {found[0][4][0]}, which is not an address of the internet")
        return outer

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


class _Tunnels(TCPClient):
    """Connects through the site's proxy, where it has one and the host is not one of those that are asked without."""

    async def connect(self, host: str, port: int, *args: Any, ssl_options: Any = None, **kwargs: Any) -> Any:
        proxy = urlsplit(os.environ.get(PROXY, ""))
        direct = filter(None, os.environ.get(DIRECT, "").split(","))
        if not proxy.hostname or ssl_options is None or is_direct(host, direct):
            return await super().connect(host, port, *args, ssl_options=ssl_options, **kwargs)
        try:
            await self.resolver.resolve(host, port)
        except InnerAddress:
            raise
        except OSError:  # here only the proxy knows the names of the outside
            pass
        plain = TCPClient()
        try:
            stream = await plain.connect(proxy.hostname, proxy.port or 80)
        finally:
            plain.close()
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        await stream.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
        first = (await stream.read_until(b"\r\n\r\n", max_bytes=65536)).split(b"\r\n")[0]
        if first.split()[1:2] != [b"200"]:
            stream.close()
            raise OSError(f"the proxy {proxy.netloc} does not let it through: {first.decode('ascii', 'replace')[:80]}")
        return await stream.start_tls(False, ssl_options, server_hostname=host)


def is_direct(host: str, entries: Iterable[str]) -> bool:
    """Whether one of the entries of no_proxy is for this host: a name, a domain, or a network that an address is in."""
    for each in entries:
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(each):
                return True
        except ValueError:
            if host == each.lstrip(".") or host.endswith(f".{each.lstrip('.')}"):
                return True
    return False


def client(resolver: Resolver, max_body_size: int) -> SimpleAsyncHTTPClient:
    """A client of its own for one request, which goes through the site's proxy. max_body_size: in bytes."""
    made = SimpleAsyncHTTPClient(
        force_instance=True, resolver=resolver, max_body_size=max_body_size, max_header_size=65536
    )
    made.tcp_client = _Tunnels(resolver=resolver)
    return made


def is_outer(address: str) -> bool:
    """Whether an IP address is one of the internet; an IPv4 address inside one of IPv6 counts as itself."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inside = ip.ipv4_mapped or ip.sixtofour if isinstance(ip, ipaddress.IPv6Address) else None
    # 64:ff9b::/96 is IPv4 behind a translator (RFC 6052, 2.1).
    if isinstance(ip, ipaddress.IPv6Address) and ip in ipaddress.IPv6Network("64:ff9b::/96"):
        inside = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return (inside or ip).is_global and not (inside or ip).is_multicast


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status. `headers` are found by their names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, where: str = "it") -> Any:
        """What the body says. Raises NotAnswered; `where`: who answered."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise NotAnswered(f"{where} answered what is not JSON") from None


async def send(
    method: str, address: object, headers: Mapping[str, str], body: bytes | None = None, *, inner: bool = False,
    limit: int = LIMIT_BYTES,
) -> Answer:  # fmt: skip
    """Send one request. limit: of the answer's body, in bytes. Raises NotAnswered where no answer came."""
    url = check_address(address, inner)
    request = HTTPRequest(
        url, method=method, headers=dict(headers), body=body, connect_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S,
        follow_redirects=False, allow_nonstandard_methods=True,
    )  # fmt: skip
    resolver = AddressResolver(inner=inner)
    asking = client(resolver, limit)
    where = urlsplit(url).netloc
    try:
        answer = await asyncio.wait_for(asking.fetch(request, raise_error=False), TIMEOUT_S)
        # 599 is tornado's own, for what did not come at all.
        if answer.code == 599:
            raise answer.error or OSError("no answer")
        return Answer(answer.code, answer.headers, answer.body or b"")
    except TimeoutError:
        raise NotAnswered(f"{where} gave no answer within {TIMEOUT_S} s") from None
    except Exception as error:
        raise NotAnswered(f"{where}: {error}"[:200]) from None
    finally:
        asking.close()
        resolver.close()


async def get_json(address: object, *, bearer: str = "", body: object = None, inner: bool = False) -> dict[str, Any]:
    """The JSON object at `address`; `body`, where there is one, is posted to it as JSON. Raises NotAnswered."""
    headers = {"Accept": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    method, data = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
    answer = await send(method, address, headers, data, inner=inner)
    where = urlsplit(str(address)).netloc
    if not 200 <= answer.status < 300:
        raise NotAnswered(f"{where} answered {answer.status}")
    found = answer.json(where)
    if not isinstance(found, dict):
        raise NotAnswered(f"{where} answered what is not a JSON object")
    return found
