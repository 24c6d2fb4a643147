"""The part of a spawner that asks Docker for a student's container: its limits, and what is said when there is none."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from tornado.web import HTTPError

_TELL = "Please tell whoever runs this hub."


class NotStarted(HTTPError):
    """A server that was not started, with what the student reads (JupyterHub shows `jupyterhub_message`).

    An error of HTTP: any other, JupyterHub turns into a page that says "Internal Server Error", where the start fails within
    a second (jupyterhub/handlers/pages.py, _wrap_spawn_single_user).
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(503, f"{message} ({reason})" if reason else message)
        self.jupyterhub_message = message


class StudentContainer:
    """Comes before a DockerSpawner among the base classes."""

    async def start(self: Any) -> Any:
        try:
            return await super().start()
        except Exception as error:
            message = explained(error, str(self.image))
            if not message:
                raise
            raise NotStarted(message, str(getattr(error, "explanation", "") or error)) from error

    async def create_object(self: Any) -> Any:
        """Create the container. What else is limited follows the memory that this person gets, whoever said how much."""
        configured = self.extra_host_config
        self.extra_host_config = _with_memory(configured)
        try:
            return await super().create_object()
        finally:
            self.extra_host_config = configured


def _with_memory(configured: Any) -> Callable[[Any], Any]:
    """`extra_host_config` with what follows from `mem_limit`, where it does not say so itself."""

    async def both(spawner: Any) -> dict[str, Any]:
        found = configured(spawner) if callable(configured) else configured
        found = await found if isawaitable(found) else found
        memory = spawner.mem_limit
        # No swap on top. In /dev/shm, which counts as this memory, Docker would give 64 MB: PyTorch's loaders need more.
        return {"memswap_limit": memory, "shm_size": memory, **found} if memory else dict(found)

    return both


def explained(error: Exception, image: str) -> str:
    """What a student reads of an error of Docker's, or of what stands before it; "" for any other error."""
    status, why = getattr(error, "status_code", None), str(getattr(error, "explanation", "") or error)
    if status == 404 and "image" in why.lower():
        return (
            f"The image {image}, from which servers are started, is missing on this server. {_TELL} "
            "It is built again by: ./hubrun install params/SITE.yaml --only 04"
        )
    if status == 404 and "network" in why.lower():
        return "The network for students' servers is missing. It is made again by itself: try again in a minute."
    if status == 403 and why.startswith("refused by"):
        return f"Your server was not started, because a setting of this hub asks for what is not allowed here. {_TELL}"
    if status in (502, 503, 504) or type(error).__name__ in ("ConnectionError", "ConnectTimeout", "ReadTimeout"):
        return "Docker, which starts servers, does not answer just now. Try again in a minute."
    return ""
