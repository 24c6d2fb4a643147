"""The part of a spawner that asks Docker for a student's container: its image, its limits and its environment.

What the site says of these, and of single courses, is read at each start, from the file by which hubrun-docker-filter judges
them: a change restarts nothing, and the hub never asks for what is refused.
"""

# mypy: disable-error-code="misc"
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .awaited import awaited
from .courses.servers import CourseServer, Limits, is_course_server
from .docker_filter import settings
from .nodes.nodes_file import MANAGER
from .not_started import NotStarted
from .starting.culler import IDLE_MINUTES
from .starting.own_server import servers_of

# Starts a server to try an image before anybody else gets it, or a node (programs/try_start.py).
TRIES = "hubruntest1"
_NOT_YOURS = "This is the server of a course that you are not in any more. Your files are in your other servers too."


class StudentContainer:
    """Comes before a DockerSpawner among the base classes."""

    site_file = settings.SITE
    # What that file said when it was read last, and which servers this person has by it.
    site: dict[str, Any] = {}
    servers: dict[str, CourseServer] = {}

    def __init__(self: Any, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.read_site()

    def read_site(self: Any) -> None:
        """Take over what the site's file says. What the operator's configuration says of a limit stays.

        A file that cannot be read changes nothing: the filter refuses what it is asked for then, and says why.
        """
        try:
            site = settings.read(Path(self.site_file))
            mine = servers_of(self.user, site)
        except (settings.Refused, KeyError) as error:
            self.log.error("%s: %r", self.site_file, error)
            return
        self.site, self.servers = site, mine
        limits = self._limits
        for trait, value in {"mem_limit": f"{limits.memory_mb}M", "cpu_limit": limits.cpus}.items():
            if not any(trait in self.config[each] for each in type(self).section_names() if each in self.config):
                setattr(self, trait, value)
        if limits.image:
            self.image = limits.image
        # For the culler; what a person's own request said here counts for nothing.
        options = {name: value for name, value in self.user_options.items() if name != IDLE_MINUTES}
        self.user_options = options if limits.idle_minutes is None else options | {IDLE_MINUTES: limits.idle_minutes}

    @property
    def _limits(self: Any) -> Limits | None:
        """What this server gets; None before the site's file was read."""
        mine = self.servers.get(self.name) or self.servers.get("")
        return mine.limits if mine else None

    async def run_pre_spawn_hook(self: Any) -> None:
        self.read_site()  # before the operator's hook, which has the last word
        if is_course_server(self.name) and self.name not in self.servers:
            raise NotStarted(_NOT_YOURS, 403)
        await awaited(super().run_pre_spawn_hook())

    async def rename(self: Any, old_name: str, new_name: str) -> None:
        """A course's server keeps its name: by it the hub knows whose it is."""
        if is_course_server(old_name) or is_course_server(new_name) or not old_name:
            raise NotStarted("The servers of courses keep their names.", 403)
        await super().rename(old_name, new_name)

    @property
    def only_node(self: Any) -> str:
        """The one node where this server can start, "" for any: an image that is tried is on the manager alone, and a node is tried
        by who tries."""
        if self.user.name != TRIES:
            return ""
        return MANAGER if self.user_options.get("candidate") else str(self.user_options.get("node", ""))

    async def start(self: Any) -> Any:
        if self.user.name == TRIES and self.user_options.get("candidate"):
            self.image = self.site["candidate"]
        return await super().start()

    def get_env(self: Any) -> dict[str, str]:
        # Two servers write into one home: what each writes there about itself alone stays in its memory.
        own = {"JUPYTER_RUNTIME_DIR": "/tmp/.jupyter-runtime"} if self.name else {}  # nosec B108 - of a container
        return {**self.site.get("environment", {}), **own, **super().get_env()}

    async def create_object(self: Any) -> Any:
        """Create the container. What else is limited follows the memory that this person gets, whoever said how much."""
        configured = self.extra_host_config
        self.extra_host_config = _complete(configured, self._limits)
        try:
            return await super().create_object()
        finally:
            self.extra_host_config = configured


def _complete(configured: Any, of: Limits | None) -> Callable[[Any], Any]:
    """`extra_host_config` with what follows from `mem_limit` and the site's limits, where it does not say so itself."""

    async def both(spawner: Any) -> dict[str, Any]:
        found = await awaited(configured(spawner) if callable(configured) else configured)
        limits: dict[str, Any] = {"pids_limit": of.processes} if of else {}
        if of and of.gpus:
            limits["device_requests"] = [{"Count": of.gpus, "Capabilities": [["gpu"]]}]
        if memory := spawner.mem_limit:
            # No swap on top. In /dev/shm, which counts as this memory, Docker would give 64 MB: PyTorch's loaders need more.
            # Half, as Linux gives by itself (tmpfs(5), size): a full one ends in an error there, and not with the whole
            # container. The same for /tmp, which is memory too, with a number of files.
            half = memory // 2
            scratch = f"rw,exec,nosuid,nodev,mode=1777,size={half // 2**20}m,nr_inodes={half // 2**13}"
            limits |= {"memswap_limit": memory, "shm_size": half}
            found = {**found, "tmpfs": {"/tmp": scratch, **found.get("tmpfs", {})}}  # nosec B108 - of a container
        return {**limits, **found}

    return both
