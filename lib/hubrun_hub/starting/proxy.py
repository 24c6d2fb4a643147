"""The hub's routes are in a proxy that restarted as soon as it listens again; JupyterHub looks once a minute."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.proxy import ConfigurableHTTPProxy

_PAUSE_S = 0.2


class WatchedProxy(ConfigurableHTTPProxy):
    """Keeps a connection to the proxy's API open: it ends when the proxy does."""

    _watch: asyncio.Task[None] | None = None

    async def check_routes(self, user_dict: Any, service_dict: Any, routes: Any = None) -> None:
        await super().check_routes(user_dict, service_dict, routes)
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._repair(user_dict, service_dict))

    async def _repair(self, users: Any, services: Any) -> None:
        api = urlsplit(self.api_url)
        lost = False
        while True:
            try:
                reader, writer = await asyncio.open_connection(api.hostname, api.port)
                try:
                    if lost:
                        await super().check_routes(users, services)
                    # Nothing is asked, so Node ends it after about a minute (http, server.headersTimeout): a reason to look, too.
                    while await reader.read(1024):
                        pass
                finally:
                    writer.close()
            except Exception as error:  # it is not there yet, or gone again
                self.log.debug("The proxy's API: %s", error)
                await asyncio.sleep(_PAUSE_S)
            lost = True
