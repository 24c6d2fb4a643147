"""The hub's pages for launches: /hub/lti/launch (LTI 1.1), /hub/lti13/… (LTI 1.3), and /hub/login."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import asyncio
import hashlib
import hmac
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

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LoginHandler
from sqlalchemy.exc import SQLAlchemyError
from tornado.httputil import parse_body_arguments, url_concat
from tornado.web import HTTPError

from .. import pull_ticket
from . import auth_request, cross_site, framed, groups, launch11, launch13, registration, return_url
from .launch import Launch
from .pages import PAGES, TEMPLATE, Page
from .people import Unusable
from .refusals import FORGED, Reason, Refusal

_STATE = "lti13-state"
_CONFIRM, _OPEN = "lti/confirm", "lti/open"
_FORM = "application/x-www-form-urlencoded"
# __Host-: of this very host and over TLS only, so that no neighbouring site can plant one (RFC 6265bis, 4.1.3.2).
_COOKIE = "__Host-lti13-"
_COOKIES_LIMIT = 8
# A second click: under which name its ticket is signed, how long that is good, how often the browser asks again, and how
# long it waits each time, in seconds. Of two tabs the second may ask before the first one has its answer.
_AGAIN = "lti/again"
_TICKET = "lti-again"
_TICKET_S = 60
_TRIES = 4
_WAIT_S = 0.4


def _nonce(browser: str) -> str:
    """What the LMS is asked to repeat: it proves that the answer is for this browser, and does not tell its cookie."""
    return hashlib.sha256(browser.encode()).hexdigest()


class LaunchHandler(BaseHandler):
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

    def _again(self, used: bytes, target: str) -> str:
        """Where a browser that shows the page goes on to by itself: whoever is logged in as that very person goes in.

        The launch is a form from another site, with which the hub's own cookie does not come (SameSite=Lax); with a request
        of the hub's own page it does.
        """
        ticket = self.create_signed_value(_TICKET, json.dumps([used.hex(), target])).decode()
        return url_concat(self.hub.base_url + _AGAIN, {"ticket": ticket, "try": "1"})

    async def show(self, page: Page, reason: str, consumer: str = "", again: str = "") -> None:
        """Answer with a page that says what happened and what to do.

        `consumer` is the name of whose launch it was; `again`: where the browser tries at once.
        """
        page = page.of(self.authenticator.lms_title(consumer))
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
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
            action=url_concat(self.hub.base_url + _OPEN, {"ticket": ticket}), good_for_s=framed.GOOD_FOR_S,
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
            "hubrun-confirm.html", person=launch.user, ticket=ticket, action=self.hub.base_url + _CONFIRM
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
        self.go_on(user, launch.target)

    def go_on(self, user: Any, target: str) -> None:
        """Send somebody who is logged in on to the page of their launch."""
        # /hub/ knows where people go by default, whatever is configured.
        target = target or self.hub.base_url
        self.redirect(pull_ticket.with_ticket(target, self.settings["cookie_secret"], user.name, time.time()))

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
        paths = (registration.LAUNCH, registration.LOGIN, registration.CALLBACK, _CONFIRM, _OPEN, _AGAIN)
        return [self.hub.base_url + path for path in paths]

    def check_xsrf_cookie(self) -> None:
        """A launch comes from another site by its nature; its signature says that it is meant."""


class Login(LaunchHandler, LoginHandler):
    """/hub/login: there is nothing to log in with here."""

    _framed = True

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
        if not self.has_form:
            raise Refusal(Reason.MALFORMED, "no form")
        self._claimed = cross_site.claimed_hosts(self.request.body)
        door = self.authenticator
        launch = launch11.verify(
            self.request.body,
            self.request.query,
            url=self.own_address,
            hub=self.hub_address,
            consumers=door.read_consumers(),
            entrances=self.entrances,
            username_key=door.username_key,
            now=time.time(),
            nonces=door.nonces,
            window_s=door.launch_minutes * 60,
        )
        await self.admit(launch)


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
        if launch is None and self.current_user:  # a second click on the page that asked
            return self.redirect(self.hub.base_url)
        if launch is None:
            raise Refusal(Reason.NO_COOKIE, "a launch was confirmed too late, twice, or in another browser")
        await self.enter(launch)


class Again(LaunchHandler):
    """/hub/lti/again: a launch that was used before, in the browser that is logged in as the person whom it let in.

    They go on to its page; nobody is logged in here. To everybody else the launch was used before.
    """

    async def get(self) -> None:
        await self.answer(self._get())

    async def _get(self) -> None:
        signed = self.get_secure_cookie(_TICKET, self.get_argument("ticket", ""), max_age_days=_TICKET_S / 86400)
        if signed is None:
            if self.current_user:  # a bookmark, or a page from the browser's history
                return self.redirect(self.hub.base_url)
            raise Refusal(Reason.REPLAYED, "a second click that is too long ago")
        used, target = json.loads(signed)
        user = self.authenticator.nonces.user_of(bytes.fromhex(used))
        if self.current_user and self.current_user.name == user:
            return self.go_on(self.current_user, target)
        tries = self.get_argument("try", "")
        if self.current_user or not tries.isdecimal() or int(tries) >= _TRIES:
            raise Refusal(Reason.REPLAYED, "whoever sent it again is not logged in as the person whom it let in")
        await asyncio.sleep(_WAIT_S)
        again = {"ticket": self.get_argument("ticket"), "try": str(int(tries) + 1)}
        self.redirect(url_concat(self.hub.base_url + _AGAIN, again))

    def _log(self) -> None:
        """Leave the queries out of the hub's log: the ticket is of a person."""
        self.request.uri = self.request.path
        if (location := self._headers.get("Location")) and "ticket=" in location:
            self._headers["Location"] = location.partition("?")[0]
        super()._log()


class Open(_CrossSite):
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
                return self.go_on(self.current_user, ticket.launch.target)
            self.redirect(ticket.launch.target or self.hub.base_url)
        elif ours and not ticket.asks:
            await self.enter(ticket.launch)
        else:
            await self.ask(ticket.launch)

    def _log(self) -> None:
        """Leave the ticket out of the hub's log."""
        self.request.uri = self.request.path
        super()._log()


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
            if self.current_user and self.request.method == "GET":  # a bookmark of somebody who is logged in
                return self.redirect(self.hub.base_url)
            raise Refusal(Reason.MALFORMED, "without iss or login_hint")
        consumer, platform, client_id = launch13.platform_of(
            self.authenticator.read_consumers(), iss, self.get_argument("client_id", "")
        )
        # The names of their cookies tell the older from the newer.
        login, browser = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}", secrets.token_urlsafe(48)
        nonce = _nonce(browser)
        state = self.create_signed_value(_STATE, json.dumps([login, consumer.name, client_id, nonce]))
        self._forget_oldest()
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
            "nonce": nonce,
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

    def _forget_oldest(self) -> None:
        """Another site could begin logins until the browser's cookies are too long for a request. So not that many."""
        begun = sorted(name for name in self.cookies if name.startswith(_COOKIE))
        for name in begun[: max(0, len(begun) - _COOKIES_LIMIT + 1)]:
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
        # Without a nonce: of the version before, which the login outlived.
        login, name, client_id, nonce = [*json.loads(state), ""][:4]
        browser = self.get_cookie(_COOKIE + login)
        bound = bool(browser) and hmac.compare_digest(_nonce(browser), nonce)
        id_token = self.get_body_argument("id_token", "")
        # In a frame browsers keep no cookie of another site. What the cookie is for, the button there sees to (`framed`).
        known = bound or framed.is_framed(self.request.headers.get("Sec-Fetch-Dest"), launch13.claimed_target(id_token))
        if known:
            self.clear_cookie(_COOKIE + login, samesite="None")
            if error := self.get_body_argument("error", ""):
                raise Refusal(Reason.LMS_ERROR, f"the LMS answered {error!r:.60}", name)
        door = self.authenticator
        consumer = next((each for each in door.read_consumers() if each.name == name), None)
        if consumer is None:
            raise Refusal(Reason.UNTRUSTED, "it was revoked during the login", name)
        try:
            launch = await launch13.verify(
                id_token,
                consumer=consumer,
                client_id=client_id,
                nonce=nonce if known else None,
                hub=self.hub_address,
                entrances=self.entrances,
                username_key=door.username_key,
                now=time.time(),
                nonces=door.nonces,
                keys=door.key_sets,
                window_s=door.launch_minutes * 60,
            )
        except Refusal as refusal:
            # Without the cookie it counts only whether it is a second click: the cookie goes with the first.
            if known or refusal.reason is Reason.REPLAYED:
                raise
            detail = "its cookie did not come back: blocked, or another browser"
            raise Refusal(Reason.NO_COOKIE, detail, name) from None
        await self.admit(launch, bound)


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


class Names(BaseHandler):
    """/hub/lti/names/COURSE: what the LMS calls the people of a course, for the server of somebody who teaches it.

    By a token in the header alone, and one that may say what its owner does, as their own server's may. One that they
    gave to another's server, by visiting it, may not.
    """

    _accept_cookie_auth = False
    _accept_token_auth = True

    async def get(self, course: str) -> None:
        token = self.get_token()
        teacher = token.user if token is not None else None
        if teacher is None or not self.has_scope(f"users:activity!user={teacher.name}"):
            raise HTTPError(403)
        everybody = f"course-{course}"
        if everybody + groups.INSTRUCTORS not in {group.name for group in teacher.groups}:
            raise HTTPError(403)
        group = orm.Group.find(self.db, everybody)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(self.authenticator.full_names.of(user.name for user in group.users) if group else {}))


ROUTES = [
    ("/login", Login),
    ("/lti/names/([a-z0-9._-]+)", Names),
    ("/health", Health),
    *(
        ("/" + re.escape(path) + "/?", handler)
        for path, handler in (
            (registration.LAUNCH, Launch11),
            (_CONFIRM, Confirm),
            (_AGAIN, Again),
            (_OPEN, Open),
            (registration.LOGIN, Login13),
            (registration.CALLBACK, Callback13),
            (registration.CONFIG, Config13),
            (registration.JWKS, Jwks13),
        )
    ),
]
