"""The spawner in conf.d/40-docker.py: when it says that a student's server is up. The hub's own part runs on a server."""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hubrun import server_paths
from hubrun.params import Site
from hubrun.sections.hub import config
from hubrun_hub import pull_ticket, student_volume
from hubrun_hub.not_started import NotStarted


class NotThere(Exception):
    """As docker.errors.NotFound."""

    status_code = 404


class Container:
    """Stands in for dockerspawner.DockerSpawner, which is on the server alone: a container that was started."""

    port = 0
    ended = False
    _check_pending = False
    _log_name, container_id, mem_limit = "ada", "c" * 64, "1024M"
    log = logging.getLogger("spawner")
    name = ""
    user = SimpleNamespace(name="ada", groups=[], settings={"users": {}})
    user_options: dict[str, Any] = {}
    config: dict[str, Any] = {}

    @classmethod
    def section_names(cls) -> list[str]:
        return []

    async def start(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def poll(self) -> int | None:
        return 1 if self.ended else None

    def get_env(self) -> dict[str, str]:
        return {"SHELL": "/bin/bash"}

    async def docker(self, *call: str, tail: int = 0) -> bytes:
        if call[0] == "logs":
            return b"start.sh: no such file\x1b[2J\n"
        self.asked = [*getattr(self, "asked", []), call]
        if call[1].endswith("a" * 12):
            raise NotThere
        return b""


@pytest.fixture
def spawner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The spawner that the rendered file gives the hub."""
    return rendered(monkeypatch, tmp_path)


def rendered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **changes: Any) -> Any:
    """The same, of a site with other parameters."""
    module = ModuleType("dockerspawner")
    module.DockerSpawner = Container  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dockerspawner", module)
    handlers = ModuleType("jupyterhub.handlers")
    handlers.BaseHandler = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jupyterhub", ModuleType("jupyterhub"))
    monkeypatch.setitem(sys.modules, "jupyterhub.handlers", handlers)
    monkeypatch.delitem(sys.modules, "hubrun_hub.starting.newer_image", raising=False)
    c = SimpleNamespace(JupyterHub=SimpleNamespace(), Spawner=SimpleNamespace(), DockerSpawner=SimpleNamespace())
    links = [{"repo": "https://github.com/school/course.git"}, {"repo": "http://git.example.edu:8080/x"}]
    parameters = {"site": "x", "domain": "hub.example.edu", "nbgrader": False, "git_links": links}
    site = Site(**(parameters | changes))
    (tmp_path / "cookie_secret").write_text("ab" * 32)
    (tmp_path / "docker-filter.json").write_text(config.filter_settings(site))
    text = config.render("40-docker.py", site).replace(server_paths.STATE, str(tmp_path))
    text = text.replace(server_paths.FILTER_SETTINGS, str(tmp_path / "docker-filter.json"))
    exec(text, {"get_config": lambda: c})  # noqa: S102 - our own file
    return c.JupyterHub.spawner_class()


async def listen(spawner: Container, after: float) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    spawner.port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    await asyncio.sleep(after)
    await asyncio.start_server(lambda *_: None, "127.0.0.1", spawner.port)


def test_a_server_is_up_as_soon_as_it_listens(spawner: Any) -> None:
    async def go() -> float:
        listening = asyncio.ensure_future(listen(spawner, 1.0))
        await asyncio.sleep(0.1)  # the port is known
        assert await spawner.start() == ("127.0.0.1", spawner.port)
        assert listening.done()
        return time.monotonic()

    began = time.monotonic()
    assert asyncio.run(go()) - began < 3


def test_a_container_that_has_ended_ends_the_start_and_its_last_words_are_logged(
    spawner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        spawner.port = 1  # nothing listens there
        spawner.ended = True
        await asyncio.wait_for(spawner.start(), 5)

    with pytest.raises(NotStarted) as failed:
        asyncio.run(go())
    assert (
        "ended at once" in failed.value.jupyterhub_message and "Your files are safe" in failed.value.jupyterhub_message
    )
    assert "  ada: start.sh: no such file?[2J" in [record.getMessage() for record in caplog.records]


def test_a_server_hears_of_another_image_only_if_its_next_start_brings_one(spawner: Any) -> None:
    newer_image = importlib.import_module("hubrun_hub.starting.newer_image")

    async def container() -> Any:
        return there

    async def docker(call: str, image: str) -> Any:
        assert (call, image) == ("inspect_image", "class")
        return {"Id": "sha256:3fa94b0c1d2e5f"}

    stand_in = SimpleNamespace(get_object=container, docker=docker, image="class")
    for there, says in (({"Image": "sha256:3fa94b0c1d2e5f"}, ""), ({"Image": "sha256:0"}, "3fa94b0c1d2e"), (None, "")):  # noqa: B007
        assert asyncio.run(newer_image.newer(stand_in)) == says


def test_a_containers_name_is_one_persons_and_says_nobodys(spawner: Any) -> None:
    def called(user: str, server: str = "") -> str:
        spawner.user, spawner.name = SimpleNamespace(name=user), server
        method: Any = type(spawner)._object_name_default
        return str(getattr(method, "func", method)(spawner))

    names = [called("ada"), called("bob"), called("ada", "two")]
    assert len(set(names)) == 3
    assert called("ada") == names[0], "and stays, so that a container is found again"
    for name in names:
        assert re.fullmatch("jupyter-[0-9a-f]{32}", name)


@pytest.mark.parametrize("more", [{}, {"nbgitpuller": False, "git_links": []}])
def test_a_container_has_the_sites_time_zone_unless_the_operators_own_settings_say_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, Any]
) -> None:
    ours = rendered(monkeypatch, tmp_path, timezone="Europe/Zurich", **more)
    ours.user = SimpleNamespace(name="ada", settings={"cookie_secret": b"x" * 32})
    assert ours.get_env()["TZ"] == "Europe/Zurich"
    monkeypatch.setattr(Container, "get_env", lambda self: {"TZ": "UTC"})
    assert ours.get_env()["TZ"] == "UTC"
    monkeypatch.setattr(Container, "get_env", lambda self: {})
    without = rendered(monkeypatch, tmp_path, **more)
    without.user = ours.user
    assert "TZ" not in without.get_env()


def test_a_container_gets_the_key_of_its_person_and_the_places_that_a_launch_may_pull_from(spawner: Any) -> None:
    found = []
    for name in ("ada", "ben"):
        spawner.user = SimpleNamespace(name=name, settings={"cookie_secret": b"s" * 32})
        found.append(spawner.get_env())
    assert found[0] == {
        "SHELL": "/bin/bash",
        "HUBRUN_PULL_KEY": pull_ticket.person_key(b"s" * 32, "ada"),
        "HUBRUN_GIT_HOSTS": "github.com/school http://git.example.edu:8080",
    }
    assert found[0]["HUBRUN_PULL_KEY"] != found[1]["HUBRUN_PULL_KEY"]


def test_the_home_of_a_test_student_goes_with_their_user_and_nobody_elses(spawner: Any) -> None:
    there, gone = "test-student---" + "b" * 12, "bio__test-student---" + "a" * 12
    for name in ("ada", there, "test-student", "test-student--" + "b" * 26, gone):
        spawner.user = SimpleNamespace(name=name)
        asyncio.run(spawner.delete_forever())
    assert spawner.asked == [("remove_volume", student_volume.volume(name)) for name in (there, gone)]
