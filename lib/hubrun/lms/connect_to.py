"""Reaching a site at a given address while its domain stays the name: curl's --connect-to for httpx.

A practice server's domain is in nobody's DNS, and a real one may not be there yet. The Host header, the name
in the TLS handshake (SNI) and the name that the certificate is verified for stay those of the URL.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from typing_extensions import override

from hubrun.errors import BadInput
from hubrun.params import Site

_DEFAULT_PORT = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Route:
    """How a site is reached, and the addresses of its people below it. `url` is its public root, such as https://hub.example.edu or …:8443.

    `address` is where to connect in place of what DNS says ("" = DNS), `port` in place of the URL's port
    (0 = the URL's), `trust_ca_file` a local PEM file that verifies the certificate ("" = the system's store).
    Raises BadInput for a URL that is none, or a file that holds no certificate.
    """

    url: str
    address: str = ""
    port: int = 0
    trust_ca_file: str = ""

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in _DEFAULT_PORT or not urlsplit(self.url).hostname:
            raise BadInput(f"{self.url!r} is not an http or https URL", "site")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @classmethod
    def to(cls, site: Site) -> Route:
        """How this machine reaches a site, as its parameters say."""
        return cls(site.url, site.public_address, trust_ca_file=site.trust_ca_file)

    @property
    def host(self) -> str:
        """The domain, without a port."""
        return urlsplit(self.url).hostname or ""

    def target(self, url: str) -> tuple[str, int]:
        """Return (host or address, port) to connect to for `url`; hosts other than the domain and those below it, and other ports, are left alone."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORT.get(parts.scheme, 0)
        own = urlsplit(self.url)
        if host == own.hostname or host.endswith(f".{own.hostname}"):
            own_port = own.port or _DEFAULT_PORT[own.scheme]
            return self.address or host, self.port if self.port and port == own_port else port
        return host, port

    @property
    def is_direct(self) -> bool:
        """Whether connections go to an address of our own choosing, past DNS and any web proxy."""
        return bool(self.address or self.port)

    def ssl_context(self) -> ssl.SSLContext:
        """What TLS trusts: `trust_ca_file` alone, or else the system's CAs. Raises BadInput when the file is not a PEM file."""
        try:
            return ssl.create_default_context(cafile=self.trust_ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise BadInput(
                f"no certificate can be read from {self.trust_ca_file!r}",
                "trust_ca_file",
                "It is a PEM file.",
                str(error),
            ) from error

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """Return an httpx client with cookies that follows no redirect unless asked; close it after use."""
        context = self.ssl_context()
        # without a transport of ours httpx goes through the proxy that the environment names, as a browser would
        transport = ConnectTo(self, context) if self.is_direct else None
        return httpx.Client(transport=transport, verify=context, timeout=timeout_s)


class ConnectTo(httpx.HTTPTransport):
    """An httpx transport that connects where `route` says."""

    def __init__(self, route: Route, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._route = route

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host, port = self._route.target(str(request.url))
        # a copy: the client keeps the original, whose URL decides which cookies belong to it
        there = httpx.Request(
            request.method,
            request.url.copy_with(host=host, port=port),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return super().handle_request(there)
