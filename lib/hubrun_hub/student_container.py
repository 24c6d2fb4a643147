"""The part of a spawner that asks Docker for a student's container: its limits."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .awaited import awaited


class StudentContainer:
    """Comes before a DockerSpawner among the base classes."""

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
        found = await awaited(configured(spawner) if callable(configured) else configured)
        memory = spawner.mem_limit
        # No swap on top. In /dev/shm, which counts as this memory, Docker would give 64 MB: PyTorch's loaders need more. Half,
        # as Linux gives by itself (tmpfs(5), size): a full one ends in an error there, and not with the whole container.
        return {"memswap_limit": memory, "shm_size": memory // 2, **found} if memory else dict(found)

    return both
