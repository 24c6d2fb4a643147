"""Which limits of a student's container follow the memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubrun_hub.student_container import StudentContainer


class Spawner:
    """Stands in for a DockerSpawner: keeps with which extra_host_config the container was asked for."""

    extra_host_config: Any = {"init": True}
    mem_limit: Any = "2G"

    async def create_object(self) -> dict[str, str]:
        self.asked = await self.extra_host_config(self)
        return {"Id": "1"}


class Both(StudentContainer, Spawner):
    """As conf.d/40-docker.py makes it."""


async def _awaited(spawner: Any) -> dict[str, Any]:
    return {"pids_limit": spawner.most}


@pytest.mark.parametrize(
    ("memory", "configured", "asked"),
    [
        (2**31, {"init": True}, {"memswap_limit": 2**31, "shm_size": 2**30, "init": True}),
        (2**29, {"shm_size": "64m"}, {"memswap_limit": 2**29, "shm_size": "64m"}),
        (None, {"init": True}, {"init": True}),
        (
            2**30,
            lambda spawner: {"pids_limit": spawner.most},
            {"memswap_limit": 2**30, "shm_size": 2**29, "pids_limit": 9},
        ),
        (2**30, _awaited, {"memswap_limit": 2**30, "shm_size": 2**29, "pids_limit": 9}),
    ],
    ids=["a hook's", "the operator's own size", "without a limit", "a function", "an async function"],
)
def test_swap_and_shared_memory_follow_the_memory_of_each_person(
    memory: Any, configured: Any, asked: dict[str, Any]
) -> None:
    spawner: Any = Both()
    spawner.mem_limit, spawner.extra_host_config, spawner.most = memory, configured, 9
    asyncio.run(spawner.create_object())
    assert spawner.asked == asked
    assert spawner.extra_host_config is configured
