"""TLS in front of a hub of this machine, for a browser: what nginx and the proxy do on a server."""

from __future__ import annotations

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from lti_hub import HUB

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Not passed on from one connection to another (RFC 9110, 7.6.1); the length is that of a body which ends with the connection.
_OWN_HEADERS = {b"connection", b"transfer-encoding", b"keep-alive", b"content-length"}


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Chromium asks once more where it does not know a certificate."""


def serve_tls(handler: type[BaseHTTPRequestHandler], certificate: Path) -> ThreadingHTTPServer:
    """A server with TLS on a free port, in threads."""
    server = _Server(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # The handshake is left to the first read, in the thread of the connection: Chromium opens some to keep them.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


def front(hub_port: int, student_port: int) -> type[BaseHTTPRequestHandler]:
    """/user/ is the person's own server once it listens; all else is the hub's, or a page that waits while it is away."""

    class Front(Quiet):
        def pass_on(self) -> None:
            self.close_connection = True
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            to_student = self.path.startswith("/user/") and is_open(student_port)
            port = student_port if to_student else hub_port
            if not is_open(port):
                page = (HUB / "away" / "error.html").read_bytes()
                self.send_response(503)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page)
                return
            headers = [(name, value) for name, value in self.headers.items() if name.lower() != "connection"]
            headers.append(("X-Forwarded-Proto", "https"))
            try:
                with httpx.stream(
                    self.command, f"http://127.0.0.1:{port}{self.path}", headers=headers, content=body, timeout=120,
                    verify=False,
                ) as answer:  # fmt: skip
                    self.send_response(answer.status_code)
                    for name, value in answer.headers.raw:
                        if name.lower() not in _OWN_HEADERS:
                            self.send_header(name.decode(), value.decode())
                    self.send_header("Connection", "close")
                    self.end_headers()
                    for part in answer.iter_raw():
                        self.wfile.write(part)
                        self.wfile.flush()
            except (OSError, httpx.HTTPError):
                pass  # one of the two has gone

        do_GET = do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = pass_on

    return Front


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
