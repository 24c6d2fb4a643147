"""The clicks after a launch: on the page that asks, on the button in a frame, and a second one on the same launch."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import asyncio
import json
import time

from tornado.httputil import url_concat

from . import cross_site, framed
from .groups import group_of
from .launch_handler import AGAIN, AGAIN_SIGNED, CrossSite, LaunchHandler
from .login_handlers import Launch11
from .refusals import Reason, Refusal

# A second click: how long its ticket is good, how often the browser asks again, and how long it waits each time, in
# seconds. Of two tabs the second may ask before the first one has its answer.
_TICKET_S = 60
_TRIES = 4
_WAIT_S = 0.4


class Confirm(CrossSite):
    """/hub/lti/confirm: the click on the page that asked. The ticket and the browser's cookie belong together."""

    get = Launch11.get

    async def post(self) -> None:
        await self.answer(self._post())

    async def _post(self) -> None:
        launch = self.authenticator.waiting.take(
            self.get_body_argument("ticket", ""), self.get_cookie(cross_site.COOKIE, ""), time.monotonic()
        )
        self.clear_cookie(cross_site.COOKIE)
        if launch is None and self.current_user:  # a second click on the page that asked
            return self.redirect(self.hub.base_url)
        if launch is None:
            raise Refusal(Reason.NO_COOKIE, "a launch was confirmed too late, twice, or in another browser")
        await self.enter_late(launch)


class Open(CrossSite):
    """/hub/lti/open: the click on the button in a frame, in its new tab (see `framed`).

    An app that shows an LMS may open the address in a browser of its own, without the form: then the person is asked.
    """

    async def get(self) -> None:
        await self.answer(self._open(ours=False))

    async def post(self) -> None:
        hub = self.hub_address
        await self.answer(self._open(ours=self.request.headers.get("Origin") == f"{hub.scheme}://{hub.netloc}"))

    async def _open(self, ours: bool) -> None:
        if framed.is_framed(self.request.headers.get("Sec-Fetch-Dest")):
            raise Refusal(Reason.FRAMED, "the button opened in a frame: neither a tab nor a cookie")
        found = self.authenticator.tickets.take(self.get_query_argument("ticket", ""), time.monotonic())
        if found is None:
            raise Refusal(Reason.LATE_CLICK, "a button in a frame whose launch is not known any more")
        ticket, good = found
        if not good:
            # The same click twice, whose first one may be on its way still, or again later. It logs nobody in.
            here = self.current_user and self.current_user.name == ticket.launch.user
            if not here and not (ours and time.monotonic() < ticket.until):
                raise Refusal(Reason.LATE_CLICK, "a button in a frame was clicked too late, or twice")
            if here:
                return self.go_on(self.current_user, ticket.launch.target, group_of(ticket.launch))
            self.redirect(ticket.launch.target or self.hub.base_url)
        elif ours and not ticket.asks:
            await self.enter_late(ticket.launch)
        else:
            await self.ask(ticket.launch)

    def _log(self) -> None:
        """Leave the ticket out of the hub's log."""
        self.request.uri = self.request.path
        super()._log()


class Again(LaunchHandler):
    """/hub/lti/again: a launch that was used before, in the browser that is logged in as the person whom it let in.

    They go on to its page; nobody is logged in here. To everybody else the launch was used before.
    """

    async def get(self) -> None:
        await self.answer(self._get())

    async def _get(self) -> None:
        signed = self.get_secure_cookie(AGAIN_SIGNED, self.get_argument("ticket", ""), max_age_days=_TICKET_S / 86400)
        if signed is None:
            if self.current_user:  # a bookmark, or a page from the browser's history
                return self.redirect(self.hub.base_url)
            raise Refusal(Reason.REPLAYED, "a second click that is too long ago")
        used, target, group = [*json.loads(signed), ""][:3]  # without a group: of the version before
        user = self.authenticator.nonces.user_of(bytes.fromhex(used))
        if self.current_user and self.current_user.name == user:
            return self.go_on(self.current_user, target, group)
        tries = self.get_argument("try", "")
        if self.current_user or not tries.isdecimal() or int(tries) >= _TRIES:
            raise Refusal(Reason.REPLAYED, "whoever sent it again is not logged in as the person whom it let in")
        await asyncio.sleep(_WAIT_S)
        again = {"ticket": self.get_argument("ticket"), "try": str(int(tries) + 1)}
        self.redirect(url_concat(self.hub.base_url + AGAIN, again))

    def _log(self) -> None:
        """Leave the queries out of the hub's log: the ticket is of a person."""
        self.request.uri = self.request.path
        if (location := self._headers.get("Location")) and "ticket=" in location:
            self._headers["Location"] = location.partition("?")[0]
        super()._log()
