"""What the hub's pages for launches have in common: a refusal is a page, and a verified launch lets its person in."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sqlite3
import sys
import time
from collections.abc import Awaitable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import SplitResult, urlsplit

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from sqlalchemy.exc import SQLAlchemyError
from tornado.httputil import parse_body_arguments, url_concat

from .. import pull_ticket
from ..courses import servers
from ..starting import own_server
from . import auth_request, cross_site, framed, groups, registration, return_url
from .launch import Launch
from .pages import PAGES, TEMPLATE, Page
from .people import Unusable
from .refusals import FORGED, Reason, Refusal

# The pages for clicks (`click_handlers`), and the name under which the ticket of a second click is signed.
CONFIRM, OPEN, AGAIN, PICK = "lti/confirm", "lti/open", "lti/again", "lti/pick"
AGAIN_SIGNED = "lti-again"
_FORM = "application/x-www-form-urlencoded"
NOTICE_S = 5.0


async def notice_end(spawner: Any) -> None:
    """Look whether a person's server has ended, as after a restart of Docker: the hub looks every 30 s.

    Docker may hang, or answer nonsense: whoever has a server goes on to it all the same.
    """
    if spawner.ready:
        await asyncio.wait([asyncio.ensure_future(spawner.poll_and_notify())], timeout=NOTICE_S)


class AskedAgain(BaseHandler):
    """As the hub ends, Tornado gives up what it is about (web.py, _execute): the browser asks the next one the same."""

    def send_error(self, status_code: int = 500, **more: Any) -> None:
        if not more and isinstance(sys.exc_info()[1], asyncio.CancelledError):
            self.redirect(self.request.uri, status=307)  # with its form, where it had one
        else:
            super().send_error(status_code, **more)


class LaunchHandler(AskedAgain):
    """What the pages have in common: they refuse with a page, and let in whom a launch vouches for."""

    _launch: Launch | None = None
    # Whether what it says of a refusal may be seen in a frame.
    _framed = False
    # Hosts of the LMS, as what was sent says it without proof; none: it does not say.
    _claimed: frozenset[str] = frozenset()

    @property
    def hub_address(self) -> SplitResult:
        """The public address, from the configuration: what a request says of it, anybody can write."""
        return urlsplit(self.settings["public_url"].geturl())

    def address(self, path: str) -> str:
        """The public address of one of the hub's own pages, such as lti/launch."""
        hub = self.hub_address
        return f"{hub.scheme}://{hub.netloc}{self.hub.base_url}{path}"

    async def answer(self, launch: Awaitable[None]) -> None:
        """Carry out a launch, or a step of it; answer with a page when it is refused."""
        try:
            await launch
        except Refusal as refusal:
            await self.refuse(refusal)
        except (OSError, sqlite3.Error, SQLAlchemyError) as error:
            self.db.rollback()
            state = await self.authenticator.health.now()
            if state.writes and isinstance(error, Unusable):
                return await self.refuse(Refusal(Reason.NO_PEOPLE, str(error)))
            if state.writes:
                raise
            await self.refuse(Refusal(Reason.DISK_FULL, f"{state.problem} ({type(error).__name__})"))

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with the page for the refusal, and tell the operator why."""
        if refusal.reason in FORGED and not self.authenticator.refused.take(time.monotonic()):
            self.set_status(429)
            self.finish("Too many launches that are not trusted. Try again in a moment.")
            return
        usual = refusal.reason in (Reason.NO_SESSION, Reason.GET)
        self.log.log(logging.INFO if usual else logging.WARNING, "%s", refusal)
        again = self._again(*refusal.used) if refusal.used else ""
        await self.show(PAGES[refusal.reason], refusal.reason.value, refusal.consumer, again)

    def _again(self, used: bytes, target: str, group: str) -> str:
        """Where a browser that shows the page goes on to by itself: whoever is logged in as that very person goes in.

        The launch is a form from another site, with which the hub's own cookie does not come (SameSite=Lax); with a request
        of the hub's own page it does.
        """
        ticket = self.create_signed_value(AGAIN_SIGNED, json.dumps([used.hex(), target, group])).decode()
        return url_concat(self.hub.base_url + AGAIN, {"ticket": ticket, "try": "1"})

    async def show(self, page: Page, reason: str, consumer: str = "", again: str = "") -> None:
        """Answer with a page that says what happened and what to do.

        `consumer` is the name of whose launch it was; `again`: where the browser tries at once.
        """
        page = page.of(self.authenticator.lms_title(consumer))
        now = datetime.now(timezone.utc)  # noqa: UP017 - datetime.UTC is there from Python 3.11 on
        when = now.strftime("%Y-%m-%d %H:%M:%S UTC")
        kept = self.get_secure_cookie(return_url.SIGNED, self.get_cookie(return_url.COOKIE, ""), return_url.KEEP_DAYS)
        template, nonce = TEMPLATE, secrets.token_urlsafe(16)
        if self._framed and framed.is_framed(self.request.headers.get("Sec-Fetch-Dest")):
            template = framed.TEMPLATE
            sender = cross_site.host_of(self.request.headers.get("Origin") or self.request.headers.get("Referer", ""))
            shows = {sender} if not self._claimed or sender in self._claimed else set()
            policy = framed.policy(shows, self.authenticator.frame_ancestors, nonce)
            self.set_header("Content-Security-Policy", policy)
        html = await self.render_template(
            template, page=page, reason=reason, when=when, nonce=nonce, again=again, base_url=self.hub.base_url,
            course_url="" if self.current_user or not kept else kept.decode(),
        )  # fmt: skip
        self.set_status(page.status)
        self.set_header("Cache-Control", "no-store")
        self.finish(html)

    async def admit(self, launch: Launch, bound: bool = False) -> None:
        """Log in the person of a verified launch; by way of a page where it came into a frame, or from elsewhere.

        bound: this very browser began it, as its cookie says; so it did not come from elsewhere.
        """
        try:
            await self._admit(launch, bound)
        except asyncio.CancelledError:  # the hub ends, and the launch comes again
            self.authenticator.nonces.free(launch.used)
            raise

    async def _admit(self, launch: Launch, bound: bool) -> None:
        origin = self.request.headers.get("Origin")
        asks = not bound and cross_site.is_elsewhere(origin, launch.lms_hosts)
        if framed.is_framed(self.request.headers.get("Sec-Fetch-Dest"), launch.document_target):
            await self._offer_tab(launch, asks or not (bound or launch.lms_hosts))
        elif asks:
            await self.ask(launch)
        else:
            await self.enter(launch)

    async def _offer_tab(self, launch: Launch, asks: bool) -> None:
        """Show a page in the LMS's frame, with a button that opens the hub in a tab (see `framed`)."""
        launch = self.resolve(launch)
        door, ticket, nonce = self.authenticator, secrets.token_urlsafe(24), secrets.token_urlsafe(16)
        door.tickets.put(ticket, launch, asks, time.monotonic())
        self.log.info("LTI launch by consumer %s came into a frame: it gets a button", launch.consumer.name)
        # An LMS that does not say where it is: the site that sent the launch, whose every click is asked about.
        hosts = launch.lms_hosts or {cross_site.host_of(self.request.headers.get("Origin", ""))}
        html = await self.render_template(
            framed.TEMPLATE, page=framed.page(launch.consumer.lms), reason="framed", nonce=nonce,
            action=url_concat(self.hub.base_url + OPEN, {"ticket": ticket}), good_for_s=framed.GOOD_FOR_S,
        )  # fmt: skip
        self.set_header("Content-Security-Policy", framed.policy(hosts, door.frame_ancestors, nonce))
        self.set_header("Cache-Control", "no-store")
        self.finish(html)

    async def ask(self, launch: Launch) -> None:
        """Show whom this launch logs in, and wait for a click: another site may have sent a launch of its own person."""
        launch = self.resolve(launch)
        self.log.warning(
            "LTI launch by consumer %s came from another site: %s is asked", launch.consumer.name, launch.user
        )
        ticket, browser = self.authenticator.waiting.put(launch, time.monotonic())
        # A cookie of this browser: the ticket of somebody's own launch is of no use to them in another's.
        self._set_cookie(
            cross_site.COOKIE, browser, encrypted=False, samesite="Lax", secure=True, max_age=cross_site.KEEP_S
        )
        html = await self.render_template(
            "hubrun-confirm.html", person=launch.user, ticket=ticket, action=self.hub.base_url + CONFIRM
        )
        self.set_header("Cache-Control", "no-store")
        self.finish(html)

    def resolve(self, launch: Launch) -> Launch:
        """Return the launch with its hub user. Once more at the click that a page waited for: the user may be gone by then."""
        return launch if launch.test_student else self.authenticator.resolve(launch, self.db)

    async def enter(self, launch: Launch) -> None:
        """Log in the person of a verified launch and send them on their way."""
        self._launch = launch = self.resolve(launch)
        try:
            self.authenticator.check_part(launch)
        except Refusal:
            # Who came in before, as something else, is not of the course any more.
            if there := orm.User.find(self.db, launch.user):
                groups.enrol(self.db, there, launch)
            raise
        user = await self.login_user({"launch": launch})
        if user is None:
            raise Refusal(Reason.NOT_ADMITTED, "c.Authenticator.allow_all or blocked_users", launch.consumer.name)
        if launch.test_student:
            self.authenticator.test_students.came(user.name)
        self.authenticator.nonces.note_user(launch.used, user.name)
        self._keep_course(launch)
        await notice_end(user.spawners[own_server.launched(user, groups.group_of(launch))])
        self.go_on(user, launch.target, groups.group_of(launch))

    async def enter_late(self, launch: Launch) -> None:
        """Log in by a launch that waited for a click, unless its consumer was shut out meanwhile."""
        known = (way for each in self.authenticator.read_consumers() for way in each.with_each_secret)
        if launch.consumer not in known:
            raise Refusal(Reason.UNTRUSTED, "it was revoked or changed before the click", launch.consumer.name)
        await self.enter(launch)

    def go_on(self, user: Any, target: str, group: str) -> None:
        """Send somebody who is logged in on to the page of their launch, on the server for the course of this group."""
        # /hub/ knows where people go by default, whatever is configured.
        target = target or self.hub.base_url
        target = pull_ticket.with_ticket(target, self.settings["cookie_secret"], user.name, time.time())
        if server := own_server.launched(user, group):
            target = servers.path_on(user.server_url(server), target, self.hub.base_url)
        self.redirect(target)

    def _keep_course(self, launch: Launch) -> None:
        """Let the browser keep where its person came from. It comes with forms of other sites too, for their pages."""
        if launch.course_url:
            self._set_cookie(
                return_url.COOKIE, self.create_signed_value(return_url.SIGNED, launch.course_url), encrypted=False,
                samesite="None", secure=True, max_age=return_url.KEEP_DAYS * 86400,
            )  # fmt: skip

    async def auth_to_user(self, authenticated: dict[str, Any], user: Any = None) -> Any:
        """Make the user, as JupyterHub does, and put them into their course's groups before the cookie is set."""
        user = await super().auth_to_user(authenticated, user)
        if self._launch is not None:
            self.authenticator.keep(self.db)
            groups.enrol(self.db, user.orm_user, self._launch)
            self.db.commit()
            self.authenticator.people.pending.clear()
            self.authenticator.note_name(self._launch)
            self.authenticator.note_services(self._launch)
        return user

    def set_login_cookie(self, user: Any) -> None:
        """Set the hub's cookie again also for somebody who is logged in already: a launch begins its time again."""
        super().set_login_cookie(user)
        self.set_hub_cookie(user)
        self.set_gate_cookie(user, time.time())

    def set_gate_cookie(self, user: Any, since: float) -> None:
        """Set the cookie for the gate before people's servers, good for as long as the login at the time `since`."""
        until = since + self.cookie_max_age_days * 86400
        signed = self.create_signed_value(auth_request.SIGNED, auth_request.value(user, until))
        self._set_cookie(auth_request.COOKIE, signed, encrypted=False, samesite="Lax", secure=True, expires=until)


class CrossSite(LaunchHandler):
    """A page to which the LMS's own page sends its forms."""

    _framed = True

    async def prepare(self) -> None:
        """Read a form whose media type has capitals: its case means nothing (RFC 9110, 8.3.1), but Tornado looks at it."""
        kind = self.request.headers.get("Content-Type", "")
        if not kind.startswith(_FORM) and self.has_form and not self.request.body_arguments:
            parse_body_arguments(kind.lower(), self.request.body, self.request.body_arguments, self.request.files)
            for name, values in self.request.body_arguments.items():
                self.request.arguments.setdefault(name, []).extend(values)
        await super().prepare()

    @property
    def has_form(self) -> bool:
        """Whether the request says that its body is a form."""
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == _FORM

    @property
    def own_address(self) -> str:
        """The public address of this page, as it was asked for: with a slash at its end, or without."""
        return self.address(self.request.path.removeprefix(self.hub.base_url))

    @property
    def entrances(self) -> list[str]:
        """The paths of the hub's addresses for launches. Whoever is sent there is sent to no page in particular."""
        paths = (registration.LAUNCH, registration.LOGIN, registration.CALLBACK, CONFIRM, OPEN, AGAIN, PICK)
        return [self.hub.base_url + path for path in paths]

    def check_xsrf_cookie(self) -> None:
        """A launch comes from another site by its nature; its signature says that it is meant."""
