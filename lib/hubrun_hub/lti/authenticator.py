"""The Authenticator class that JupyterHub's configuration names."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from tornado.web import HTTPError
from traitlets import Bool, Unicode

from . import consumers, handlers, registration_handler, sessions, tool_key
from .cross_site import PendingConfirmations
from .health import FULL, HealthProbe
from .jwks import KeySets
from .launch import Launch
from .nonces import Nonces
from .pages import ANY_LMS
from .people import People
from .presets import PRESETS
from .refusals import RateLimit, Reason, Refusal


class DiskFull(HTTPError):
    """A start that is refused: on the page that asked for it, and on the one that waits (jupyterhub_message)."""

    jupyterhub_message = FULL

    def __init__(self) -> None:
        super().__init__(503, FULL)


class LaunchAuthenticator(Authenticator):
    """People come in by an LTI launch, 1.1 or 1.3, from a consumer whose files are there, and in no other way.

    Which of its users administer the hub is said by `admin_users` alone; no role in the LMS makes one an administrator.
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
        help="Field of the launch, by its name in LTI 1.1, that says who somebody is. Without it they are refused.",
    )
    nonce_file = Unicode("lti_nonces.sqlite", config=True, help="File of the launches that were used lately.")
    people_file = Unicode("lti_people.sqlite", config=True, help="File of what the LMS called each person (`people`).")
    one_person_a_name = Bool(
        True,
        config=True,
        help="Refuse a launch under a name that the LMS gave to another person, where a link's maker can write names.",
    )
    tool_key_file = Unicode("lti_tool_jwk.json", config=True, help="File of the tool's public key (LTI 1.3).")
    tool_title = Unicode("JupyterHub", config=True, help="What the LMS calls the tool (LTI 1.3).")
    registration_dir = Unicode(
        "/etc/jupyterhub/registration.d",
        config=True,
        help="Folder of the links with which an LMS may register the hub (`dynamic_registration`).",
    )
    registered_dir = Unicode(
        "lti_registered", config=True, help="Folder of the hub's own: what LMSs said when they registered it."
    )
    inner_addresses = Bool(
        False, config=True, help="An LMS that registers the hub may be in an inner network (10.0.0.0/8 and the like)."
    )

    @cached_property
    def nonces(self) -> Nonces:
        return Nonces(Path(self.nonce_file))

    @cached_property
    def people(self) -> People:
        return People(Path(self.people_file))

    @cached_property
    def health(self) -> HealthProbe:
        return HealthProbe(Path.cwd())

    @cached_property
    def key_sets(self) -> KeySets:
        return KeySets()

    @cached_property
    def waiting(self) -> PendingConfirmations:
        return PendingConfirmations()

    @cached_property
    def refused(self) -> RateLimit:
        return RateLimit()

    @cached_property
    def registering(self) -> asyncio.Lock:
        return asyncio.Lock()

    @cached_property
    def tool_jwk(self) -> dict[str, Any]:
        return tool_key.public_jwk(Path(self.tool_key_file))

    def read_consumers(self) -> list[consumers.Consumer]:
        """The consumers whose files are there now; those that are not right are named in the log."""
        found, problems = self._read_consumers()
        for problem in problems:
            self.log.error("%s", problem)
        return found

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
        return [*handlers.ROUTES, *sessions.ROUTES, *registration_handler.ROUTES]

    async def authenticate(self, handler: Any, data: Any) -> dict[str, Any] | None:
        """The person of a launch that one of our handlers has verified; nobody for anything else."""
        launch = data.get("launch") if isinstance(data, dict) else None
        return {"name": launch.user} if isinstance(launch, Launch) else None

    def is_admin(self, handler: Any, authentication: dict[str, Any]) -> bool:
        """True or False, never "as before": whoever is taken from `admin_users` is none from the next launch on."""
        return authentication["name"] in self.admin_users

    def check_person(self, launch: Launch) -> None:
        """Raise Refusal for a launch under the name of another person: whoever edits a link may have written it.

        The name is theirs who first launched with it. When the file cannot be read everybody goes on: it keeps out
        nobody whom the LMS vouches for.
        """
        if not launch.person or not self.one_person_a_name:
            return
        try:
            holder = self.people.holder(launch.user, version=launch.version, consumer=launch.consumer.name)
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self.log.error("%s cannot be read (%s): whose name it is was not compared", self.people_file, error)
            return
        if holder and holder != launch.person:
            raise Refusal(
                Reason.OTHER_PERSON, f"the user {launch.user} is another person of this LMS", launch.consumer.name
            )

    def note(self, launch: Launch) -> None:
        """Keep what the launch calls its person. Whoever launched goes on, also when that cannot be written."""
        try:
            self.people.note(
                launch.user, launch.identities, version=launch.version,
                consumer=launch.consumer.name, prefix=launch.consumer.prefix, now=time.time(),
            )  # fmt: skip
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self.log.error("%s cannot be written (%s): %s is not noted", self.people_file, error, launch.user)

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """When the disk is full, say so instead of starting a server that cannot run."""
        state = await self.health.state()
        if not state.starts:
            self.log.error("%s does not start: %s", spawner._log_name, state.problem)
            raise DiskFull

    def delete_user(self, user: Any) -> None:
        """What is kept of somebody goes with their user."""
        super().delete_user(user)
        try:
            self.people.forget(user.name)
        except (sqlite3.Error, OSError) as error:
            self.log.error("%s cannot be written (%s): %s stays in it", self.people_file, error, user.name)
