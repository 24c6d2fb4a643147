"""The public keys of the LMSs, fetched from where they publish them (RFC 7517).

ltiauthenticator 1.6.3 fetches them anew for each launch, on the hub's only thread: a slow LMS holds up everyone.
Here they are fetched aside, kept for five minutes, and once more for a key that is new; but no more often than every
few seconds, whoever sends what.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jwt import PyJWKClient, PyJWKClientConnectionError

KEEP_S = 300
TIMEOUT_S = 5
# After a fetch, well or not, this long passes until the next for a key that is not known.
PAUSE_S = 5


class _KeySet(PyJWKClient):
    """PyJWT's client, which pauses after a successful fetch, and so after a failed one too."""

    _failed: float | None = None

    def fetch_data(self) -> Any:
        if self._failed is not None and time.monotonic() - self._failed < PAUSE_S:
            raise PyJWKClientConnectionError("the last fetch failed a moment ago")
        try:
            data = super().fetch_data()
        except Exception as error:
            self._failed = time.monotonic()
            raise PyJWKClientConnectionError(str(error)) from error
        self._failed = None
        return data


class KeySets:
    """The key sets of all LMSs, by their address."""

    def __init__(self) -> None:
        self._sets: dict[str, _KeySet] = {}
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="jwks")

    async def key(self, url: str, kid: str) -> Any:
        """Return the key `kid` of the set at `url`, for jwt.decode. Raises jwt.PyJWTError: no such key, no answer."""
        if url not in self._sets:
            self._sets[url] = _KeySet(url, timeout=TIMEOUT_S, lifespan=KEEP_S, cooldown_duration=PAUSE_S)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._sets[url].get_signing_key, kid)
        return found.key
