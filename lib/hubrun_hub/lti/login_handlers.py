"""Where an LMS sends people: /hub/lti/launch (LTI 1.1), and /hub/lti13/oauth_login and oauth_callback (LTI 1.3)."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time

from tornado.httputil import url_concat

from . import cross_site, framed, launch11, launch13, registration
from .consumers import BY_FORMER
from .launch import DEEP_LINKING, REVIEW
from .launch_handler import CrossSite
from .pick_handler import PickPage
from .refusals import Reason, Refusal

_STATE = "lti13-state"
# __Host-: of this very host and over TLS only, so that no neighbouring site can plant one (RFC 6265bis, 4.1.3.2).
_COOKIE = "__Host-lti13-"
_COOKIES_LIMIT = 8


class Launch11(CrossSite):
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
        known = door.read_consumers()
        launch = launch11.verify(
            self.request.body,
            self.request.query,
            url=self.own_address,
            hub=self.hub_address,
            consumers=known,
            entrances=self.entrances,
            username_key=door.username_key,
            now=time.time(),
            nonces=door.nonces,
            window_s=door.launch_minutes * 60,
        )
        if launch.consumer not in known:
            self.log.info(BY_FORMER, launch.consumer.name)
        await self.admit(launch)


class Login13(CrossSite):
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


class Callback13(PickPage):
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
                services=door.services,
            )
        except Refusal as refusal:
            # Without the cookie it counts only whether it is a second click: the cookie goes with the first.
            if known or refusal.reason is Reason.REPLAYED:
                raise
            detail = "its cookie did not come back: blocked, or another browser"
            raise Refusal(Reason.NO_COOKIE, detail, name) from None
        if launch.message == DEEP_LINKING:
            return await self.offer(launch)
        if launch.message == REVIEW:
            launch = door.reviewed(launch)
        await self.admit(launch, bound)


def _nonce(browser: str) -> str:
    """What the LMS is asked to repeat: it proves that the answer is for this browser, and does not tell its cookie."""
    return hashlib.sha256(browser.encode()).hexdigest()
