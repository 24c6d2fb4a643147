"""The launch matrix: launches that a hub must accept, and those that it must refuse, each in a browser of its own.

A case says what must come of it: status, the page's reason (hubrun_hub/lti/refusals.py), login cookie and user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from typing_extensions import override

from hubrun.desired.checks import Check
from hubrun.desired.diagnosis import launch_cause
from hubrun.lms.browser import Browser, Launch
from hubrun.lms.connect_to import Route
from hubrun.lms.lti11 import KEYS, LAUNCH_PATH, LaunchRequest

Sign = Callable[[Sequence[LaunchRequest]], list[dict[str, str]]]

# A place that is nobody's (RFC 2606).
ELSEWHERE = "elsewhere.example"
OFF_SITE = {
    "off-site link": f"https://{ELSEWHERE}/",
    "off-site link with //": f"//{ELSEWHERE}/",
    "off-site link with a backslash": f"/\\{ELSEWHERE}/",
    "off-site link, percent-encoded": f"/%2f{ELSEWHERE}/",
}
# Browsers at a time: the hub answers one after another, but the handshakes of TLS are its neighbours' work.
_AT_ONCE = 4
_T = TypeVar("_T")


@dataclass(frozen=True)
class Wanted:
    """What must come of a launch: a login as the hub's `user`, or a page of `status` that gives `reason`."""

    status: int = 302
    reason: str = ""
    user: str = ""

    @override
    def __str__(self) -> str:
        return Launch(self.status, bool(self.user), self.user, reason=self.reason).came


NOT_TRUSTED = Wanted(401, "not-trusted")
EXPIRED = Wanted(401, "expired")
CLOCK = Wanted(401, "clock")
REPLAYED = Wanted(401, "replayed")
UNSIGNED = Wanted(400, "no-launch")
NO_NAME = Wanted(400, "no-name")
BAD_LINK = Wanted(400, "bad-link")
NO_COOKIE = Wanted(400, "no-cookie")
FRAMED = Wanted(200, "framed")


@dataclass(frozen=True)
class Case:
    """A launch with LTI 1.1. `after` is changed once it is signed; unsigned: `request` is None, and `after` the form.

    `again`: it is sent a second time, and it is the second answer that counts.
    """

    name: str
    request: LaunchRequest | None
    wanted: Wanted
    after: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    again: bool = False


def cases(url: str, form: dict[str, str], username_key: str, user: str, env_file: str, minutes: int = 10) -> list[Case]:
    """The matrix for LTI 1.1, of a consumer whose key is in `env_file` on the server.

    `form` is a `canvas_launch` to `url`, whose `username_key` says the name of the hub's `user`; `minutes` is how long a
    launch lives there (`lti_launch_minutes`). What depends on the clock is a minute away from it: the launches are signed
    at once, and sent one after another.
    """
    good = LaunchRequest(url, form, env_file=env_file)
    accepted = Wanted(user=user)

    def signed(name: str, wanted: Wanted, **changes: object) -> Case:
        return Case(name, LaunchRequest(**{**good.__dict__, **changes}), wanted)  # type: ignore[arg-type]

    # Whatever an LMS's stable id may be in (hubrun_hub/lti/presets.py).
    nameless = {name: value for name, value in form.items() if name not in (*KEYS, username_key)}
    forged = {"X-Forwarded-Host": ELSEWHERE, "X-Forwarded-Proto": "http"}
    there = f"https://{ELSEWHERE}{LAUNCH_PATH}"
    return [
        signed(f"{_time(minutes * 60 + 60)} ahead", CLOCK, age_s=-minutes * 60 - 60),
        signed("good", accepted),
        *(signed(f"good, {_time(age)} old", accepted, age_s=age) for age in (150, minutes * 60 - 60) if 0 < age < minutes * 60),
        Case("sent twice", good, REPLAYED, again=True),
        Case("good, with a forged X-Forwarded-Host and -Proto", good, accepted, headers=forged),
        Case("into a frame", good, FRAMED, headers={"Sec-Fetch-Dest": "iframe"}),
        Case("unsigned", None, UNSIGNED, form),
        signed("wrong key", NOT_TRUSTED, key="not-the-consumer-key"),
        signed("wrong secret", NOT_TRUSTED, wrong_secret=True),
        Case("field changed on the way", good, NOT_TRUSTED, {username_key: f"{form[username_key]}x"}),
        Case(
            "signed for another site, which X-Forwarded-Host names",
            LaunchRequest(there, form, env_file=env_file), NOT_TRUSTED, headers={"X-Forwarded-Host": ELSEWHERE},
        ),
        signed(f"{_time(minutes * 60 + 60)} old", EXPIRED, age_s=minutes * 60 + 60),
        signed("without an id of the person", NO_NAME, form=nameless),
        signed("with an empty id of the person", NO_NAME, form={**nameless, "user_id": ""}),
        *(signed(name, BAD_LINK, form={**form, "custom_next": link}) for name, link in OFF_SITE.items()),
    ]  # fmt: skip


def _time(seconds: int) -> str:
    return f"{seconds // 60} minutes" if seconds % 60 == 0 and seconds > 60 else f"{seconds} s"


def check(route: Route, cases: Sequence[Case], sign: Sign, version: str = "LTI 1.1") -> list[Check]:
    """Launch each case and judge it. `sign` signs launches on the server, all at once."""
    requests = [case.request for case in cases if case.request]
    signed = iter(sign(requests))
    forms = [{**(next(signed) if case.request else {}), **case.after} for case in cases]

    def launch(number: int) -> Check:
        case = cases[number]
        url = route.url + LAUNCH_PATH
        with Browser(route) as browser:
            launch = browser.launch(url, forms[number], case.headers)
            if case.again:
                browser.cookies.clear()
                launch = browser.launch(url, forms[number], case.headers)
            return judge(f"{version}: {case.name}", case.wanted, launch)

    return side_by_side(launch, range(len(cases)))


def side_by_side(do: Callable[[int], _T], numbers: Iterable[int]) -> list[_T]:
    """What `do` returns for each number, in their order; several run at a time. Raises the first error of `do`."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(do, numbers))


def judge(name: str, wanted: Wanted, launch: Launch) -> Check:
    """The finding about a launch. One that is accepted must lead to a page of the hub, too."""
    seen = launch.came + (f", to {launch.location}" if launch.cookie and not _on_site(launch.location) else "")
    ok = seen == str(wanted)
    cause = "" if ok else _cause(wanted, launch)
    return Check(name, ok, str(wanted), seen if ok or not launch.text else f"{seen} ({launch.text})", cause)


def _cause(wanted: Wanted, launch: Launch) -> str:
    if wanted.user and not launch.cookie:
        return launch_cause(launch.status, launch.cookie, launch.reason)
    if launch.cookie and not wanted.user:
        return (
            "The hub accepts a launch that it must refuse: does it use an authenticator other than LaunchAuthenticator "
            "(25-lti.py, 90-local.py), or code that runbook 02 did not put there? Run 02 again"
        )
    if launch.cookie and launch.user != wanted.user:
        return (
            "The hub gave another name: lti_username_key or the consumer's prefix was changed in the parameters, and not "
            "yet on the server (run 02 again); or somebody else has this name (./hubrun people shows who)"
        )
    if launch.cookie:
        return "The hub sends people to another site: does it use code that runbook 02 did not put there? Run 02 again"
    return f"It was refused, but for another reason. {launch_cause(launch.status, launch.cookie, launch.reason)}"


def _on_site(location: str) -> bool:
    return location.startswith("/") and not location.startswith(("//", "/\\"))
