"""/hub/looks: whose servers somebody may look at now, whose they look at, and who looked at theirs."""

# mypy: disable-error-code="import-not-found,misc,no-any-return,no-any-unimported"
from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from jupyterhub.handlers import BaseHandler
from tornado.web import HTTPError, authenticated

from ..courses.mounts import memberships
from ..courses.students import students
from ..docker_filter import settings
from . import looks

_LINES = 50
# The same whoever it is, so that nobody learns of others by asking; the log says why.
_NOT_YOURS = "You may not look at this server"
_NOT_TOLD = (
    "{} was not opened: their server does not say in JupyterLab that somebody looks. It may be of a version before; "
    "ask them to stop and start it."
)


class Row(NamedTuple):
    """A student's server that runs; title: "" for the default one. why_not: "" where it may be opened; until: of a look that is on, or None."""

    user: str
    name: str
    server: str
    title: str
    why_not: str
    until: Any


class Looks(BaseHandler):
    """The page, and its buttons."""

    site_file = settings.SITE

    @authenticated
    async def get(self) -> None:
        await self._show()

    @authenticated
    async def post(self) -> None:
        owner = self.find_user(self.get_body_argument("user"))
        server = self.get_body_argument("server", "")
        if owner is None or server not in owner.orm_spawners:
            raise HTTPError(403, _NOT_YOURS)
        spawner, me = owner.spawners[server], self.current_user.orm_user
        mine = looks.on(self.db, owner, server, me)
        if self.get_body_argument("what") == "end":
            for look in mine:
                looks.end(spawner, look, "they are done", self.log)
            if mine and spawner.ready:
                await looks.tell(spawner)
            return self.redirect(self.request.path)
        self._check(owner, spawner)
        for look in filter(looks.is_over, mine):
            looks.end(spawner, look, looks.OVER, self.log)
        look = next((each for each in mine if each.ended is None), None) or looks.begin(spawner, me, self._site())
        told = await looks.tell(spawner)
        if look.ended is not None:  # meanwhile, by the same person in another tab
            return self.redirect(self.request.path)
        if not told:
            looks.end(spawner, look, "the server took no note of it", self.log)
            return await self._show(_NOT_TOLD.format(owner.name))
        looks.share(spawner, look, self.log)
        self.redirect(owner.server_url(server))

    def _check(self, owner: Any, spawner: Any) -> None:
        """Raises HTTPError where it may not be opened now."""
        if not self.subdomain_host:
            raise HTTPError(403, "Servers of others are opened only where each has an address of its own")
        if why := looks.why_not(self._site(), self.current_user, owner):
            self.log.warning(
                "look: %s may not look at the server of %s, who %s", self.current_user.name, owner.name, why
            )
            raise HTTPError(403, _NOT_YOURS)
        if not spawner.ready:
            raise HTTPError(409, f"The server of {owner.name} does not run")

    def _site(self) -> dict[str, Any]:
        return looks.read_site(Path(self.site_file))

    def _rows(self) -> list[Row]:
        """Servers that run of the students of courses that this person teaches."""
        taught = [
            each.course for each in memberships(name for name, _ in looks.groups_of(self.current_user)) if each.teaches
        ]
        people: dict[str, Any] = {}
        for course in taught:
            people |= students(self.db, course)
        running = {name: [each for each in user.orm_spawners.values() if each.server] for name, user in people.items()}
        site, me = self._site(), self.current_user.orm_user
        why = {name: looks.why_not(site, me, people[name]) for name, servers in running.items() if servers}
        names = self.authenticator.full_names.of(why)
        found = []
        for name, reason in why.items():
            for each in running[name]:
                on = looks.on(self.db, people[name], each.name, me)
                title = self._user_from_orm(people[name]).spawners[each.name].display_name if each.name else ""
                found.append(
                    Row(
                        name,
                        names.get(name, name).replace("\t", " "),
                        each.name,
                        title,
                        reason,
                        on[0].until if on else None,
                    )
                )
        return sorted(found, key=lambda row: (row.name.casefold(), row.server))

    async def _show(self, message: str = "") -> None:
        me = self.current_user.orm_user
        query = self.db.query(looks.Look).filter(looks.Look.owner_id == me.id).order_by(looks.Look.id.desc())
        self.set_header("Cache-Control", "no-store")
        self.finish(
            await self.render_template(
                "hubrun-looks.html", rows=self._rows(), looked=query.limit(_LINES).all(), message=message,
                xsrf=self.xsrf_token.decode(),
            )
        )  # fmt: skip


class Told(BaseHandler):
    """/hub/hubrun-looks: {"looks": […]}, the looks at a server that are on, and those of the last days (`Look.said`).

    By a token in the header alone, and one that may say what its owner does, as their own server's may; one that a visitor
    gave to the server may not.
    """

    _accept_cookie_auth = False
    _accept_token_auth = True

    async def get(self) -> None:
        token = self.get_token()
        owner = token.user if token is not None else None
        if owner is None or not self.has_scope(f"users:activity!user={owner.name}"):
            raise HTTPError(403)
        self.set_header("Cache-Control", "no-store")
        # A server's own token opens that server (JupyterHub, Spawner.server_token_scopes).
        names = (name for name in owner.orm_spawners if self.has_scope(f"access:servers!server={owner.name}/{name}"))
        self.finish({"looks": looks.of_server(self.db, owner, next(names, ""))})


ROUTES = [("/looks", Looks), (f"/{looks.TOLD}", Told)]
