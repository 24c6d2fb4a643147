"""The launch matrix for LTI 1.3. hubrun is the LMS: `lms`, known to the hub for as long as this takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from hubrun.desired.checks import Check
from hubrun.lms.browser import Browser, Launch
from hubrun.lms.connect_to import Route
from hubrun.lms.lti11_cases import (
    BAD_LINK,
    ELSEWHERE,
    EXPIRED,
    NO_COOKIE,
    NO_NAME,
    NOT_TRUSTED,
    REPLAYED,
    Wanted,
    judge,
    side_by_side,
)
from hubrun.lms.platform13 import CLAIM, Key, Lms, Person


@dataclass(frozen=True)
class Case:
    """A launch with LTI 1.3.

    `claims` go over those of the person; so do `times`, in seconds from now. `key` signs in place of the LMS's,
    under the name `kid`. `cookies`: whether the browser brings back the cookie of its login. `again`: the same answer
    comes a second time, with that cookie, and it is the second launch that counts.
    """

    name: str
    wanted: Wanted
    claims: dict[str, Any] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    identity: str | None = None
    alg: str = "RS256"
    key: Key | None = None
    kid: str = ""
    cookies: bool = True
    again: bool = False


def cases(lms: Lms, identity: str, user: str, minutes: int = 10) -> list[Case]:
    """The matrix for the launches of `identity`, who is the hub's `user`; clocks may differ by `minutes` there."""
    stranger = Key(f"{lms.key.kid}-not-published")
    accepted = Wanted(user=user)

    def case(name: str, wanted: Wanted, **how: Any) -> Case:
        return Case(name, wanted, **{"identity": identity, **how})

    return [
        case("good", accepted),
        case("sent twice", REPLAYED, again=True),
        case("wrong issuer", NOT_TRUSTED, claims={"iss": f"https://{ELSEWHERE}"}),
        case("wrong audience", NOT_TRUSTED, claims={"aud": "another-client-id", "azp": "another-client-id"}),
        case("wrong nonce", NOT_TRUSTED, claims={"nonce": "0" * 64}),
        case("expired", EXPIRED, times={"iat": -3500, "exp": -minutes * 60 - 60}),
        case("not signed (alg none)", NOT_TRUSTED, alg="none"),
        case("signed with the public key as a secret (HS256)", NOT_TRUSTED, alg="HS256"),
        case("signed with a key that the LMS does not publish", NOT_TRUSTED, key=stranger),
        case("signed with another key under a published name", NOT_TRUSTED, key=stranger, kid=lms.key.kid),
        case("without an id of the person", NO_NAME, identity=None),
        case("with an empty id of the person", NO_NAME, identity=""),
        case("off-site target", BAD_LINK, claims={f"{CLAIM}target_link_uri": f"https://{ELSEWHERE}/"}),
        case("without the cookie of its login", NO_COOKIE, cookies=False),
    ]


def check(route: Route, lms: Lms, cases: Sequence[Case], person: Person) -> list[Check]:
    """Launch each case and judge it. `person` is who is launched, but for the cases' `identity`."""

    def launched(number: int) -> Check:
        case = cases[number]
        return judge(f"LTI 1.3: {case.name}", case.wanted, _launch(route, lms, case, person))

    return side_by_side(launched, range(len(cases)))


def _launch(route: Route, lms: Lms, case: Case, person: Person) -> Launch:
    key = case.key or lms.key
    with Browser(route) as browser:
        question = ask(browser, lms)
        if isinstance(question, Launch):
            return question
        claims = {**lms.claims(question, replace(person, identity=case.identity)), **case.claims}
        claims.update({name: claims["iat"] + seconds for name, seconds in case.times.items()})
        answer = lms.answer(question, key.sign(claims, case.alg, case.kid))
        of_the_login = httpx.Cookies(browser.cookies)
        if not case.cookies:
            browser.cookies.clear()
        launch = browser.launch(lms.callback, answer)
        if case.again:
            browser.cookies.clear()
            browser.cookies.update(of_the_login)
            launch = browser.launch(lms.callback, answer)
        return launch


def ask(browser: Browser, lms: Lms, hint: str = "somebody") -> dict[str, str] | Launch:
    """Tell the hub that somebody comes, and return its question to the LMS; what it answered instead, if it did."""
    begun = browser.launch(lms.login_url, lms.opening(hint))
    question = dict(parse_qsl(urlsplit(begun.location).query))
    return question if begun.status == 302 and "state" in question else begun


def launch(browser: Browser, lms: Lms, person: Person) -> Launch:
    """A whole launch, as it should be."""
    question = ask(browser, lms)
    if isinstance(question, Launch):
        return question
    return browser.launch(lms.callback, lms.answer(question, lms.key.sign(lms.claims(question, person))))
