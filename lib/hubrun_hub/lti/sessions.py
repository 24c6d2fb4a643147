"""The hub's pages for sessions: the gate before people's servers (`gate`), /hub/spawn and /hub/logout."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import time
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LogoutHandler
from jupyterhub.handlers.pages import SpawnHandler
from tornado.httputil import url_concat
from tornado.web import HTTPError

from . import auth_request
from .launch_handler import AskedAgain, LaunchHandler, notice_end
from .pages import NOT_YOURS
from .refusals import Reason, Refusal

GATE, CHECK, LOST = "gate", "gate-check", "lost"


class Gate(LaunchHandler):
    """/hub/gate/user/NAME/…: nginx sends a browser here that has no cookie of the gate; the hub's own comes along.

    It is sent back with a cookie. A script in an open page follows both redirects without noticing.
    """

    async def get(self) -> None:
        back = self.request.uri.removeprefix(self.hub.base_url + GATE)
        target = auth_request.target_of(back)
        if target is None:
            raise HTTPError(400)
        if not self.current_user:
            return await self.refuse(Refusal(Reason.NO_SESSION, "a server was opened without a session"))
        if not auth_request.may_open(self.db, self.current_user.orm_user, target):
            self.log.warning("Gate: %s may not open the server of %s", self.current_user.name, target.owner)
            return await self.show(NOT_YOURS, "not-yours")
        self.set_gate_cookie(self.current_user, auth_request.signed_at(self.get_cookie(self.hub.cookie_name)))
        self.set_header("Cache-Control", "no-store")
        self.redirect(back)

    head = get


class Lost(LaunchHandler):
    """/hub/lost/user/NAME/…: the page that waits (`away`) sends a browser here, behind whose address nobody answered.

    The hub looks every 30 s for servers that have ended. This one is looked at now: it is started again, or tried again.
    """

    async def get(self) -> None:
        back = self.request.uri.removeprefix(self.hub.base_url + LOST)
        target = auth_request.target_of(back)
        if target is None:
            raise HTTPError(400)
        if not self.current_user:
            return await self.refuse(Refusal(Reason.NO_SESSION, "a server was opened without a session"))
        if self.current_user.name == target.owner:
            name = target.named if target.named in self.current_user.orm_spawners else ""
            await notice_end(self.current_user.spawners[name])
            if not self.current_user.spawners[name].ready:
                start = f"spawn/{self.current_user.escaped_name}/{name}" if name else "spawn"
                back = url_concat(f"{self.hub.base_url}{start}", {"next": back})
        self.set_header("Cache-Control", "no-store")
        self.redirect(back)


class Spawn(AskedAgain, SpawnHandler):
    """/hub/spawn: two clicks that a busy hub reads together are one start; JupyterHub answers the second with 500."""

    async def spawn_single_user(self, user: Any, server_name: str = "", *args: Any, **options: Any) -> None:
        if not user.spawners[server_name].pending:
            await super().spawn_single_user(user, server_name, *args, **options)


class GateCheck(BaseHandler):
    """/hub/gate-check: nginx asks whether a request may pass; 204 is yes, 401 no. From outside nobody gets here.

    A token counts in the header Authorization only, which no link and no form can write; never in a URL.
    """

    _accept_cookie_auth = False
    _accept_token_auth = True

    async def get(self) -> None:
        target = auth_request.target_of("/user/" + self.request.headers.get(auth_request.HEADER, ""))
        passes = target is not None and (self._by_cookie(target) or self._by_token(target))
        self.set_status(204 if passes else 401)
        self.clear_header("Content-Type")
        self.finish()

    def _by_cookie(self, target: auth_request.Target) -> bool:
        signed = self.get_secure_cookie(
            auth_request.SIGNED, self.get_cookie(auth_request.COOKIE), max_age_days=self.cookie_max_age_days
        )
        user = auth_request.user_of(signed, lambda number: self.db.get(orm.User, number), time.time())
        return user is not None and auth_request.may_open(self.db, user, target)

    def _by_token(self, target: auth_request.Target) -> bool:
        return self.get_token() is not None and all(
            self.has_scope(scope) for scope in auth_request.access(self.db, target)
        )

    def _log(self) -> None:
        """One line for each request of everybody would be too many; nginx writes down what came of it."""


class Logout(LogoutHandler):
    """/hub/logout: a page with a button, and the logout itself by POST, which no other site can send.

    Whoever logs out is logged out in every browser: what was copied of a cookie is worth nothing from then on.
    """

    async def get(self) -> None:
        if self.current_user:
            self.finish(await self.render_template("hubrun-logout.html"))
        else:
            await self.render_logout_page()

    async def post(self) -> None:
        await super().get()

    def _backend_logout_cleanup(self, name: str) -> None:
        user = self.current_user.orm_user
        super()._backend_logout_cleanup(name)
        self.clear_cookie(auth_request.COOKIE)
        user.cookie_id = orm.new_token()
        # Those that other browsers got for this person's servers. A server's own token has no session.
        for token in self.db.query(orm.APIToken).filter(
            orm.APIToken.user_id == user.id, orm.APIToken.session_id.is_not(None)
        ):
            self.db.delete(token)
        self.db.commit()


ROUTES: list[tuple[str, Any]] = [
    ("/" + GATE + "/.*", Gate),
    ("/" + LOST + "/.*", Lost),
    ("/" + CHECK, GateCheck),
    ("/logout", Logout),
    ("/spawn(?:/([^/]+)(?:/([^/]+))?)?", Spawn),
]
