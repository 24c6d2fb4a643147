"""The hub's pages for launches, and the list of all of them (ROUTES)."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import json
import re
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LoginHandler
from tornado.web import HTTPError

from ..courses.students import students
from ..starting.spawner import LINE
from . import groups, registration
from .click_handlers import Again, Confirm, Open
from .grades_handler import ROUTES as GRADES
from .launch_handler import AGAIN, CONFIRM, OPEN, PICK, LaunchHandler
from .login_handlers import Callback13, Launch11, Login13
from .pick_handler import Pick
from .refusals import Reason, Refusal
from .registration_handler import Register13

# How long a server of a teacher's waits for the LMS: less than it waits for us (hubrun_student/nbgrader/student_names.py).
_WAIT_S = 3.0


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


class Health(LaunchHandler):
    """/hub/health: 200 with nothing, as JupyterHub's own; 503 with the problem in a line."""

    async def get(self) -> None:
        state = await self.authenticator.health.state()
        if problem := state.problem or LINE.problem:
            self.set_status(503)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{problem}\n")

    head = get


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
                public_jwk=door.tool_jwks[0],
                services=door.services,
            )
        except ValueError as error:
            self.set_status(404)
            key = {"error": str(error)}
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(key, indent=2))


class Jwks13(LaunchHandler):
    """/hub/lti13/jwks: the tool's public keys, the present one first."""

    async def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"keys": self.authenticator.tool_jwks}))


class Names(BaseHandler):
    """/hub/lti/names/COURSE: what the LMS calls the people of a course, for the server of somebody who teaches it.

    By a token in the header alone, and one that may say what its owner does, as their own server's may. One that they
    gave to another's server, by visiting it, may not.
    """

    _accept_cookie_auth = False
    _accept_token_auth = True

    async def get(self, course: str) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(await self.said(course, self._names(course))))

    async def said(self, course: str, names: dict[str, str]) -> Any:
        return names

    def _names(self, course: str) -> dict[str, str]:
        token = self.get_token()
        teacher = token.user if token is not None else None
        if teacher is None or not self.has_scope(f"users:activity!user={teacher.name}"):
            raise HTTPError(403)
        everybody = f"course-{course}"
        if everybody + groups.INSTRUCTORS not in {group.name for group in teacher.groups}:
            raise HTTPError(403)
        group = orm.Group.find(self.db, everybody)
        return self.authenticator.full_names.of(user.name for user in group.users) if group else {}


class Roster(Names):
    """/hub/lti/roster/COURSE: {"names": as `Names`, with those who never came; "students": all who are in the course as the LMS
    says; "left": users who are not in it any more}. Where the site does not use the LMS's services, nobody is in these two.
    """

    async def said(self, course: str, names: dict[str, str]) -> Any:
        door = self.authenticator
        if not door.services:
            return {"names": names, "students": [], "left": []}
        await door.rosters.ask(course, self.db, _WAIT_S)
        here, roster = students(self.db, course), door.rosters.of(course, self.db)
        expected, left = roster.expected(here), roster.left(here)
        return {"names": expected | names, "students": sorted({*here, *expected} - left), "left": sorted(left)}


ROUTES: list[tuple[str, Any]] = [
    ("/login", Login),
    ("/lti/names/([a-z0-9._-]+)", Names),
    ("/lti/roster/([a-z0-9._-]+)", Roster),
    ("/health", Health),
    *(
        ("/" + re.escape(path) + "/?", handler)
        for path, handler in (
            (registration.LAUNCH, Launch11),
            (CONFIRM, Confirm),
            (AGAIN, Again),
            (OPEN, Open),
            (registration.LOGIN, Login13),
            (registration.CALLBACK, Callback13),
            (registration.CONFIG, Config13),
            (registration.JWKS, Jwks13),
            (registration.REGISTER, Register13),
        )
    ),
]
# Where a site uses the LMS's services.
SERVICES: list[tuple[str, Any]] = [("/" + re.escape(PICK) + "/?", Pick), *GRADES]
