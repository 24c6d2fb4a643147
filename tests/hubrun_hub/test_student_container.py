"""What a student's container is asked for: by the site's file, by the operator, and what follows from the memory."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubrun_hub.courses import servers
from hubrun_hub.not_started import NotStarted
from hubrun_hub.starting import culler
from hubrun_hub.student_container import TRIES, StudentContainer

SITE = {
    "memory_mb": 1024, "cpus": 1.5, "processes": 512, "candidate": "class:candidate", "environment": {"http_proxy": "http://p:3128", "LANG": "x"},
}  # fmt: skip


class Spawner:
    """Stands in for a DockerSpawner: keeps with which extra_host_config the container was asked for."""

    extra_host_config: Any = {"init": True}
    name = ""
    log = logging.getLogger("spawner")

    def __init__(self, config: Any = None) -> None:
        self.config = config or {}
        self.mem_limit: Any = None
        self.cpu_limit: Any = None
        self.image = "class"
        self.user = SimpleNamespace(name="ada", groups=[])
        self.user_options: dict[str, Any] = {}

    @classmethod
    def section_names(cls) -> list[str]:
        return ["Spawner", "DockerSpawner"]

    def run_pre_spawn_hook(self) -> None:
        if self.user.name == "eve":
            self.mem_limit = "4G"

    async def start(self) -> str:
        return self.image

    def get_env(self) -> dict[str, str]:
        return {"LANG": "C"}

    async def create_object(self) -> dict[str, str]:
        self.asked = await self.extra_host_config(self)
        return {"Id": "1"}


class Both(StudentContainer, Spawner):
    """As conf.d/40-docker.py makes it."""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "docker-filter.json"
    path.write_text(json.dumps(SITE))
    monkeypatch.setattr(Both, "site_file", str(path))
    return path


async def _awaited(spawner: Any) -> dict[str, Any]:
    return {"pids_limit": spawner.most}


def tmp(megabytes: int) -> dict[str, str]:
    return {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={megabytes}m,nr_inodes={megabytes * 128}"}


@pytest.mark.parametrize(
    ("memory", "configured", "asked"),
    [
        (2**31, {"init": True}, {"memswap_limit": 2**31, "shm_size": 2**30, "init": True, "tmpfs": tmp(1024), "pids_limit": 512}),
        (2**29, {"shm_size": "64m"}, {"memswap_limit": 2**29, "shm_size": "64m", "tmpfs": tmp(256), "pids_limit": 512}),
        (None, {"init": True}, {"init": True, "pids_limit": 512}),
        (2**30, lambda spawner: {"pids_limit": spawner.most}, {"memswap_limit": 2**30, "shm_size": 2**29, "pids_limit": 9, "tmpfs": tmp(512)}),
        (2**30, _awaited, {"memswap_limit": 2**30, "shm_size": 2**29, "pids_limit": 9, "tmpfs": tmp(512)}),
        (2**30, {"tmpfs": {"/run": "size=1m"}}, {"memswap_limit": 2**30, "shm_size": 2**29, "pids_limit": 512, "tmpfs": tmp(512) | {"/run": "size=1m"}}),
    ],
    ids=["a hook's", "the operator's own size", "without a limit", "a function", "an async function", "further folders in memory"],
)  # fmt: skip
def test_swap_and_memory_that_is_written_to_follow_the_memory_of_each_person(
    file: Path, memory: Any, configured: Any, asked: dict[str, Any]
) -> None:
    spawner: Any = Both()
    spawner.mem_limit, spawner.extra_host_config, spawner.most = memory, configured, 9
    asyncio.run(spawner.create_object())
    assert spawner.asked == asked
    assert spawner.extra_host_config is configured


def test_the_sites_limits_are_read_at_each_start(file: Path) -> None:
    spawner: Any = Both()
    assert (spawner.mem_limit, spawner.cpu_limit) == ("1024M", 1.5)
    file.write_text(json.dumps({**SITE, "memory_mb": 2048, "processes": 99}))
    asyncio.run(spawner.run_pre_spawn_hook())
    assert spawner.mem_limit == "2048M"
    spawner.mem_limit = 2**31  # as traitlets reads it
    asyncio.run(spawner.create_object())
    assert spawner.asked["pids_limit"] == 99


def test_what_the_operator_configured_stays_and_a_hook_has_the_last_word(file: Path) -> None:
    spawner: Any = Both({"Spawner": {"mem_limit": "768M"}})
    spawner.mem_limit = "768M"  # as traitlets reads it
    asyncio.run(spawner.run_pre_spawn_hook())
    assert (spawner.mem_limit, spawner.cpu_limit) == ("768M", 1.5)
    other: Any = Both()
    other.user.name = "eve"
    asyncio.run(other.run_pre_spawn_hook())
    assert other.mem_limit == "4G"


@pytest.mark.parametrize("text", ["{", "[]", '{"cpus": 1}'])
def test_a_file_that_cannot_be_read_changes_nothing_and_is_named(
    file: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    spawner: Any = Both()
    file.write_text(text)
    asyncio.run(spawner.run_pre_spawn_hook())
    assert spawner.mem_limit == "1024M" and spawner.site == SITE
    assert str(file) in caplog.text


def test_the_candidate_is_for_the_test_user_alone(file: Path) -> None:
    for name, options, image in (
        (TRIES, {"candidate": True}, "class:candidate"),
        (TRIES, {}, "class"),
        ("ada", {"candidate": True}, "class"),
    ):
        spawner: Any = Both()
        spawner.user.name, spawner.user_options = name, options
        assert asyncio.run(spawner.start()) == image


@pytest.mark.parametrize(
    ("name", "options", "node"),
    [
        (TRIES, {"candidate": True, "node": "n1"}, "manager"), (TRIES, {"node": "n1"}, "n1"), (TRIES, {}, ""),
        ("ada", {"candidate": True, "node": "n1"}, ""),
    ],
)  # fmt: skip
def test_nobody_but_who_tries_says_where_a_server_starts(
    file: Path, name: str, options: dict[str, Any], node: str
) -> None:
    spawner: Any = Both()
    spawner.user.name, spawner.user_options = name, options
    assert spawner.only_node == node


COURSES = {
    **SITE, "idle_minutes": 60,
    "course_settings": [
        {"course": "BIO", "user_memory_mb": 2048, "idle_minutes": 0},
        {"course": "ML", "user_memory_mb": 512, "user_cpus": 4, "gpus": 2, "image_name": "class-ml"},
    ],
}  # fmt: skip
ML = servers.server_name("ML", "c2")


def in_courses(name: str) -> Any:
    """Ada's spawner of this name, who is in BIO and ML."""

    class Named(Both):
        pass

    Named.name = name
    groups = [
        SimpleNamespace(name=f"course-{course}", properties={"label": label, "folder": label})
        for course, label in (("c1", "BIO"), ("c2", "ML"))
    ]
    spawner: Any = Named()
    spawner.user.groups = groups
    asyncio.run(spawner.run_pre_spawn_hook())
    return spawner


def test_each_of_a_persons_servers_gets_what_its_courses_say(file: Path) -> None:
    file.write_text(json.dumps(COURSES))
    own, course = in_courses(""), in_courses(ML)
    assert (own.mem_limit, own.cpu_limit, own.image) == ("2048M", 1.5, "class")
    assert (course.mem_limit, course.cpu_limit, course.image) == ("512M", 4, "class-ml")
    for each in (own, course):
        each.mem_limit = 2**30  # as traitlets reads it
        asyncio.run(each.create_object())
    assert "device_requests" not in own.asked and own.user_options == {"hubrun_idle_minutes": 0}
    assert course.asked["device_requests"] == [{"Count": 2, "Capabilities": [["gpu"]]}]
    assert course.user_options == {"hubrun_idle_minutes": 60}
    assert "JUPYTER_RUNTIME_DIR" in course.get_env() and "JUPYTER_RUNTIME_DIR" not in own.get_env()


def test_the_server_of_a_course_that_one_is_not_in_does_not_start(file: Path) -> None:
    file.write_text(json.dumps(COURSES))
    with pytest.raises(NotStarted) as refused:
        in_courses(servers.server_name("Chem", "c3"))
    assert refused.value.status_code == 403
    # Named servers of the operator's own are theirs to allow.
    assert in_courses("mine").mem_limit == "2048M"


def test_nobody_says_themselves_for_how_long_their_server_may_be_idle(file: Path) -> None:
    spawner: Any = Both()
    spawner.user_options = {"hubrun_idle_minutes": 0, "other": 1}
    asyncio.run(spawner.run_pre_spawn_hook())
    assert spawner.user_options == {"other": 1}


@pytest.mark.parametrize(("old", "new"), [(ML, "mine"), ("", "mine"), ("mine", ML)])
def test_servers_of_courses_keep_their_names(file: Path, old: str, new: str) -> None:
    spawner: Any = Both()
    with pytest.raises(NotStarted):
        asyncio.run(spawner.rename(old, new))


@pytest.mark.parametrize(
    ("minutes", "of_site", "idle", "stops"),
    [(None, 3600, 59, False), (None, 3600, 60, True), (None, 0, 9999, False), (0, 3600, 9999, False), (10, 3600, 10, True), (90, 3600, 89, False)],
    ids=["not yet", "as the site says", "never on this site", "never in this course", "sooner", "later"],
)  # fmt: skip
def test_a_server_is_stopped_after_the_time_of_its_courses(
    minutes: int | None, of_site: int, idle: int, stops: bool
) -> None:
    options = {} if minutes is None else {culler.IDLE_MINUTES: minutes}
    server = {"name": "", "user_options": options}
    assert culler.is_idle(inactive=timedelta(minutes=idle), inactive_limit=of_site, server=server) is stops


def test_the_sites_environment_gives_way_to_the_spawners(file: Path) -> None:
    assert Both().get_env() == {"http_proxy": "http://p:3128", "LANG": "C"}
