"""The public keys of the LMSs (RFC 7517): fetched from where they publish them, or from the consumer's own file.

ltiauthenticator 1.6.3 fetches them again for each launch, on the hub's only thread: a slow LMS holds up everyone. Here
they are kept for five minutes, and fetched once more for a key that is new; but no more often than every few seconds,
whoever sends what. An LMS whose address does not answer goes on launching for a day with the keys that it had.

A fetch has one limit of time and one of size for the whole of it, redirects included: urllib, which PyJWT's own client
uses, only limits each read, and an LMS that drips held a launch for as long as it liked. It goes to no address inside the
institution or on this server, unless the site says so (`outbound`): what an LMS publishes, and where it redirects to, is
the LMS's to say.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from jwt import PyJWKClientConnectionError, PyJWKClientError, PyJWKSet
from tornado.httpclient import HTTPError
from tornado.netutil import Resolver

from .consumers import Platform
from .outbound import AddressResolver, client

KEEP_S = 300
TIMEOUT_S = 5
# After a fetch, well or not, this long passes until the next for a key that is not known; for one that is known, after a
# fetch that failed.
PAUSE_S = 5
PAUSE_KNOWN_S = 60
# How long keys are good while their address does not answer. Longer, and a key that an LMS withdrew would never end.
KEEP_FAILED_S = 86400
# Canvas's set has 4 KB.
LIMIT_BYTES = 256 * 1024
_REDIRECTS = 3
# An address that root wrote as that of this machine: a test's LMS.
_LOCAL = ("127.0.0.1", "localhost")


async def fetch(url: str, inner: bool = False) -> dict[str, Any]:
    """Return the keys that are published at `url`, by their ids.

    `inner`: addresses inside the institution are allowed. Raises OSError, ValueError, jwt.PyJWTError,
    tornado.httpclient.HTTPError: it does not answer as it should.
    """
    resolver, local = AddressResolver(inner=inner), AddressResolver(inner=True)
    try:
        return await asyncio.wait_for(_fetch(url, resolver, local), TIMEOUT_S)
    finally:
        resolver.close()
        local.close()


async def _fetch(url: str, resolver: Resolver, anywhere: Resolver) -> dict[str, Any]:
    first = urlsplit(url).hostname
    for _ in range(_REDIRECTS + 1):
        parts = urlsplit(url)
        local = parts.hostname in _LOCAL and parts.hostname == first
        if parts.scheme != "https" and not local:
            raise ValueError(f"redirected to {parts.scheme}://{parts.hostname}, which is not https")
        asking = client(anywhere if local else resolver, LIMIT_BYTES)
        try:
            answer = await asking.fetch(
                url, connect_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S, follow_redirects=False, raise_error=False
            )
        finally:
            asking.close()
        if answer.error is not None and not isinstance(answer.error, HTTPError):
            raise answer.error
        if answer.code not in (301, 302, 303, 307, 308):
            answer.rethrow()
            return _usable(json.loads(answer.body))
        url = urljoin(url, answer.headers.get("Location", ""))
    raise ValueError(f"more than {_REDIRECTS} redirects")


class _KeySet:
    """The keys at one address. Launches that need a fetch at the same time share it; others do not wait for it."""

    def __init__(self, url: str, inner: bool) -> None:
        self._url, self._inner = url, inner
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._failed = ""
        self._alone = asyncio.Lock()

    async def key(self, kid: str | None) -> Any:
        found = _one(self._keys, kid)
        if found is not None and time.monotonic() - self._fetched < KEEP_S:
            return found
        async with self._alone:
            now = time.monotonic()
            found = _one(self._keys, kid)
            if found is not None and now - self._fetched < KEEP_S:
                return found
            pause = PAUSE_KNOWN_S if found is not None and self._failed else PAUSE_S
            if now - self._tried >= pause:
                await self._update()
                found = _one(self._keys, kid)
        if found is not None and (not self._failed or time.monotonic() - self._fetched < KEEP_FAILED_S):
            return found
        if self._failed:
            raise PyJWKClientConnectionError(self._failed)
        raise PyJWKClientError(f"no key {kid!r:.60} is published")

    async def _update(self) -> None:
        try:
            self._keys = await fetch(self._url, self._inner)
        except Exception as error:
            self._failed = str(error) or f"no answer within {TIMEOUT_S} s"
        else:
            self._failed = ""
            self._fetched = time.monotonic()
        finally:
            self._tried = time.monotonic()


def _usable(jwks: Any) -> dict[str, Any]:
    # Only what verifies RS256; a set may hold keys for other purposes, and of kinds that PyJWT does not know.
    keys = PyJWKSet.from_dict(jwks).keys
    # A key without an id has a name that no token can give.
    return {
        key.key_id or f"\0{number}": key.key
        for number, key in enumerate(keys)
        if key.key_type == "RSA" and key.public_key_use in ("sig", None)
    }


def _one(keys: dict[str, Any], kid: str | None) -> Any | None:
    """The key `kid`; for a token that names none, the only one there is (RFC 7515, 4.1.4: `kid` is optional)."""
    if kid is not None:
        return keys.get(kid) if not kid.startswith("\0") else None
    return next(iter(keys.values())) if len(keys) == 1 else None


class KeySets:
    """The key sets of all LMSs, by their address. `inner`: they may be inside the institution."""

    def __init__(self, inner: bool = False) -> None:
        self._inner = inner
        self._sets: dict[str, _KeySet] = {}

    async def key(self, platform: Platform, kid: str | None) -> Any:
        """Return the platform's key `kid`, or its only one, for jwt.decode. Raises jwt.PyJWTError: no such key, no answer."""
        if not platform.jwks_url:
            found = _one(_usable(platform.jwks), kid)
            if found is None:
                raise PyJWKClientError(f"no key {kid!r:.60} is published")
            return found
        known = self._sets.setdefault(platform.jwks_url, _KeySet(platform.jwks_url, self._inner))
        return await known.key(kid)
