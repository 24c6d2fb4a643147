"""A page on this machine that launches somebody by itself; for LTI 1.3, with the LMS's authorize endpoint beside it."""

from __future__ import annotations

import html
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

from hubrun.errors import HubrunError

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>
<p>{title} …</p>
<form id="launch" method="post" action="{url}">
{fields}
<noscript><button>Launch</button></noscript>
</form>
<script nonce="{nonce}">document.getElementById("launch").submit()</script>
</body></html>
"""
_TEXT = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>hubrun launch</title></head><body><p>{text}</p></body></html>\n'


@dataclass(frozen=True)
class Form:
    """A form that the page posts at once."""

    url: str
    fields: dict[str, str]


class LaunchPage:
    """Serves the page on 127.0.0.1, while `serving` lasts.

    `launch` is asked for the form each time the page is opened, as a signature is good for minutes; for LTI 1.3 it
    is given a hint, with which the hub's question comes to `answer`, once. Both may raise HubrunError.

    Whoever opens the page is launched, so its address is a secret, good for the first browser that comes: the browser's
    own command line shows it to everybody who is logged in to this machine.
    """

    def __init__(
        self, title: str, launch: Callable[[str], Form], answer: Callable[[dict[str, str]], Form] | None = None
    ) -> None:
        self.title = title
        self.opened = threading.Event()
        self._launch, self._answer = launch, answer
        self._path, self._browser = f"/{secrets.token_urlsafe(24)}", ""
        self._hints: set[str] = set()
        self._alone = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def root(self) -> str:
        """The server's address, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The page's address."""
        return self.root + self._path

    @property
    def authorize_url(self) -> str:
        """Where the hub sends the browser with its question (LTI 1.3)."""
        return f"{self.root}/authorize"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """For as long as the block runs, a thread serves the page."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()

    def form(self, path: str, query: dict[str, str]) -> Form | None:
        """The form for a path of the server, None where nothing is there. Raises HubrunError."""
        with self._alone:
            if path == self._path:
                hint = secrets.token_urlsafe(16)
                self._hints.add(hint)
                form = self._launch(hint)
                self.opened.set()
                return form
            if path == "/authorize" and self._answer and query.get("login_hint") in self._hints:
                self._hints.remove(query["login_hint"])
                return self._answer(query)
        return None

    def admits(self, cookie: str) -> str | None:
        """The cookie for a browser that may open the page: the first one that comes. None for all others."""
        with self._alone:
            if not self._browser:
                self._browser = secrets.token_urlsafe(24)
                return self._browser
            return self._browser if secrets.compare_digest(cookie.encode(), self._browser.encode()) else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url, cookie = urlsplit(self.path), SimpleCookie(self.headers.get("Cookie", "")).get("hubrun")
                known: str | None = ""
                if url.path == page._path:
                    known = page.admits(cookie.value if cookie else "")
                if known is None:
                    return self.say(403, "This page was opened in another browser. Run ./hubrun launch again.")
                try:
                    form = page.form(url.path, dict(parse_qsl(url.query)))
                except HubrunError as error:
                    return self.say(502, str(error))
                if form is None:
                    return self.say(404, "There is nothing here.")
                fields = "\n".join(
                    f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
                    for name, value in form.fields.items()
                )
                nonce = secrets.token_urlsafe(16)
                self.answer(
                    200,
                    _PAGE.format(title=html.escape(page.title), url=html.escape(form.url), fields=fields, nonce=nonce),
                    f"script-src 'nonce-{nonce}'",
                    f"hubrun={known}; HttpOnly; SameSite=Strict; Path=/" if known else "",
                )

            def say(self, status: int, text: str) -> None:
                self.answer(status, _TEXT.format(text=html.escape(text)))

            def answer(self, status: int, text: str, policy: str = "", cookie: str = "") -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(text.encode())))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Security-Policy", f"default-src 'none'; {policy}")
                if cookie:
                    self.send_header("Set-Cookie", cookie)
                self.end_headers()
                self.wfile.write(text.encode())

            @override
            def log_message(self, *_: Any) -> None:
                pass

        return Handler
