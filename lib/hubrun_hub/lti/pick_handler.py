"""/hub/lti/pick: the page on which a teacher chooses what a link of the LMS opens (`deep_linking`).

LMSs show it in a frame, where a browser keeps none of the hub's cookies: so nobody is logged in by it, and a ticket in its
form says which request it is about. Only the LMS that signed the request may frame it, as with the button (`framed`).
"""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import math
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from . import deep_linking, framed, git_remote, groups, registration
from .cross_site import hosts_of
from .deep_linking import GitFile, NotChosen
from .launch import Launch
from .launch_handler import PICK, CrossSite
from .refusals import Reason, Refusal
from .roles import Part
from .services.assignments import Assignment, NoGradebook, ask

TEMPLATE, DONE = "hubrun-pick.html", "hubrun-picked.html"


class PickPage(CrossSite):
    """What shows the page: the LMS's request (`login_handlers.Callback13`), and the form that it sends."""

    async def offer(self, launch: Launch) -> None:
        """Show the page for a verified request. Raises Refusal for who is not staff of the course."""
        deep_linking.return_url(launch)
        if launch.course is None or groups.part_in(launch) is not Part.STAFF:
            raise Refusal(Reason.NOT_STAFF, "content is chosen by who is not staff of the course", launch.consumer.name)
        await self.page(launch, self.authenticator.choices.put(launch, time.monotonic()), {})

    async def page(self, launch: Launch, ticket: str, entered: dict[str, str], wrong: str = "") -> None:
        """The page, with what was entered before, and what is wrong with it."""
        try:
            assignments, no_gradebook = await self.assignments(launch), ""
        except NoGradebook as error:
            assignments, no_gradebook = {}, str(error)
        await self.framed_page(
            launch, TEMPLATE, ticket=ticket, action=self.hub.base_url + PICK, assignments=assignments.values(),
            no_gradebook=no_gradebook, entered=entered, wrong=wrong, title=self.authenticator.tool_title,
        )  # fmt: skip

    async def assignments(self, launch: Launch) -> dict[str, Assignment]:
        """nbgrader's assignments of the course. Raises NoGradebook."""
        course = groups.course_name(launch.course.id if launch.course else "", launch.consumer.prefix)
        return await ask(self.authenticator.gradebook_socket, course)

    async def framed_page(self, launch: Launch, template: str, **values: Any) -> None:
        """A page that the launch's LMS may frame."""
        nonce = secrets.token_urlsafe(16)
        # A request need not say where the LMS's own page is, but where the choice goes.
        hosts = launch.lms_hosts | hosts_of([deep_linking.return_url(launch)])
        self.set_header("Content-Security-Policy", framed.policy(hosts, self.authenticator.frame_ancestors, nonce))
        self.set_header("Cache-Control", "no-store")
        self.finish(await self.render_template(template, nonce=nonce, **values))


class Pick(PickPage):
    """The form of the page."""

    async def post(self) -> None:
        await self.answer(self._post())

    async def _post(self) -> None:
        door = self.authenticator
        ticket = self.get_body_argument("ticket", "")
        launch = door.choices.of(ticket, time.monotonic())
        if launch.consumer not in door.read_consumers():
            raise Refusal(Reason.UNTRUSTED, "it was revoked or changed before the choice", launch.consumer.name)
        names = ("kind", "title", "repo", "branch", "path", "assignment", "points", "due")
        entered = {name: self.get_body_argument(name, "") for name in names}
        try:
            item = await self._item(launch, entered)
        except NotChosen as error:
            return await self.page(launch, ticket, entered, str(error))
        token = door.sign(deep_linking.response(launch, item, time.time()), False)
        self.log.info("LTI content chosen by consumer %s: %s", launch.consumer.name, entered["kind"])
        url = deep_linking.return_url(launch)
        await self.framed_page(launch, DONE, url=url, token=token, host=urlsplit(url).netloc)

    async def _item(self, launch: Launch, entered: dict[str, str]) -> dict[str, Any]:
        """What was chosen, as a content item. Raises NotChosen."""
        door, title = self.authenticator, entered["title"][:200]
        launch_url = self.address(registration.LAUNCH)
        if entered["kind"] == "hub":
            return deep_linking.link(launch_url, title or door.tool_title)
        if entered["kind"] == "git":
            git = GitFile(entered["repo"], entered["branch"], entered["path"])
            going_on = deep_linking.git_next(git)
            await git_remote.check(git, door.inner_addresses)
            name = git.path.strip("/").rpartition("/")[2] or git.repo.rstrip("/").rpartition("/")[2]
            return deep_linking.link(launch_url, title or name, going_on)
        if entered["kind"] == "assignment":
            try:
                assignment = (await self.assignments(launch)).get(entered["assignment"])
            except NoGradebook as error:
                raise NotChosen(f"The assignments cannot be read: {error}") from None
            if assignment is None:
                raise NotChosen("Choose one of the assignments")
            item = deep_linking.link(launch_url, title or assignment.name)
            if entered["due"]:
                item = deep_linking.with_date(item, assignment.name)
            return deep_linking.with_column(item, assignment.name, _points(entered["points"], assignment.maximum))
        raise NotChosen("Choose what the link opens")


def _points(entered: str, otherwise: float) -> float:
    """The most points of a column: what was entered, or those of nbgrader. Raises NotChosen."""
    try:
        points = float(entered.replace(",", ".")) if entered else otherwise
    except ValueError:
        points = 0.0
    if not (math.isfinite(points) and 0 < points <= 1_000_000):
        raise NotChosen("The maximum points must be a number above 0")
    return points
