"""What the hub says of looks at this server: asked for when the hub tells to, passed on to JupyterLab, and brought to an end."""

# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-unimported,untyped-decorator"
from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any
from weakref import WeakSet

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado.httpclient import AsyncHTTPClient
from tornado.web import HTTPError, authenticated
from tornado.websocket import WebSocketHandler

_SECONDS = 4.0


class Told:
    """The looks as the hub says them (hubrun_hub/looking/looks.py, Look.said), and the websockets that are open."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.looks: list[dict[str, Any]] = []
        self.sockets: WeakSet[Any] = WeakSet()
        self._asking = asyncio.Lock()

    async def ask(self) -> None:
        """Ask the hub, and put out whoever looks no more. Raises what the request raises."""
        # This server's own way to the hub, .../hub/api; the answer is beside it.
        base = os.environ["JUPYTERHUB_API_URL"].rstrip("/").removesuffix("/api")
        headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"}
        async with self._asking:
            answer = await AsyncHTTPClient().fetch(f"{base}/hubrun-looks", headers=headers, request_timeout=_SECONDS)
            self.looks = json.loads(answer.body)["looks"]
            self.put_out()

    def now(self) -> list[dict[str, Any]]:
        """The looks; one whose time is over is over, also while the hub is away."""
        return [each | {"on": each["on"] and time.time() < each["until"]} for each in self.looks]

    def put_out(self) -> None:
        """Close what others have open here unless they look, and ask the hub again who they are; look again at the end."""
        on = [each for each in self.now() if each["on"]]
        here = {os.environ["JUPYTERHUB_USER"], *(each["viewer"] for each in on)}
        self.app.identity_provider.hub_auth.cache.clear()
        for socket in list(self.sockets):
            # Whose it is, is known when jupyter_server has let it in (base/handlers.py, JupyterHandler.prepare).
            if getattr(getattr(socket, "_jupyter_current_user", None), "username", None) not in here:
                socket.close()
        if on:
            soonest = min(each["until"] for each in on)
            asyncio.get_running_loop().call_later(max(1.0, soonest - time.time()), self.put_out)


class Looks(JupyterHandler):
    """GET: what JupyterLab shows. POST: the hub says that there is something to ask for; from outside nobody does."""

    def initialize(self, told: Told) -> None:
        self.told = told

    def check_xsrf_cookie(self) -> None:
        """Nothing here is done for whoever asks."""

    @authenticated
    def get(self) -> None:
        self.finish({"looks": self.told.now()})

    @allow_unauthenticated
    async def post(self) -> None:
        if "X-Forwarded-For" in self.request.headers:  # by the proxy
            raise HTTPError(404)
        try:
            await self.told.ask()
        except Exception as error:  # the hub is away, or says what we do not know: it then does not share the server
            self.log.warning("The hub's word of who looks at this server cannot be read: %s", error)
            raise HTTPError(503) from error
        self.set_status(204)


def add(app: Any) -> None:
    """Take note of the hub's word in this server; JupyterLab's page knows that it may ask for it."""
    told, made = Told(app), WebSocketHandler.__init__

    def make_and_remember(self: Any, *given: Any, **options: Any) -> None:
        made(self, *given, **options)
        told.sockets.add(self)

    WebSocketHandler.__init__ = make_and_remember  # type: ignore[method-assign]
    app.web_app.add_handlers(".*$", [(f"{app.base_url.rstrip('/')}/hubrun-looks", Looks, {"told": told})])
    app.web_app.settings.setdefault("page_config_data", {})["hubrunLooks"] = "on"
