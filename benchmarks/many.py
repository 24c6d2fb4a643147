"""How hub, proxy and database carry many people: SQLite and PostgreSQL grow side by side, and each figure is of both.

A launch is all that one is to the hub: the signed form, the pages up to the person's server, the login of that server by
OAuth, and its first word of activity. The kernel, Docker and the disk of homes are not in it (`launch`, `class`).
"""

from __future__ import annotations

import base64
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from benchmarks import many_hub
from benchmarks.figures import Figure
from benchmarks.many_hub import Site
from benchmarks.postgresql import postgresql

from hubrun.errors import CommandFailed
from hubrun.practice.docker_engine import Say
from lti_hub import HOST, LOGIN_COOKIE, PUBLIC_URL, form

# (people in the database, servers that run): one after the other.
STEPS = ((200, 20), (1000, 100))
LONG = ((500, 100), (2000, 400), (5000, 1000))
# For one hub at one step.
LIMIT_S = 1800.0
_AT_ONCE = 4
_CHUNK = 100
_PINGS = 100
_ANSWER_S = 120.0


@dataclass
class Seen:
    """What one hub came to at one step, in seconds. cpu, ping: as `Site.used` says it, for a start, and for a word of activity;
    mb: memory by part.
    """

    launch: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    ping: dict[str, float] = field(default_factory=dict)
    users: float = 0.0
    routes: float = 0.0
    restart: float = 0.0
    mb: dict[str, float] = field(default_factory=dict)


class Many:
    """Grows the hubs of `sites` (name → site) step by step."""

    def __init__(self, sites: dict[str, Site], say: Say) -> None:
        self.sites, self.say = sites, say
        self.running = 0

    def step(self, people: int, running: int) -> dict[str, Seen]:
        """Bring each hub to so many people and running servers, and measure. Raises CommandFailed."""
        found = {}
        for name, site in self.sites.items():
            self.say(f"{name}: {people} people, {running} servers")
            found[name] = self._step(site, people, running, time.monotonic() + LIMIT_S)
        self.running = running
        return found

    def _step(self, site: Site, people: int, running: int, deadline: float) -> Seen:
        seen = Seen()
        _fill(site, people - running, deadline)
        names = [f"student{number}" for number in range(self.running, running)]
        with _cpu(site, seen.cpu, len(names)), ThreadPoolExecutor(_AT_ONCE) as pool:
            seen.launch = list(pool.map(lambda name: _launch(site, name, deadline), names))
        with _cpu(site, seen.ping, _PINGS):
            for number in range(_PINGS):
                _active(site, f"student{number % running}")
        seen.users = statistics.median(_timed(lambda: _list_users(site)) for _ in range(3))
        seen.routes = statistics.median(_timed(lambda: _api(site, "POST", "/proxy")) for _ in range(3))
        seen.mb = site.memory_mb()
        site.hub.stop()
        seen.restart = _timed(lambda: _restarted(site, running, deadline))
        return seen


def measure(folder: Path, say: Say, steps: Sequence[tuple[int, int]]) -> list[Figure]:
    """All figures: PostgreSQL's, with SQLite's as the baseline."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        port = stack.enter_context(many_hub.students())
        url, postmaster = stack.enter_context(postgresql(folder / "postgresql"))
        sites = {
            "SQLite": Site(folder / "with-sqlite", port),
            "PostgreSQL": Site(folder / "with-postgresql", port, url, postmaster),
        }
        for site in sites.values():
            stack.callback(site.stop)
            site.start()
            _launch(site, "first", time.monotonic() + _ANSWER_S)  # what is loaded once does not belong to the figures
        many = Many(sites, say)
        for people, running in steps:
            seen = many.step(people, running)
            figures += compared(people, running, seen["PostgreSQL"], seen["SQLite"])
    return figures


def compared(people: int, running: int, ours: Seen, baseline: Seen) -> list[Figure]:
    """One step's figures. Pure."""
    before = f"{people} people, {running} servers: "

    def one(name: str, value: Callable[[Seen], float | list[float]], unit: str = "s", times: float = 1) -> Figure:
        def values(seen: Seen) -> list[float]:
            found = value(seen)
            return [each * times for each in (found if isinstance(found, list) else [found])]

        return Figure(before + name, values(ours), values(baseline), unit=unit)

    return [
        one("a launch's requests", lambda seen: seen.launch),
        one("processor of the hub for a start", lambda seen: seen.cpu["hub"], "ms", 1000),
        one("processor of hub and database for a start", _both("cpu"), "ms", 1000),
        one("the hub waits for the database to write, for a start", lambda seen: seen.cpu["commits"], "ms", 1000),
        one("processor of the proxy for a start", lambda seen: seen.cpu["proxy"], "ms", 1000),
        one("processor of hub and database for a word of activity", _both("ping"), "ms", 1000),
        one("the list of all users", lambda seen: seen.users, "ms", 1000),
        one("a check of all routes", lambda seen: seen.routes, "ms", 1000),
        one("a restart of the hub, until it knows all servers", lambda seen: seen.restart),
        one("memory of the hub", lambda seen: seen.mb["hub"], "MB"),
        one("memory of hub and database", _both("mb"), "MB"),
        one("memory of the proxy", lambda seen: seen.mb["proxy"], "MB"),
    ]


def _both(part: str) -> Callable[[Seen], float]:
    return lambda seen: sum(value for name, value in getattr(seen, part).items() if name in ("hub", "database"))


@contextmanager
def _cpu(site: Site, into: dict[str, float], times: int) -> Iterator[None]:
    before = site.used()
    yield
    into.update({name: (value - before[name]) / times for name, value in site.used().items()})


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _api(site: Site, method: str, path: str, token: str = "", **request: Any) -> httpx.Response:
    answer = httpx.request(
        method, f"http://127.0.0.1:{site.hub.port}/hub/api{path}", timeout=_ANSWER_S, verify=False,
        headers={"Authorization": f"token {token or site.hub.token}", **request.pop("headers", {})}, **request,
    )  # fmt: skip
    return _fine(answer)


def _fine(answer: httpx.Response) -> httpx.Response:
    if answer.status_code >= 400:
        asked = f"{answer.request.method} {urlsplit(str(answer.url)).path}"
        raise CommandFailed(f"the hub answers with {answer.status_code}", asked, detail=answer.text[-2000:])
    return answer


def _in_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise CommandFailed(f"it took longer than {LIMIT_S:.0f} s", "a step with many people")


def _fill(site: Site, people: int, deadline: float) -> None:
    """Have so many people in the database who never started a server."""
    there = {each["name"] for each in _list_users(site)}
    names = [name for number in range(people) if (name := f"quiet{number}") not in there]
    for first in range(0, len(names), _CHUNK):
        _in_time(deadline)
        _api(site, "POST", "/users", json={"usernames": names[first : first + _CHUNK]})


def _list_users(site: Site) -> list[dict[str, Any]]:
    """All of them, page by page, as the idle culler asks."""
    found: list[dict[str, Any]] = []
    while True:
        answer = _api(
            site, "GET", "/users", params={"offset": len(found), "limit": 200},
            headers={"Accept": "application/jupyterhub-pagination+json"},
        ).json()  # fmt: skip
        found += answer["items"]
        if not answer["_pagination"]["next"]:
            return found


def _token(site: Site, name: str) -> str:
    return (site.hub.folder / "tokens" / name).read_text()


def _active(site: Site, name: str) -> None:
    """What a person's server says of them every five minutes (JUPYTERHUB_ACTIVITY_INTERVAL)."""
    now = datetime.now(UTC).isoformat()
    said = {"servers": {"": {"last_activity": now}}, "last_activity": now}
    _api(site, "POST", f"/users/{name}/activity", _token(site, name), json=said)


def _restarted(site: Site, running: int, deadline: float) -> None:
    """Start the hub, and wait until it knows of each server that it runs."""
    site.start_hub()
    while sum(bool(each["servers"]) for each in _list_users(site)) < running:
        _in_time(deadline)


def _launch(site: Site, name: str, deadline: float) -> float:
    """Come in as this person for the first time; how long the hub took for all of it."""
    _in_time(deadline)
    signed = form(name)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{site.proxy}", headers={"Host": HOST, "X-Forwarded-Proto": "https"}, timeout=_ANSWER_S,
        verify=False,
    ) as client:  # fmt: skip
        cookies: dict[str, str] = {}

        def send(method: str, path: str, **request: Any) -> httpx.Response:
            cookie = "; ".join(f"{key}={value}" for key, value in cookies.items())
            answer = _fine(client.request(method, path, headers={"Cookie": cookie} if cookie else {}, **request))
            # By hand: the hub's own are for its public address, and for TLS.
            for header in answer.headers.get_list("set-cookie"):
                key, _, value = header.partition(";")[0].partition("=")
                cookies[key] = value
            return answer

        began = time.monotonic()
        answer = send("POST", "/hub/lti/launch", data=signed)
        while not (to := answer.headers.get("location", "").removeprefix(PUBLIC_URL.rstrip("/"))).startswith("/user/"):
            _in_time(deadline)
            if LOGIN_COOKIE not in cookies:
                raise CommandFailed("the launch was refused", name, detail=answer.text[-2000:])
            if answer.status_code != 302:
                time.sleep(0.1)  # the page that waits
            answer = send("GET", to or "/hub/spawn")
        _log_in(site, name, send)
        return time.monotonic() - began


def _log_in(site: Site, name: str, send: Callable[..., httpx.Response]) -> None:
    """What a person's server and browser do with the hub: OAuth with PKCE (RFC 7636), who it is, and that they are there."""
    server, back = f"jupyterhub-user-{name}", f"/user/{name}/oauth_callback"
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asks = {
        "client_id": server, "redirect_uri": back, "response_type": "code", "state": "s",
        "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    answer = send("GET", "/hub/api/oauth2/authorize", params=asks)
    [code] = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    given = {
        "client_id": server, "client_secret": _token(site, name), "grant_type": "authorization_code", "code": code,
        "redirect_uri": back, "code_verifier": verifier,
    }  # fmt: skip
    token = _api(site, "POST", "/oauth2/token", data=given).json()["access_token"]
    _api(site, "GET", "/user", token)
    _active(site, name)
