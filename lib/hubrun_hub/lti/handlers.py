"""The hub's pages for launches: /hub/lti/launch (LTI 1.1), /hub/lti13/… (LTI 1.3), and /hub/login."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import sqlite3
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LoginHandler
from sqlalchemy.exc import SQLAlchemyError
from tornado.httputil import url_concat

from .. import pull_ticket
from . import auth_request, cross_site, groups, launch11, launch13, registration
from .launch import Launch
from .pages import PAGES, TEMPLATE, Page
from .refusals import FORGED, Reason, Refusal

_STATE = "lti13-state"
_CONFIRM = "lti/confirm"
# __Host-: of this very host and over TLS only, so that no neighbouring site can plant one (RFC 6265bis, 4.1.3.2).
_COOKIE = "__Host-lti13-"
_COOKIES_LIMIT = 8


def _nonce(browser: str) -> str:
    """What the LMS is asked to repeat: it proves that the answer is for this browser, and does not tell its cookie."""
    return hashlib.sha256(browser.encode()).hexdigest()


class LaunchHandler(BaseHandler):
    """What the pages have in common: they refuse with a page, and let in whom a launch vouches for."""

    _launch: Launch | None = None

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
        await self.show(PAGES[refusal.reason], refusal.reason.value, refusal.consumer)

    async def show(self, page: Page, reason: str, consumer: str = "") -> None:
        """Answer with a page that says what happened and what to do; `consumer` is the name of whose launch it was."""
        page = page.of(self.authenticator.lms_title(consumer))
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        html = await self.render_template(TEMPLATE, page=page, reason=reason, when=when)
        self.set_status(page.status)
        self.set_header("Cache-Control", "no-store")
        self.finish(html)

    async def enter(self, launch: Launch) -> None:
        """Log in the person of a verified launch and send them on their way."""
        self.authenticator.check_person(launch)
        self._launch = launch
        user = await self.login_user({"launch": launch})
        if user is None:
            raise Refusal(Reason.NOT_ADMITTED, "c.Authenticator.allow_all or blocked_users", launch.consumer.name)
        # /hub/ knows where people go by default, whatever is configured.
        target = launch.target or self.hub.base_url
        self.redirect(pull_ticket.with_ticket(target, self.settings["cookie_secret"], user.name, time.time()))

    async def auth_to_user(self, authenticated: dict[str, Any], user: Any = None) -> Any:
        """Make the user, as JupyterHub does, and put them into their course's groups before the cookie is set."""
        user = await super().auth_to_user(authenticated, user)
        if self._launch is not None:
            groups.enrol(self.db, user.orm_user, self._launch)
            self.authenticator.note(self._launch)
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


class Health(LaunchHandler):
    """/hub/health: 200 with nothing, as JupyterHub's own; 503 with the problem in a line."""

    async def get(self) -> None:
        state = await self.authenticator.health.state()
        if state.problem:
            self.set_status(503)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{state.problem}\n")

    head = get


class _CrossSite(LaunchHandler):
    """A page to which the LMS's own page sends its forms."""

    def check_xsrf_cookie(self) -> None:
        """A launch comes from another site by its nature; its signature says that it is meant."""


class Login(LaunchHandler, LoginHandler):
    """/hub/login: there is nothing to log in with here."""

    async def get(self) -> None:
        if self.current_user:
            await super().get()
        else:
            await self.post()

    async def post(self) -> None:
        await self.refuse(Refusal(Reason.NO_SESSION, "opened without a session"))


class Launch11(_CrossSite):
    """/hub/lti/launch: LTI 1.1."""

    async def get(self) -> None:
        if self.current_user:  # a bookmark of somebody who is logged in
            self.redirect(self.hub.base_url)
        else:
            await self.refuse(Refusal(Reason.GET, "opened by GET, not launched"))

    async def post(self) -> None:
        await self.answer(self._post())

    async def _post(self) -> None:
        if not self.request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            raise Refusal(Reason.MALFORMED, "no form")
        door = self.authenticator
        launch = launch11.verify(
            self.request.body,
            self.request.query,
            url=self.address(registration.LAUNCH),
            hub=self.hub_address,
            consumers=door.read_consumers(),
            username_key=door.username_key,
            now=time.time(),
            nonces=door.nonces,
        )
        if cross_site.is_elsewhere(self.request.headers.get("Origin"), launch.lms_hosts):
            await self._ask(launch)
        else:
            await self.enter(launch)

    async def _ask(self, launch: Launch) -> None:
        """Show whom this launch logs in, and wait for a click: another site may have sent a launch of its own person."""
        self.log.warning(
            "LTI launch by consumer %s came from another site: %s is asked", launch.consumer.name, launch.user
        )
        ticket, browser = self.authenticator.waiting.put(launch, time.monotonic())
        # A cookie of this browser: the ticket of somebody's own launch is of no use to them in another's.
        self._set_cookie(
            cross_site.COOKIE, browser, encrypted=False, samesite="Lax", secure=True, max_age=cross_site.KEEP_S
        )
        html = await self.render_template(
            "hubrun-confirm.html", person=launch.user, ticket=ticket, action=self.hub.base_url + _CONFIRM
        )
        self.set_header("Cache-Control", "no-store")
        self.finish(html)


class Confirm(_CrossSite):
    """/hub/lti/confirm: the click on the page that asked. The ticket and the browser's cookie belong together."""

    get = Launch11.get

    async def post(self) -> None:
        await self.answer(self._post())

    async def _post(self) -> None:
        launch = self.authenticator.waiting.take(
            self.get_body_argument("ticket", ""), self.get_cookie(cross_site.COOKIE, ""), time.monotonic()
        )
        self.clear_cookie(cross_site.COOKIE)
        if launch is None:
            raise Refusal(Reason.NO_COOKIE, "a launch was confirmed too late, twice, or in another browser")
        await self.enter(launch)


class Login13(_CrossSite):
    """/hub/lti13/oauth_login: the LMS announces somebody; they are sent back with a question that it must answer.

    IMS Security Framework 1.0, 5.1.1.1 and 5.1.1.2. `state` says which consumer was asked; it is signed, and good for
    ten minutes. Whose browser it was is in a cookie of its own for each login, so that tabs do not disturb each other.
    """

    async def get(self) -> None:
        await self.answer(self._begin())

    post = get

    async def _begin(self) -> None:
        iss, hint = self.get_argument("iss", ""), self.get_argument("login_hint", "")
        if not iss or not hint:
            raise Refusal(Reason.MALFORMED, "without iss or login_hint")
        consumer, platform, client_id = launch13.platform_of(
            self.authenticator.read_consumers(), iss, self.get_argument("client_id", "")
        )
        login, browser = secrets.token_hex(8), secrets.token_urlsafe(48)
        state = self.create_signed_value(_STATE, json.dumps([login, consumer.name, client_id]))
        self._forget_if_many()
        # The answer is a form that the LMS's page posts: a cookie with SameSite=Lax would not come with it.
        self._set_cookie(
            _COOKIE + login, browser, encrypted=False, samesite="None", secure=True, max_age=launch13.KEEP_STATE_S
        )
        question = {
            "response_type": "id_token",
            "response_mode": "form_post",
            "scope": "openid",
            "prompt": "none",
            "client_id": client_id,
            "redirect_uri": self.address(registration.CALLBACK),
            "login_hint": hint,
            "nonce": _nonce(browser),
            "state": state.decode(),
        }
        if message_hint := self.get_argument("lti_message_hint", ""):
            question["lti_message_hint"] = message_hint
        self.redirect(url_concat(platform.authorize_url, question))

    def _log(self) -> None:
        """Leave the queries out of the hub's log, which shows where a redirect leads: the hints are of a person."""
        self.request.uri = self.request.path
        if location := self._headers.get("Location"):
            self._headers["Location"] = location.partition("?")[0]
        super()._log()

    def _forget_if_many(self) -> None:
        """Another site could begin logins until the browser's cookies are too long for a request. So not that many."""
        begun = [name for name in self.cookies if name.startswith(_COOKIE)]
        if len(begun) >= _COOKIES_LIMIT:
            for name in begun:
                self.clear_cookie(name, samesite="None")


class Callback13(_CrossSite):
    """/hub/lti13/oauth_callback: the LMS's answer (IMS Security Framework 1.0, 5.1.1.3)."""

    get = Launch11.get

    async def post(self) -> None:
        await self.answer(self._end())

    async def _end(self) -> None:
        state = self.get_secure_cookie(
            _STATE, self.get_body_argument("state", ""), max_age_days=launch13.KEEP_STATE_S / 86400
        )
        if state is None:
            raise Refusal(Reason.NO_COOKIE, "its state is missing, older than ten minutes, or not from here")
        login, name, client_id = json.loads(state)
        browser = self.get_cookie(_COOKIE + login)
        if not browser:
            raise Refusal(Reason.NO_COOKIE, "its cookie did not come back: blocked, or another browser", name)
        self.clear_cookie(_COOKIE + login, samesite="None")
        if error := self.get_body_argument("error", ""):
            raise Refusal(Reason.LMS_ERROR, f"the LMS answered {error!r:.60}", name)
        door = self.authenticator
        consumer = next((each for each in door.read_consumers() if each.name == name), None)
        if consumer is None:
            raise Refusal(Reason.UNTRUSTED, "it was revoked during the login", name)
        await self.enter(
            await launch13.verify(
                self.get_body_argument("id_token", ""),
                consumer=consumer,
                client_id=client_id,
                nonce=_nonce(browser),
                hub=self.hub_address,
                launch_urls=[self.address(path) for path in (registration.LAUNCH, registration.CALLBACK)],
                username_key=door.username_key,
                now=time.time(),
                nonces=door.nonces,
                keys=door.key_sets,
            )
        )


class Config13(LaunchHandler):
    """/hub/lti13/config: the developer key as JSON, for Canvas's "Enter URL". Nothing of it is secret."""

    async def get(self) -> None:
        door = self.authenticator
        named = [each.username_key for each in door.read_consumers() if each.lms == "canvas"]
        try:
            key = registration.developer_key(
                self.address(""),
                next(iter(named), "") or door.username_key,
                title=door.tool_title,
                public_jwk=door.tool_jwk,
            )
        except ValueError as error:
            self.set_status(404)
            key = {"error": str(error)}
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(key, indent=2))


class Jwks13(LaunchHandler):
    """/hub/lti13/jwks: the tool's public key."""

    async def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"keys": [self.authenticator.tool_jwk]}))


ROUTES = [
    ("/login", Login),
    ("/health", Health),
    *(
        ("/" + re.escape(path), handler)
        for path, handler in (
            (registration.LAUNCH, Launch11),
            (_CONFIRM, Confirm),
            (registration.LOGIN, Login13),
            (registration.CALLBACK, Callback13),
            (registration.CONFIG, Config13),
            (registration.JWKS, Jwks13),
        )
    ),
]
