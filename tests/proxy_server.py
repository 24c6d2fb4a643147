"""A proxy on this machine, for tests: HTTP by absolute address, and tunnels (CONNECT); with a password where one is given."""

from __future__ import annotations

import base64
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Proxy(ThreadingHTTPServer):
    """seen: what it was asked for. leads: whatever name is asked for, there it goes. refuses: it answers 403."""

    daemon_threads = True

    def __init__(self, login: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.login = login
        self.seen: list[str] = []
        self.leads: tuple[str, int] | None = None
        self.refuses = False

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def _is_let_in(self) -> bool:
        self.server.seen.append(f"{self.command} {self.path}")
        wanted = base64.b64encode(self.server.login.encode()).decode()
        if self.server.refuses:
            self.send_error(403, "Not by this proxy")
        elif self.server.login and self.headers.get("Proxy-Authorization") != f"Basic {wanted}":
            self.send_error(407, "Who are you")
        else:
            return True
        return False

    def _connected(self, host: str, port: int) -> socket.socket:
        return socket.create_connection(self.server.leads or (host, port), 5)

    def do_CONNECT(self) -> None:
        if not self._is_let_in():
            return
        host, _, port = self.path.rpartition(":")
        try:
            far = self._connected(host.strip("[]"), int(port))
        except OSError:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        with far:
            both = {self.connection: far, far: self.connection}
            while True:
                for ready in select.select([*both], [], [], 5)[0] or [None]:
                    piece = ready.recv(65536) if ready else b""
                    if not piece:
                        self.close_connection = True
                        return
                    both[ready].sendall(piece)

    def do_GET(self) -> None:
        if not self._is_let_in():
            return
        url = urlsplit(self.path)
        try:
            far = self._connected(url.hostname or "", url.port or 80)
        except OSError:
            self.send_error(502)
            return
        self.close_connection = True
        with far:
            far.sendall(f"{self.command} {url.path or '/'} HTTP/1.0\r\nHost: {url.netloc}\r\n\r\n".encode())
            while piece := far.recv(65536):
                self.wfile.write(piece)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(login: str = "") -> Iterator[Proxy]:
    server = Proxy(login)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
