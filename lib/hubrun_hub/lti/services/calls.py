"""Requests to an LMS's services: what is tried again, how long is waited, and what a refusal means.

A request that may be carried out twice without harm is tried again when no answer came, or 429 or 5xx (RFC 9110, 9.2.2 and
15.6; RFC 6585, 4). One that may not is tried again only where the LMS says that it did nothing: 429. Else it is unclear
what came of it, and who asked looks first (`Unclear`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from ..outbound import Answer, NotAnswered, send

TRIES = 4
# What an LMS asks us to wait may be longer than somebody who waits before a page.
LONGEST_WAIT_S = 20.0
# A page of 300 people has some hundred kilobytes.
LIMIT_BYTES = 4 << 20
_PAGES = 200
# RFC 8288, 3: the target in angle brackets, then its parameters.
_LINK = re.compile(r"<([^>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:\"[^\"]*\"|[^\s\",;]+))?)*)")
_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next(?![\w-]))", re.IGNORECASE)


class ServiceError(Exception):
    """Why an LMS did not do it, in words for who asked. `status` is HTTP's, 0 where there was no answer."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Unclear(ServiceError):
    """It may have been carried out, or not."""


class Calls:
    """Sends requests. `inner`: to addresses inside the institution too; `sleep` waits so many seconds."""

    def __init__(self, inner: bool, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        self._inner, self._sleep = inner, sleep

    async def ask(
        self, method: str, url: str, made: Callable[[], tuple[Mapping[str, str], bytes | None]], *, twice: bool = True,
        accept: tuple[int, ...] = (),
    ) -> Answer:  # fmt: skip
        """Return an answer of 2xx, or with a status of `accept`. `twice`: it does no harm to be carried out twice.

        made: headers and body, made for each try: what is signed for one request is refused for another.

        Raises ServiceError; Unclear where it is not known whether it was carried out, also when later tries were refused.
        """
        where, unclear = urlsplit(url).netloc, False
        for number in range(TRIES):
            last = number == TRIES - 1
            try:
                answer = await send(method, url, *made(), inner=self._inner, limit=LIMIT_BYTES)
            except NotAnswered as error:
                unclear = True
                if last or not twice:
                    raise Unclear(str(error)) from None
                await self._sleep(2.0**number)
                continue
            if 200 <= answer.status < 300 or answer.status in accept:
                return answer
            unclear = unclear or answer.status >= 500
            if last or not (answer.status == 429 or (answer.status >= 500 and twice)):
                kind = Unclear if unclear else ServiceError
                raise kind(_meaning(answer.status, where), answer.status)
            await self._sleep(min(_wait(answer.headers.get("Retry-After", ""), 2.0**number), LONGEST_WAIT_S))
        raise AssertionError("the last try returns or raises")

    async def pages(self, ask: Callable[[str], Awaitable[Answer]], url: str) -> AsyncIterator[Any]:
        """The JSON of each page of a list that begins at `url`; the next one is in the header Link (AGS 2.0, 3.2.8).

        Raises ServiceError, also for a next page at another place: our token is not for others.
        """
        seen: set[str] = set()
        following = url
        while following and len(seen) < _PAGES:
            if following in seen or urlsplit(following)[:2] != urlsplit(url)[:2]:
                raise ServiceError(f"{urlsplit(url).netloc} says that its next page is one that was read, or elsewhere")
            seen.add(following)
            answer = await ask(following)
            try:
                yield answer.json(urlsplit(url).netloc)
            except NotAnswered as error:
                raise ServiceError(str(error), answer.status) from None
            following = next_page(following, answer.headers.get("Link", ""))
        if following:
            raise ServiceError(f"{urlsplit(url).netloc} has more than {_PAGES} pages")


def next_page(url: str, links: str) -> str:
    """The address of the page after `url`, as a header Link says; "" for none."""
    found = next((target for target, parameters in _LINK.findall(links) if _NEXT.search(parameters)), "")
    return urljoin(url, found) if found else ""


def with_query(url: str, **more: str) -> str:
    """`url` with more in its query; what is there stays."""
    parts = urlsplit(url)
    return parts._replace(query=urlencode([*parse_qsl(parts.query, keep_blank_values=True), *more.items()])).geturl()


def below(url: str, name: str) -> str:
    """The address of what is below `url` (AGS 2.0, 3.3.1 and 3.4.1: a query stays behind the path)."""
    parts = urlsplit(url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()


def _wait(said: str, otherwise: float) -> float:
    """Seconds that a header Retry-After asks for (RFC 9110, 10.2.3)."""
    if said.strip().isdecimal():
        return float(said[:9])
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return otherwise


def _meaning(status: int, where: str) -> str:
    known = {
        401: "does not accept the hub's key: is it the one that the LMS has (05_canvas)?",
        403: "does not allow it: does the tool have the scopes for grades and names there, and is the course still open?",
        404: "does not know it any more: was the column, or the person, removed there?",
        409: "has something newer",
        422: "cannot take this value",
        429: "has too much to do. Try again in some minutes",
    }
    return f"{where} answered {status}: it {known.get(status, 'failed' if status >= 500 else 'refused')}"
