"""The Authenticator class that JupyterHub's configuration names."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from tornado.web import HTTPError
from traitlets import Bool, CaselessStrEnum, Float, List, Unicode

from ..courses import exam_changes
from . import consumers, groups, handlers, review, sessions, tool_key, user_names
from .cross_site import PendingConfirmations
from .deep_linking import Choices
from .framed import Tickets
from .full_names import FullNames
from .health import FULL, HealthProbe
from .hub_users import DatabaseUsers
from .jwks import KeySets
from .launch import WINDOW_S, Launch
from .nonces import Nonces
from .pages import ANY_LMS
from .people import Rules, Seen, Unusable
from .people_file import People
from .presets import PRESETS
from .refusals import RateLimit, Reason, Refusal
from .roles import Part
from .rosters import Rosters
from .services.calls import Calls
from .services.course_grades import CourseGrades
from .services.service_file import ServiceFile
from .services.tokens import Tokens
from .test_students import TestStudents


class DiskFull(HTTPError):
    """A start that is refused: on the page that asked for it, and on the one that waits (jupyterhub_message)."""

    jupyterhub_message = FULL

    def __init__(self) -> None:
        super().__init__(503, FULL)


class LaunchAuthenticator(Authenticator):
    """People come in by an LTI launch, 1.1 or 1.3, from a consumer whose files are there, and in no other way.

    Who administers the hub is said by `administrators` (and `admin_users`, for users by name) alone; no role in the LMS
    makes one an administrator.
    """

    consumers_dir = Unicode(
        "/etc/jupyterhub/consumers.d", config=True, help="Folder of the consumers' files, NAME.env and NAME.json."
    )
    default_consumer = Unicode(
        "/etc/jupyterhub/lti.env",
        config=True,
        help="File with key and secret of the consumer `default` (LTI 1.1); empty: it has none.",
    )
    username_key = Unicode(
        "lis_person_sourcedid",
        config=True,
        help="Field of the launch, by its name in LTI 1.1, that names a new person's user on the hub.",
    )
    # JupyterHub makes a user for each name in its own admin_users, before anybody comes.
    administrators = List(
        Unicode(), config=True, help="Who administers the hub: hub users, or what the LMS says in `username_key`."
    )
    adopt_users = Bool(
        False,
        config=True,
        help="A person may take a hub user whom nobody owns, with their files, where it has their name.",
    )
    launch_minutes = Float(
        WINDOW_S / 60,
        config=True,
        help="How old a launch of LTI 1.1 may be when it arrives, and how far an LMS's clock may differ.",
    )
    inner_addresses = Bool(
        False,
        config=True,
        help="Ask LMSs at addresses inside the institution too, for keys and registrations (LTI 1.3). Others are of the internet.",
    )
    nonce_file = Unicode("lti_nonces.sqlite", config=True, help="File of the launches that were used lately.")
    people_file = Unicode("lti_people.sqlite", config=True, help="File of who is who (`people`).")
    full_names_file = Unicode("lti_full_names.sqlite", config=True, help="File of people's names, for their teachers.")
    outside_course = CaselessStrEnum(
        ["server", "page"],
        "server",
        config=True,
        help="Who launches from a course without a part in it (observers, guests) gets a server without it, or a page.",
    )
    one_person_a_name = Bool(
        True, config=True, help="Of versions before, and without effect: a user is a person's for life."
    )
    tool_key_file = Unicode("lti_tool_jwk.json", config=True, help="File of the tool's public keys (LTI 1.3).")
    tool_title = Unicode("JupyterHub", config=True, help="What the LMS calls the tool (LTI 1.3).")
    registration_dir = Unicode(
        "/etc/jupyterhub/registration.d",
        config=True,
        help="Folder of the links with which an LMS may register the hub (`dynamic_registration`).",
    )
    registered_dir = Unicode(
        "lti_registered", config=True, help="Folder of the hub's own: what LMSs said when they registered it."
    )
    services = Bool(
        False,
        config=True,
        help="Whether the hub uses the LMS's services: grades, lists of names, and the choice of what a link opens.",
    )
    services_file = Unicode(
        "lti_services.sqlite", config=True, help="File of the LMS's services, and of what was sent."
    )
    gradebook_socket = Unicode(
        "", config=True, help="Socket at which courses' gradebooks are read; empty: there are none."
    )
    frame_ancestors = List(
        Unicode(),
        config=True,
        help="Sites, https://HOST, that may frame the page for launches in frames, besides the LMS that launches.",
    )

    @cached_property
    def nonces(self) -> Nonces:
        return Nonces(Path(self.nonce_file))

    @cached_property
    def people(self) -> People:
        return People(Path(self.people_file))

    @cached_property
    def _admin_names(self) -> frozenset[str]:
        return user_names.admin_names([*self.administrators, *self.admin_users])

    @cached_property
    def full_names(self) -> FullNames:
        return FullNames(Path(self.full_names_file))

    @cached_property
    def test_students(self) -> TestStudents:
        return TestStudents(self.parent)

    @cached_property
    def health(self) -> HealthProbe:
        return HealthProbe(Path.cwd())

    @cached_property
    def key_sets(self) -> KeySets:
        return KeySets(self.inner_addresses)

    @cached_property
    def waiting(self) -> PendingConfirmations:
        return PendingConfirmations()

    @cached_property
    def tickets(self) -> Tickets:
        return Tickets()

    @cached_property
    def refused(self) -> RateLimit:
        return RateLimit()

    @cached_property
    def registering(self) -> asyncio.Lock:
        return asyncio.Lock()

    @cached_property
    def choices(self) -> Choices:
        return Choices()

    @cached_property
    def service_file(self) -> ServiceFile:
        return ServiceFile(Path(self.services_file))

    @cached_property
    def sending(self) -> dict[str, asyncio.Lock]:
        """Course → whoever sends its grades now."""
        return {}

    @cached_property
    def calls(self) -> Calls:
        return Calls(self.inner_addresses)

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self.sign, self.calls)

    def sign(self, claims: Mapping[str, Any], former: bool) -> str:
        """A JWT by the tool's key; `former`: by the one before, "" where there is none."""
        return tool_key.sign(Path(self.tool_key_file), claims, former)

    def course_grades(self, course: str, db: Any) -> CourseGrades:
        """The grades of a course, on their way to the LMS. db: the hub's database."""
        return CourseGrades(
            course, consumers=self.read_consumers(), file=self.service_file, tokens=self.tokens, calls=self.calls,
            socket=self.gradebook_socket, roster=self.rosters.of(course, db),
        )  # fmt: skip

    @cached_property
    def rosters(self) -> Rosters:
        return Rosters(self)

    @property
    def tool_jwks(self) -> list[dict[str, Any]]:
        return tool_key.public_jwks(Path(self.tool_key_file))

    def read_consumers(self) -> list[consumers.Consumer]:
        """The consumers whose files are there now; those that are not right are named in the log."""
        found, problems = self._read_consumers()
        for problem in problems:
            self.log.error("%s", problem)
        self._prefixes = {each.name: each.prefix for each in found}
        return found

    def hub_users(self, db: Any) -> DatabaseUsers:
        """The users in the hub's database, of the session `db`."""
        users = DatabaseUsers(db)
        if not self._prepared:
            users.prepare()
            self._prepared = True
        return users

    _prepared = False
    _prefixes: dict[str, str] = {}

    def _read_consumers(self) -> tuple[list[consumers.Consumer], list[str]]:
        return consumers.read(
            Path(self.consumers_dir),
            Path(self.default_consumer) if self.default_consumer else None,
            Path(self.registered_dir),
        )

    def lms_title(self, consumer: str = "") -> str:
        """What people call the LMS of the consumer of this name; without one, of all consumers, where that is the same."""
        found, _ = self._read_consumers()
        titles = {PRESETS[each.lms].title for each in found if consumer in ("", each.name)}
        return titles.pop() if len(titles) == 1 else ANY_LMS

    def get_handlers(self, app: Any) -> list[Any]:
        """Launches are signed over the address that the LMS knows. It cannot be left to the request to say it."""
        if not app.public_url:
            raise ValueError("LaunchAuthenticator needs c.JupyterHub.public_url, such as https://hub.example.edu/")
        self.log.info("LTI consumers: %s", ", ".join(each.name for each in self.read_consumers()) or "none")
        self.login_service = self.lms_title()
        return [*handlers.ROUTES, *(handlers.SERVICES if self.services else ()), *sessions.ROUTES]

    async def authenticate(self, handler: Any, data: Any) -> dict[str, Any] | None:
        """The person of a launch that one of our handlers has verified; nobody for anything else."""
        launch = data.get("launch") if isinstance(data, dict) else None
        if not isinstance(launch, Launch) or not launch.user:
            return None
        # True or False, never "as before": whoever is taken from the list is no administrator from the next launch on.
        return {"name": launch.user, "admin": launch.administers}

    def is_admin(self, handler: Any, authentication: dict[str, Any]) -> bool:
        """True or False, never "as before": whoever is taken from `admin_users` is none from the next launch on."""
        return authentication["name"] in self.admin_users

    def resolve(self, launch: Launch, db: Any) -> Launch:
        """Return the launch with the hub user of its person, who is written down by then. Raises Unusable."""
        found = self.people.resolve(self._seen(launch), self.rules, self.hub_users(db), time.time())
        for note in found.notes:
            self.log.warning("LTI launch by consumer %s: %s", launch.consumer.name, note)
        return replace(launch, user=found.user, administers=found.administers)

    @property
    def rules(self) -> Rules:
        return Rules(self._prefixes, self.adopt_users, self._admin_names)

    def keep(self, db: Any) -> None:
        """Keep, in the hub's database, by what people are known again: whoever came, and those whom an upgrade found.

        Whoever calls this commits, and then calls `People.pending.clear`.
        """
        users = self.hub_users(db)
        for name, marks in self.people.pending.items():
            users.keep(name, marks)

    def _seen(self, launch: Launch) -> Seen:
        consumer = launch.consumer
        return Seen(
            consumer.name, consumer.prefix, launch.version, launch.ids, launch.identities, consumer.username_key or self.username_key, launch.id_11,
            consumer.lms,
        )  # fmt: skip

    def check_part(self, launch: Launch) -> None:
        """Raise Refusal for who has no part in the course that they launch from, where the site shows a page then.

        Whoever administers the hub comes in: in an LMS they are often in no course.
        """
        if launch.course is None or groups.part_in(launch) is not Part.NONE:
            return
        roles = ", ".join(launch.roles)[:300] or "none"
        if self.outside_course == "page" and not launch.administers:
            raise Refusal(
                Reason.NOT_IN_COURSE, f"neither student nor staff of the course: {roles}", launch.consumer.name
            )
        self.log.info("%s is neither student nor staff of the course launched from: roles %r", launch.user, roles)

    def note_name(self, launch: Launch) -> None:
        """Keep the person's name for their teachers. Whoever launched goes on, also when that cannot be written."""
        try:
            self.full_names.note(launch.user, launch.full_name)
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self.log.error("%s cannot be written (%s): no name of %s", self.full_names_file, error, launch.user)

    def note_services(self, launch: Launch) -> None:
        """Keep where the LMS's services are for the launch's course. Whoever launched goes on, whatever comes of it."""
        if not self.services or launch.course is None or launch.test_student:
            return
        course = groups.course_name(launch.course.id, launch.consumer.prefix)
        part = groups.part_in(launch)
        try:
            lti_user, student = launch.ids[0][1], part is Part.STUDENT
            self.service_file.note(course, launch.consumer.name, launch.user, lti_user, student, launch.services)
            if launch.date:
                self.service_file.note_date(course, launch.user, part, launch.date)
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self.log.error("%s cannot be written (%s)", self.services_file, error)

    def reviewed(self, launch: Launch) -> Launch:
        """The launch of who asks to look at a submission, with the page to go to. Raises Refusal."""
        if launch.course is None:
            raise Refusal(Reason.NOT_STAFF, "a submission is asked for outside a course", launch.consumer.name)
        course, file = groups.course_name(launch.course.id, launch.consumer.prefix), self.service_file
        return review.reviewed(launch, course, file.lti_users(course), file.chosen(course))

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """When the disk is full, say so instead of starting a server that cannot run."""
        state = await self.health.state()
        if not state.starts:
            self.log.error("%s does not start: %s", spawner._log_name, state.problem)
            raise DiskFull

    async def post_spawn_stop(self, user: Any, spawner: Any) -> None:
        """A Test Student who has finished work goes, if another one came."""
        self.test_students.stopped(user.name)

    def delete_user(self, user: Any) -> None:
        """What is kept of somebody goes with their user."""
        super().delete_user(user)
        try:
            self.people.forget(user.name, self.hub_users(user.db))
            self.hub_users(user.db).forget(user.name)
        except Unusable as error:
            self.log.error("%s: %s stays in it", error, user.name)
        try:
            self.full_names.forget(user.name)
            if self.services:
                self.service_file.forget(user.name)
            exam_changes.forget(exam_changes.FILE, [user.name])
        except (sqlite3.Error, OSError) as error:
            self.log.error("%s cannot be written (%s): %s stays in it", self.full_names_file, error, user.name)
