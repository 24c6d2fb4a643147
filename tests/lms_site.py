"""Sites with TLS on this machine, for tests in a browser: an LMS's pages, and a way in front of a hub without nginx.

A browser takes hub.localhost and lms.localhost for two sites, and finds both here. No certificate is one that it knows.
"""

from __future__ import annotations

import html
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def tls(host: str, folder: Path) -> ssl.SSLContext:
    """TLS with a new key and a certificate for `host` that is signed by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def form_page(action: str, fields: dict[str, str], target: str = "", submit: bool = False) -> str:
    """A page with a form of hidden fields: for a click, into the window `target`, or on its way at once."""
    inputs = "".join(f'<input type="hidden" name="{n}" value="{html.escape(v)}">' for n, v in fields.items())
    script = "<script>document.forms[0].submit()</script>" if submit else ""
    return (
        f'<!doctype html><title>Canvas</title><form action="{html.escape(action)}" method="post" target="{target}">'
        f"{inputs}<button>Open JupyterHub</button></form>{script}"
    )


@dataclass
class Site:
    """A site of its own, such as an LMS's: pages by their path, made from the query."""

    url: str
    pages: dict[str, Callable[[dict[str, str]], str]] = field(default_factory=dict)


@contextmanager
def serving_site(host: str, folder: Path) -> Iterator[Site]:
    """A site at https://`host`:PORT, for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            page = site.pages.get(url.path)
            body = page(dict(parse_qsl(url.query))).encode() if page else b""
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A browser looks at the certificate and hangs up, before it takes it all the same."""

    server = Server(("127.0.0.1", 0), Handler)
    # The handshake is left to the first read, in the thread of the connection: Chromium opens some to keep them.
    server.socket = tls(host, folder).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site = Site(f"https://{host}:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()


class TlsFront:
    """https://`host`:PORT before servers of this machine, as nginx stands before the hub; websockets too.

    `port_of` says by a request's path which port it goes to. Each connection carries one request.
    """

    def __init__(self, host: str, folder: Path, port_of: Callable[[str], int]) -> None:
        self._port_of = port_of
        self._tls = tls(host, folder)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"https://{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, IndexError), self._tls.wrap_socket(connection, server_side=True) as browser:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := browser.recv(65536)):
                    return
                head += more
            head, _, body = head.partition(b"\r\n\r\n")
            request, *lines = head.split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith((b"connection:", b"x-forwarded-"))]
            upgrades = any(line.lower().startswith(b"upgrade:") for line in lines)
            kept += [b"Connection: Upgrade" if upgrades else b"Connection: close", b"X-Forwarded-Proto: https"]
            path = request.split(b" ")[1].decode()
            with socket.create_connection(("127.0.0.1", self._port_of(path))) as server:
                server.sendall(b"\r\n".join([request, *kept]) + b"\r\n\r\n" + body)
                _relay(browser, server)


def _relay(browser: ssl.SSLSocket, server: socket.socket) -> None:
    """Pass on what comes from either side until one ends. In one thread, as a TLS connection may be used by one only."""
    while True:
        ready = [browser] if browser.pending() else select.select([browser, server], [], [])[0]
        for source in ready:
            if not (more := source.recv(65536)):
                return
            (server if source is browser else browser).sendall(more)
