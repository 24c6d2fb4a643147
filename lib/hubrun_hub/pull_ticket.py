"""The ticket with which the hub tells a person's server that a link to pull a repository came by a launch.

One module for both sides: the hub signs, and the students' image, which has it too, checks. The key is
the person's own, made from the hub's cookie secret: their container holds it in its environment, and can make tickets
for itself, which gains it nothing, and for nobody else.

A ticket is good for these very arguments, for a while. It proves that the LMS sent the person here, and no more: Canvas
launches whatever address somebody puts into a link (external_tools/retrieve?url=…). So what is pulled without a click is
decided by the repository's place (`allowed`), never by the ticket alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

NAME = "hubrun_ticket"
KEY = "HUBRUN_PULL_KEY"
HOSTS = "HUBRUN_GIT_HOSTS"
# A start of the server may lie between the launch and the page that pulls (c.Spawner.start_timeout and the queue).
GOOD_FOR_S = 900
# nbgitpuller's arguments (1.3, handlers.py); others count for nothing, and the hub may add some of its own.
ARGUMENTS = frozenset(
    {"repo", "branch", "depth", "urlpath", "urlPath", "subpath", "subPath", "targetpath", "targetPath", "app", "backup"}
)
_PAGE = re.compile(r"/(hub/)?(user-redirect|user/[^/]+)/git-pull/?")


def arguments(query: str) -> dict[str, str]:
    """nbgitpuller's arguments in a query, without blanks at their ends; of two with one name the last, as in tornado."""
    pairs = [(name, value.strip()) for name, value in parse_qsl(query) if name in ARGUMENTS]
    return {name: value for name, value in pairs if value}


def environment(secret: bytes, user: str, hosts: Sequence[str]) -> dict[str, str]:
    """What the container of `user` gets. secret: the hub's cookie secret. hosts: from where a launch may pull."""
    return {KEY: person_key(secret, user), HOSTS: " ".join(hosts)}


def person_key(secret: bytes, user: str) -> str:
    """The key of one person, hexadecimal."""
    return hmac.new(secret, b"hubrun pull ticket\0" + user.encode(), hashlib.sha256).hexdigest()


def with_ticket(target: str, secret: bytes, user: str, now: float) -> str:
    """Return `target`, a path on the hub with its query, with a ticket for `user` if it leads to nbgitpuller's page."""
    url = urlsplit(target)
    if not _PAGE.fullmatch(url.path):
        return target
    given = [pair for pair in parse_qsl(url.query) if pair[0] != NAME]
    ticket = sign(person_key(secret, user), url.query, now + GOOD_FOR_S)
    return url._replace(query=urlencode([*given, (NAME, ticket)])).geturl()


def sign(key: str, query: str, until: float) -> str:
    """The ticket for the arguments in `query`, good until a time (seconds since 1970)."""
    deadline = str(int(until))
    text = json.dumps([deadline, sorted(arguments(query).items())])
    return f"{deadline}.{hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()}"


def came_by_launch(query: str, key: str, now: float) -> bool:
    """Whether the query holds a ticket, made with this key, for the query's own arguments, that is still good."""
    tickets = [value for name, value in parse_qsl(query) if name == NAME]
    if not key or len(tickets) != 1:
        return False
    deadline, _, _ = tickets[0].partition(".")
    if not re.fullmatch(r"[0-9]{1,12}", deadline) or int(deadline) < now:
        return False
    return hmac.compare_digest(tickets[0].encode(), sign(key, query, int(deadline)).encode())
