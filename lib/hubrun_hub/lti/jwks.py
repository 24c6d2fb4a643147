"""The public keys of the LMSs (RFC 7517): fetched from where they publish them, or from the consumer's own file.

ltiauthenticator 1.6.3 fetches them again for each launch, on the hub's only thread: a slow LMS holds up everyone. Here
they are kept for five minutes, and fetched once more for a key that is new; but no more often than every few seconds,
whoever sends what. A fetch has one limit of time and one of size for the whole of it, redirects included: urllib, which
PyJWT's own client uses, only limits each read, and an LMS that drips held a launch for as long as it liked.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from jwt import PyJWKClientConnectionError, PyJWKClientError, PyJWKSet
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from .consumers import Platform

KEEP_S = 300
TIMEOUT_S = 5
# After a fetch, well or not, this long passes until the next for a key that is not known.
PAUSE_S = 5
# Canvas's set has 4 KB.
LIMIT_BYTES = 256 * 1024


class _KeySet:
    """The keys at one address. Launches that come at the same time share a fetch."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._failed = ""
        self._alone = asyncio.Lock()

    async def key(self, kid: str) -> Any:
        async with self._alone:
            now = time.monotonic()
            known = kid in self._keys and now - self._fetched < KEEP_S
            if not known and now - self._tried >= PAUSE_S:
                await self._fetch()
            elif not known and self._failed:
                raise PyJWKClientConnectionError("the last fetch failed a moment ago")
        return _one(self._keys, kid)

    async def _fetch(self) -> None:
        client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=LIMIT_BYTES, max_header_size=65536)
        try:
            answer = await asyncio.wait_for(
                client.fetch(self._url, connect_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S, max_redirects=3),
                TIMEOUT_S,
            )
            keys = _usable(json.loads(answer.body))
        except Exception as error:
            self._failed = str(error) or f"no answer within {TIMEOUT_S} s"
            raise PyJWKClientConnectionError(self._failed) from error
        else:
            self._failed = ""
            self._fetched = time.monotonic()
            self._keys = keys
        finally:
            self._tried = time.monotonic()
            client.close()


def _usable(jwks: Any) -> dict[str, Any]:
    keys = PyJWKSet.from_dict(jwks).keys
    return {key.key_id: key.key for key in keys if key.key_id and key.public_key_use in ("sig", None)}


def _one(keys: dict[str, Any], kid: str) -> Any:
    if kid not in keys:
        raise PyJWKClientError(f"no key {kid!r:.60} is published")
    return keys[kid]


class KeySets:
    """The key sets of all LMSs, by their address."""

    def __init__(self) -> None:
        self._sets: dict[str, _KeySet] = {}

    async def key(self, platform: Platform, kid: str) -> Any:
        """Return the platform's key `kid`, for jwt.decode. Raises jwt.PyJWTError: no such key, no answer."""
        if not platform.jwks_url:
            return _one(_usable(platform.jwks), kid)
        return await self._sets.setdefault(platform.jwks_url, _KeySet(platform.jwks_url)).key(kid)
