"""The gate before people's servers: whose browser may open which server.

All of /user/ shares one origin with the hub, and whatever somebody's server serves would run there with the rights of
whoever looks at it; a student can put any program in place of their own server. So nginx asks the hub before it lets a
request through to /user/NAME/, and the hub lets through that person, whom it granted access (by a role other than the
administrators', a group's role, or a share), and scripts with a token for that server. What the server behind would
have answered never matters.

The hub's login cookie stays below /hub/, so the gate has one of its own. It says which login it belongs to, and ends
with it: the hub renews `cookie_id` at a logout. Its prefix __Host- keeps every other host, and whatever a neighbouring
site sets for the whole domain, from planting somebody else's in a browser (RFC 6265bis, 4.1.3.2): a planted one would
open the planter's server to its victim.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

COOKIE = "__Host-hubrun-gate"
# The name under which the cookie's value is signed: that of another cookie of the hub must not pass for it.
SIGNED = "hubrun-gate"
# nginx says here which server a request is for, as NAME/REST: the first two parts of the path behind /user/, as they came.
HEADER = "X-Hubrun-Gate"
_ADMINISTRATORS = "admin"

# The same as in nginx-gate.conf.j2: what is not like this is refused there before it comes here.
_PATH = re.compile(r"/user/(?P<owner>(?:[\w.~@!$&'()*+,;=:-]|%(?!2f|5c|00)[0-9a-f]{2})+)(?P<rest>/[^?]*)?", re.A | re.I)
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.I)


@dataclass(frozen=True)
class Target:
    """The server that a request is for: its owner's name, and the name that it has if it is a named server."""

    owner: str
    named: str = ""


def target_of(raw: str) -> Target | None:
    """Return whose server a raw request target is for, None for what is not a path below /user/NAME.

    As configurable-http-proxy reads it (lib/configproxy.js, targetForReq; lib/trie.js): the path is decoded once, as a
    whole, and then cut at each slash.
    """
    path = raw.partition("?")[0]
    found = _PATH.fullmatch(path)
    if not found or not path.startswith("/user/") or _DOTS.search(path) or re.search(r"[\\#\x00-\x20\x7f]", path):
        return None
    parts = unquote(path).split("/")
    return Target(parts[2], parts[3] if len(parts) > 3 else "")


def value(user: Any, until: float) -> str:
    """What the cookie of `user` says (orm.User, or the hub's wrapper), unsigned; `until` in seconds since 1970."""
    return json.dumps([user.id, _login(user.cookie_id), int(until)])


def user_of(signed: bytes | None, find: Callable[[int], Any], now: float) -> Any:
    """Return the user whose cookie said `signed` (its signature is verified); None when their login is over.

    find: gives the user of an id, None for nobody.
    """
    if not signed:
        return None
    try:
        number, login, until = json.loads(signed)
    except ValueError:
        return None
    user = find(number)
    if user is None or until <= now or not hmac.compare_digest(_login(user.cookie_id), str(login)):
        return None
    return user


def _login(cookie_id: str) -> str:
    return hashlib.sha256(b"gate " + cookie_id.encode()).hexdigest()[:32]


def signed_at(cookie: str) -> float:
    """When a cookie of Tornado's was signed, in seconds since 1970; its signature must have been verified.

    tornado.web, _create_signature_v2: "2|1:0|10:1300000000|4:name|…", each field with its length.
    """
    return float(cookie.split("|")[2].partition(":")[2])


def may_open(db: Any, user: Any, target: Target) -> bool:
    """Whether the browser of `user` (orm.User) may open the server: it is theirs, or the hub granted it to them.

    What the administrators' role grants does not count: nobody shared anything, and their browser has the most to lose.
    """
    from jupyterhub import roles, scopes

    if user.name == target.owner:
        return True
    granted = roles.roles_to_expanded_scopes(
        [role for role in roles.get_roles_for(user) if role.name != _ADMINISTRATORS], user
    )
    for share in user.shared_with_me:
        granted |= frozenset(share.scopes)
    parsed = scopes.parse_scopes(granted)
    return all(scopes.has_scope(scope, parsed, db=db) for scope in access(db, target))


def access(db: Any, target: Target) -> list[str]:
    """The scopes of which each is needed for a server.

    A named server's path leads to the default server while it does not run: then it takes both.
    """
    from jupyterhub import orm

    owner = orm.User.find(db, target.owner)
    spawner = owner.orm_spawners.get(target.named) if owner and target.named else None
    names = {target.named if spawner else ""}
    if spawner and not spawner.server:
        names.add("")
    return [f"access:servers!server={target.owner}/{name}" for name in sorted(names)]
