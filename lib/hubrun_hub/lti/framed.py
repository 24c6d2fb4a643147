"""Launches into a frame: the LMS shows the tool inside its own page, as Moodle, Brightspace and Open edX do by default.

There a browser keeps none of the hub's cookies (SameSite=Lax; and many browsers keep nobody's), and no page of the hub
may be shown but those of this module: whoever frames a page can lead a visitor's clicks. So a launch that is verified
gets a small page with a button. The button posts a ticket, which is good once and for GOOD_FOR_S seconds, in a new tab,
and there the person is logged in.

The page may be framed by the LMS that signed the launch, for which the launch or the consumer's file says the host, and
by the sites that the operator names (`LaunchAuthenticator.frame_ancestors`). That keeps another site from showing the
button of somebody's launch to a victim, who would work under the other's name. The ticket logs in without a question
only when a browser says that this page sent it (Origin); from anywhere else, as a link or a form of another site, a
page names the person and waits for a click, as for any launch from elsewhere (`cross_site`). So it is where the launch
came from elsewhere, or does not name its LMS; and in LTI 1.3 where the cookie of the login did not come back.

Refusals in a frame say nothing of anybody, as the site that sent what was refused may show them; and there is nothing to
click, but for a launch that was used before: a button that leads whoever is logged in as that very person on, in a tab
(`click_handlers.Again`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .launch import Launch
from .pages import Page
from .presets import PRESETS

GOOD_FOR_S = 60
# A ticket that is over still says whose it was: that person's own second click goes on to where the first one led.
_KEPT_S = 600
_EACH = 8
_ALL = 20_000
TEMPLATE = "hubrun-framed.html"

# Fetch Metadata Request Headers (W3C), 2.1, and the Fetch standard, "destination".
_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})
# IMS LTI 1.1.1, 3, and LTI 1.3, 5.4.6.
_SHOWN_IN_FRAMES = frozenset({"iframe", "frame"})
# What a frame-ancestors may name (CSP Level 3, 2.3.1): no *, which would be everybody, and nothing that ends it.
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
_SITE = re.compile(r"https://(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")

# Where a teacher says that the link opens in a tab, in the words of each LMS: Canvas's module items; mod/lti/lang/en in
# Moodle; launch_target in openedx/xblock-lti-consumer; basiclti's newpage in Sakai; Brightspace's and Blackboard's help.
_NEW_TAB = {
    "canvas": "edit the module item and choose Load in a new tab",
    "moodle": "edit the activity and set Launch container to New window",
    "openedx": "edit the component and set LTI Launch Target to New Window",
    "sakai": "edit the tool and choose to open it in a new window",
    "blackboard": "edit the link, or have its placement changed, to open in a new window",
    "brightspace": "edit the link and choose Open as External Resource",
}


def is_framed(destination: str | None, document_target: str = "") -> bool:
    """Whether a page goes into a frame.

    `destination` is what the browser says (Sec-Fetch-Dest), and that counts: Canvas says "iframe" of each launch, also of
    those that open in a tab (lib/lti/messages/jwt_message.rb). `document_target` is the LMS's word, for older browsers.
    """
    if destination:
        return destination in _FRAMES
    return document_target in _SHOWN_IN_FRAMES


def policy(hosts: Iterable[str], sites: Iterable[str], nonce: str) -> str:
    """Return the Content-Security-Policy of a page that `hosts` and `sites` (https://…) may frame, and nobody else.

    `nonce` is that of its one script.
    """
    named = {f"https://{host}" for host in hosts if _HOST.fullmatch(host)}
    named |= {site for site in sites if _SITE.fullmatch(site)}
    ancestors = " ".join(sorted(named)) or "'none'"
    return (
        f"frame-ancestors {ancestors}; default-src 'none'; base-uri 'none'; "
        f"style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; script-src 'nonce-{nonce}'"
    )


def page(lms: str) -> Page:
    """What is said beside the button, by the LMS of the consumer (see `presets`)."""
    title = PRESETS[lms].title if lms in PRESETS else "the LMS"
    how = _NEW_TAB.get(lms, "edit the link and choose that it opens in a new tab or window")
    return Page(
        200,
        "Open JupyterHub in a new tab",
        "JupyterHub does not work inside another page, so it gets a tab of its own. Your course stays open here.",
        "",
        f"Teachers: this step goes away when the link itself opens in a new tab. In {title}, {how}.",
    )


@dataclass
class Ticket:
    """A verified launch that waits for its button. `asks`: whether a page must name the person before they are in."""

    launch: Launch
    asks: bool
    until: float
    used: bool = False


class Tickets:
    """The tickets that were given out, in memory: after a restart of the hub people click again.

    A person has the newest _EACH: several links may be on one page of a course, and nobody fills the memory.
    """

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}
        self._of: dict[tuple[str, str], list[str]] = {}

    def put(self, key: str, launch: Launch, asks: bool, now: float) -> None:
        """Keep `launch` under the ticket `key`, at the time `now` (seconds of a monotonic clock)."""
        while self._tickets and (
            len(self._tickets) >= _ALL or next(iter(self._tickets.values())).until + _KEPT_S <= now
        ):
            self._drop(next(iter(self._tickets)))
        self._tickets[key] = Ticket(launch, asks, now + GOOD_FOR_S)
        own = self._of.setdefault((launch.consumer.prefix, launch.user), [])
        own.append(key)
        if len(own) > _EACH:
            self._drop(own[0])

    def take(self, key: str, now: float) -> tuple[Ticket, bool] | None:
        """Return a ticket, and whether it is good, which it is once; None when it is not known (any more)."""
        ticket = self._tickets.get(key)
        if ticket is None or ticket.until + _KEPT_S <= now:
            return None
        good = not ticket.used and now < ticket.until
        ticket.used = True
        return ticket, good

    def __len__(self) -> int:
        return len(self._tickets)

    def _drop(self, key: str) -> None:
        launch = self._tickets.pop(key).launch
        whose = (launch.consumer.prefix, launch.user)
        self._of[whose].remove(key)
        if not self._of[whose]:
            del self._of[whose]
