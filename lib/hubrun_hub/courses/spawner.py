"""The part of a spawner that gives a person's container their courses."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ..awaited import awaited
from ..nodes.nodes_file import MANAGER
from ..not_started import NotStarted
from . import exam_changes
from . import exam_schedule as schedule
from .course_folders import folders_of
from .course_settings import settings_of
from .mounts import ROOT, ContainerMounts, is_name, memberships, named, places, words_of


class CourseMounts:
    """Comes before a DockerSpawner among the base classes. Groups are read at each start of the server.

    readable_folders: in containers courses have the names that people read, which the image must know of. nbgrader:
    whether the image has it. site: what the site's file says (`StudentContainer`).
    """

    course_places = ContainerMounts()
    readable_folders = False
    nbgrader = True
    site: dict[str, Any] = {}
    # The exam that this server is in.
    exam: schedule.Exam | None = None

    async def start(self: Any) -> Any:
        now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10
        if any(exam.was_just_on(now) for exam, _ in schedule.sat(self._site(), self._groups(), self.user.name)):
            raise NotStarted("The exam has ended, and what you have of it is taken now. Start your server in a minute.")
        self.course_places = self.find_places()
        return await super().start()

    def find_places(self: Any, root: str = ROOT) -> ContainerMounts:
        """What the container of this person gets of their courses below `root`."""
        groups = self._groups()
        words = words_of(groups)
        self.exam, only = self._sits(groups) or (None, None)
        found = [
            replace(each, more=folders_of(settings_of(self.site, words[each.course]), self.user.name))
            for each in memberships(name for name, _ in groups)
            if only in (None, each.course)
        ]
        if only:
            found = [replace(each, more=each.more.alone()) for each in found]
        if self.readable_folders:
            found = named(found, words)
        if not is_name(self.user.name):
            self.log.warning("courses: %r cannot be the name of a folder, so this user gets none", self.user.name)
            found = []
        self.log.info(
            "courses: %s gets %s",
            self.user.name,
            ", ".join(f"{one.course} ({'instructor' if one.teaches else 'student'})" for one in found) or "none",
        )
        return places(self.user.name, found, root, self.nbgrader)

    @property
    def only_node(self: Any) -> str:
        """What a server in an exam reaches is said by the manager's rules (programs/exam.py), so it runs there."""
        elsewhere: str = super().only_node
        return MANAGER if self._sits(self._groups()) else elsewhere

    def _sits(self: Any, groups: list[schedule.Group]) -> tuple[schedule.Exam, str] | None:
        now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10
        return schedule.sits_in(self._site(), groups, self.user.name, now)

    def _site(self: Any) -> dict[str, Any]:
        return schedule.with_changes(self.site, exam_changes.read())

    def _groups(self: Any) -> list[schedule.Group]:
        return [(group.name, getattr(group, "properties", None) or {}) for group in self.user.groups]

    async def create_object(self: Any) -> Any:
        """Create the container, in an exam with its label, by which what stands before Docker knows."""
        if self.exam is None:
            return await self._create()
        configured = self.extra_create_kwargs
        self.extra_create_kwargs = _labelled(configured, self.exam.key)
        try:
            return await self._create()
        finally:
            self.extra_create_kwargs = configured

    async def _create(self: Any) -> Any:
        """Create it; the folders are made by the service that stands before Docker (docker_filter).

        When that is not possible, the server starts without courses, and the hub's log says why: a student who cannot
        submit can still work.
        """
        try:
            return await super().create_object()
        except Exception as error:  # docker.errors.APIError, which is in the hub's Python alone
            why = str(getattr(error, "explanation", ""))
            if not why.startswith("courses:") or not self.course_places.binds:
                raise
            self.log.error("%s starts without any course: %s", self.user.name, why)
            self.course_places = places(self.user.name, [], nbgrader=self.nbgrader)
            return await super().create_object()

    @property
    def volume_binds(self: Any) -> dict[str, dict[str, str]]:
        return {**super().volume_binds, **self.course_places.binds}

    def get_env(self: Any) -> dict[str, str]:
        found = {**super().get_env(), **self.course_places.environment}
        if self.exam is None:
            return found
        # The site's proxy would lead to everywhere, and is not reached.
        direct = {name: value for name, value in found.items() if name.lower() not in ("http_proxy", "https_proxy")}
        return {**direct, "HUBRUN_NOTICE": notice(self.exam)}

    def _event(self: Any) -> dict[str, Any]:
        event: dict[str, Any] = super()._event()
        return event if self.exam is None else {**event, "message": f"{notice(self.exam)} {event['message']}"}


def notice(exam: schedule.Exam) -> str:
    """What somebody is told whose server is in an exam."""
    hosts = f"Of the network you reach {', '.join(exam.hosts)}" if exam.hosts else "You reach no network"
    return f"Exam of {exam.course} until {exam.until}. {hosts}, and see this course alone. Then your server ends."


def _labelled(configured: Any, key: str) -> Any:
    """`extra_create_kwargs` with the label of an exam."""

    async def both(spawner: Any) -> dict[str, Any]:
        found = await awaited(configured(spawner) if callable(configured) else configured)
        return {**found, "labels": {**found.get("labels", {}), schedule.LABEL: key}}

    return both
