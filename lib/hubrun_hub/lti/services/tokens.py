"""Tokens for an LMS's services: IMS Security Framework 1.0, 4.1 (client credentials with a JWT, RFC 7523).

A token is kept until a minute before it ends. One that the LMS refuses is forgotten, and asked for once more.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from ..outbound import Answer, NotAnswered
from .calls import Calls, ServiceError

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_GOOD_FOR_S = 300
_EARLY_S = 60
# Where the LMS does not say how long (RFC 6749, 5.1: expires_in is recommended).
_DEFAULT_S = 600


@dataclass(frozen=True)
class Tool:
    """The tool at one LMS: where it gets tokens, its client id there, and for whom its requests are (`aud`)."""

    token_url: str
    client_id: str
    audience: str


class Tokens:
    """sign: a JWT of these claims by the tool's key; with True by the key before, "" where there is none."""

    def __init__(self, sign: Callable[[Mapping[str, Any], bool], str], calls: Calls) -> None:
        self._sign, self._calls = sign, calls
        self._kept: dict[tuple[Tool, str], tuple[float, str]] = {}
        self._one_at_a_time: dict[tuple[Tool, str], asyncio.Lock] = {}

    async def get(self, tool: Tool, scopes: Iterable[str]) -> str:
        """Return a token for these scopes. Raises ServiceError."""
        key = (tool, " ".join(sorted(scopes)))
        async with self._one_at_a_time.setdefault(key, asyncio.Lock()):
            until, token = self._kept.get(key, (0.0, ""))
            if time.monotonic() >= until:
                until, token = await self._fetch(*key)
                self._kept[key] = until, token
        return token

    def forget(self, token: str) -> None:
        """The LMS does not accept this token."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept[1] != token}

    async def ask(
        self, tool: Tool, scopes: Iterable[str], method: str, url: str, headers: Mapping[str, str],
        body: bytes | None = None, **how: Any,
    ) -> Answer:  # fmt: skip
        """As `Calls.ask`, with a token; and once more with a new one, where the LMS does not accept that."""
        scopes = tuple(scopes)
        for last in (False, True):
            token = await self.get(tool, scopes)
            try:
                bearing = ({**headers, "Authorization": f"Bearer {token}"}, body)
                return await self._calls.ask(method, url, lambda: bearing, **how)  # noqa: B023 - asked at once
            except ServiceError as error:
                if error.status != 401 or last:
                    raise
                self.forget(token)
        raise AssertionError("the last try returns or raises")

    async def _fetch(self, tool: Tool, scope: str) -> tuple[float, str]:
        where = urlsplit(tool.token_url).netloc
        if not tool.token_url:
            raise ServiceError("it is not known where this LMS gives out tokens: set token_url (lti_token_url)")
        for former in (False, True):
            if not self._request(tool, scope, former)[1]:
                break
            made = partial(self._request, tool, scope, former)
            answer = await self._calls.ask("POST", tool.token_url, made, accept=(400, 401, 403))
            if answer.status < 300:
                return _read(answer, scope, where)
            refused = f"{where} gives the hub no token ({answer.status} {_why(answer)})"
        raise ServiceError(f"{refused}: does it have the tool's key, and are the scopes allowed (05_canvas)?", 401)

    def _request(self, tool: Tool, scope: str, former: bool) -> tuple[dict[str, str], bytes]:
        """A question for a token, whose assertion is good once; without a body where there is no such key."""
        now = int(time.time())
        claims = {
            "iss": tool.client_id, "sub": tool.client_id, "aud": tool.audience or tool.token_url, "iat": now,
            "exp": now + _GOOD_FOR_S, "jti": secrets.token_urlsafe(24),
        }  # fmt: skip
        assertion = self._sign(claims, former)
        asked = {
            "grant_type": "client_credentials", "client_assertion_type": _ASSERTION, "client_assertion": assertion,
            "scope": scope,
        }  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        return headers, urlencode(asked).encode() if assertion else b""


def _read(answer: Answer, scope: str, where: str) -> tuple[float, str]:
    try:
        said = answer.json(where)
        token, seconds, granted = said["access_token"], said.get("expires_in", _DEFAULT_S), said.get("scope", scope)
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and isinstance(granted, str)):
            raise ValueError
        until = time.monotonic() + min(float(seconds), 86400.0) - _EARLY_S
    except (NotAnswered, ValueError, TypeError, KeyError, AttributeError):
        raise ServiceError(f"{where} answered what is not a token") from None
    if missing := set(scope.split()) - set(granted.split()):
        raise ServiceError(
            f"{where} does not allow the tool {', '.join(sorted(missing))}: add it to the tool there", 403
        )
    return until, token


def _why(answer: Answer) -> str:
    """The error's own word (RFC 6749, 5.2)."""
    try:
        said = json.loads(answer.body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return said[:60] if isinstance(said, str) and said.isprintable() else ""
