"""What a student reads when no server could be started, and which limits follow the memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.student_container import NotStarted, StudentContainer
from lti_hub import Browser, form, running_hub


class DockerError(Exception):
    """As docker.errors.APIError."""

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(f"{status} Client Error")
        self.status_code, self.explanation = status, explanation


class Spawner:
    """Stands in for a DockerSpawner: keeps with which extra_host_config the container was asked for, or fails."""

    image = "class"
    extra_host_config: Any = {"init": True}
    mem_limit: Any = "2G"
    fails: Exception | None = None

    async def start(self) -> tuple[str, int]:
        await self.create_object()
        return "10.0.0.2", 8888

    async def create_object(self) -> dict[str, str]:
        self.asked = await self.extra_host_config(self)
        if self.fails:
            raise self.fails
        return {"Id": "1"}


class Both(StudentContainer, Spawner):
    """As conf.d/40-docker.py makes it."""


def explanation(error: Exception) -> str:
    spawner = Both()
    spawner.fails = error
    with pytest.raises(NotStarted) as caught:
        asyncio.run(spawner.start())
    assert spawner.extra_host_config == {"init": True}, "as it was"
    return caught.value.jupyterhub_message


REFUSED = "refused by hubrun-docker-filter: HostConfig.Memory must be from 1 to 5"
SAID = {
    "the image was pruned": (DockerError(404, "No such image: class:latest"), "The image class, from which servers are started, is missing"),
    "the network was pruned": (DockerError(404, "network jupyterhub not found"), "The network for students' servers is missing"),
    "a setting is refused": (DockerError(403, REFUSED), "a setting of this hub asks for what is not allowed"),
    "Docker is stopped": (DockerError(502, "Docker does not answer: [Errno 111]"), "does not answer just now"),
    "the service before Docker is stopped": (type("ConnectionError", (Exception,), {})("refused"), "does not answer just now"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_student_reads_what_is_missing(name: str) -> None:
    error, text = SAID[name]
    assert text in explanation(error)


def test_the_reason_for_the_operator_is_in_the_exception() -> None:
    spawner = Both()
    spawner.fails = DockerError(403, REFUSED)
    with pytest.raises(NotStarted, match="HostConfig.Memory must be from 1 to 5"):
        asyncio.run(spawner.start())


def test_any_other_error_is_what_it_was() -> None:
    spawner = Both()
    spawner.fails = ZeroDivisionError("a hook's")
    with pytest.raises(ZeroDivisionError):
        asyncio.run(spawner.start())


async def _awaited(spawner: Any) -> dict[str, Any]:
    return {"pids_limit": spawner.most}


@pytest.mark.parametrize(
    ("memory", "configured", "asked"),
    [
        ("2G", {"init": True}, {"memswap_limit": "2G", "shm_size": "2G", "init": True}),
        (2**29, {"shm_size": "64m"}, {"memswap_limit": 2**29, "shm_size": "64m"}),
        (None, {"init": True}, {"init": True}),
        (
            "1G",
            lambda spawner: {"pids_limit": spawner.most},
            {"memswap_limit": "1G", "shm_size": "1G", "pids_limit": 9},
        ),
        ("1G", _awaited, {"memswap_limit": "1G", "shm_size": "1G", "pids_limit": 9}),
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


_PRUNED = """
from hubrun_hub.student_container import StudentContainer
from jupyterhub.spawner import SimpleLocalProcessSpawner


class Gone(Exception):
    status_code, explanation = 404, "No such image: class:latest"


class Docker(SimpleLocalProcessSpawner):
    image = "class"

    async def start(self):
        raise Gone


class Student(StudentContainer, Docker):
    pass


c.JupyterHub.spawner_class = Student
"""


@pytest.mark.hub
def test_the_page_of_a_real_hub_says_what_is_missing_and_not_internal_server_error(tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub", _PRUNED) as hub:
        browser = Browser(hub)
        browser.post("/hub/lti/launch", form("ada"))
        page = browser.get("/hub/spawn/ada").response
        assert "The image class, from which servers are started, is missing on this server." in page.text, page.text
        assert page.status_code == 503 and "Internal Server Error" not in page.text
        # and where somebody comes back to
        assert "is missing on this server" in browser.get("/hub/spawn-pending/ada").response.text
        assert "No such image: class:latest" in hub.log
