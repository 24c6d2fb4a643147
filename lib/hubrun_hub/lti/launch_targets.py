"""Where a launch may lead: to a page of this hub, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, quote, unquote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
# A browser passes over control characters when it reads an address: "/\t/evil" is "//evil" to it (WHATWG URL, 4.4).
_CONTROL = frozenset(map(chr, (*range(0x20), 0x7F)))
# Left as they are when an address is made ASCII: what is encoded already, and what RFC 3986 reserves.
_KEPT = "%/:?#[]@!$&'()*+,;=~"


class ForeignTarget(ValueError):
    """An address that is not a page of this hub."""


def path_on(hub: SplitResult, address: str) -> str:
    """Return `address` as a path on the hub, with its query and fragment, percent-encoded.

    `address` is a path from the root (/hub/user-redirect/…) or a whole URL of the hub, whose public address is `hub`.
    Raises ForeignTarget for everything that a browser, or a proxy on the way, could take for another site: another scheme,
    host or port, a user name before the host, `//`, backslashes, `..`, control characters, percent-encoded or not.
    """
    if address.startswith("//"):
        raise ForeignTarget("the link begins with //, which is another site")
    try:
        url = urlsplit(address)
        if (url.scheme or url.netloc) and _origin(url) != _origin(hub):
            raise ForeignTarget("the link leads to another site")
    except ValueError:
        raise ForeignTarget("the link is not an address, or one of another site") from None
    if url.netloc and not url.path:
        url = url._replace(path="/")
    path = url.path
    while (decoded := unquote(path)) != path:
        path = decoded
    if not url.path.startswith("/"):
        raise ForeignTarget("the link is not a path from the hub's root")
    if "//" in path or "\\" in path or ".." in path.split("/") or not _CONTROL.isdisjoint(path + address):
        raise ForeignTarget("the link has //, .., a backslash or a control character in its path")
    try:
        return quote(url._replace(scheme="", netloc="").geturl(), safe=_KEPT)
    except UnicodeEncodeError:
        raise ForeignTarget("the link has half of a surrogate pair in it") from None


def is_one_of(path: str, entrances: Iterable[str]) -> bool:
    """Whether `path`, whatever its query, is one of the `entrances`, with or without a slash at the end."""
    return unquote(re.split(r"[?#]", path, maxsplit=1)[0]).rstrip("/") in entrances


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    """Scheme, host and port. Raises ValueError for a URL with a user name, or a port that is none."""
    if "@" in url.netloc:
        raise ValueError("a user name before the host")
    return url.scheme, url.hostname or "", url.port or _DEFAULT_PORTS.get(url.scheme)
