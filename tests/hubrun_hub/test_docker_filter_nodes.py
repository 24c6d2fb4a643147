"""The service between the hub and Docker, for the Dockers of nodes: which one it asks, and what differs there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_docker_filter import BODY, HOST, NUMBER, SITE, TEST_VOLUME, Docker, asked, request

from hubrun_hub import student_volume
from hubrun_hub.docker_filter import serve
from hubrun_hub.docker_filter.homes import on_node
from hubrun_hub.homes.places import Homes, driver_options
from hubrun_hub.nodes import nodes_file
from hubrun_hub.starting.spawner import passing

CREATE = "/v1.41/containers/create?name=jupyter-ada"
LIST = (
    "/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0&filters=%7B%22label%22%3A+%5B%22hubrun.student%22%5D%7D"
)
VOLUME = student_volume.volume("ada")


def test_on_a_node_everything_is_mounted_and_nothing_is_made_that_is_not_there() -> None:
    host = {"Binds": [*HOST["Binds"], "/srv/homes/snapshots/ada:/home/jovyan/snapshots:ro", "shared:/shared:rw"]}
    on_node(host, "ada", "/srv/homes")
    home, *folders = host["Mounts"]
    options = {"type": "none", "o": "bind", "device": "/srv/homes/people/ada"}
    assert home == {
        "Type": "volume", "Target": "/home/jovyan", "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}},
    }, "without a name: nothing of it stays on the node"  # fmt: skip
    assert {each["Type"] for each in folders} == {"bind"}, "one of Binds would make an empty folder"
    assert [(each["Source"], each["Target"], each["ReadOnly"]) for each in folders] == [
        ("/srv/nbgrader/bio/outbound", "/srv/nbgrader/exchange/bio/outbound", True),
        ("/srv/nbgrader/bio/inbound/ada", "/srv/nbgrader/exchange/bio/inbound", False),
        ("/srv/nbgrader/bio/feedback/ada", "/srv/nbgrader/exchange/bio/feedback", True),
        ("/srv/homes/snapshots/ada", "/home/jovyan/snapshots", True),
    ]
    assert host["Binds"] == ["shared:/shared:rw"]


class Manager(Docker):
    """The manager's Docker; volume: what it says of ada's, None for none yet."""

    volume: dict[str, str] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        body = json.loads(await reader.readexactly(length) or "null")
        self.asked.append((head.splitlines()[0].removesuffix(" HTTP/1.0"), body))
        if head.startswith("POST /v1.41/volumes/create"):
            self.volume = body["DriverOpts"]
        status = 404 if self.volume is None else 200
        writer.write(f"HTTP/1.0 {status} x\r\n\r\n{json.dumps({'Options': self.volume})}".encode())
        await writer.drain()
        writer.close()


class Site:
    """A filter before two Dockers, the manager's and that of node-1, and a disk of homes that is played."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.manager, self.node = folder, Manager(), Docker()
        (folder / "courses").mkdir(mode=0o700)
        (folder / "links" / "node-1").mkdir(parents=True)
        self.settings = replace(SITE, courses=str(folder / "courses"), homes=str(folder / "homes"))
        self.homes: list[list[str]] = []
        self.state = "there"

    async def disk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.homes.append(json.loads(line))
            writer.write(f"{self.state}\n".encode())
            await writer.drain()

    def body(self, **host: Any) -> dict[str, Any]:
        binds = [bind.replace("/srv/nbgrader/bio", f"{self.folder}/courses/bio") for bind in HOST["Binds"]]
        return asked(**{"Binds": binds, **host})


Ask = Callable[..., Awaitable[tuple[int, str]]]


@asynccontextmanager
async def running(site: Site, monkeypatch: pytest.MonkeyPatch, node: bool = True) -> AsyncIterator[Ask]:
    monkeypatch.setattr(nodes_file, "FILTER_SOCKETS", site.folder / "filter")
    (site.folder / "filter").mkdir()
    paths = {"manager": str(site.folder / "filter.sock"), "node-1": str(nodes_file.filter_socket("node-1"))}
    dockers = [await asyncio.start_unix_server(site.manager.serve, str(site.folder / "docker.sock"))]
    if node:
        dockers.append(await asyncio.start_unix_server(site.node.serve, str(site.folder / "links/node-1/docker.sock")))
    dockers.append(await asyncio.start_unix_server(site.disk, str(site.folder / "homes.sock")))
    service = serve.Filter(
        str(site.folder / "docker.sock"), lambda: site.settings, str(site.folder / "homes.sock"), links=site.folder / "links"
    )  # fmt: skip
    servers = [
        await asyncio.start_unix_server(service.connected, path, limit=serve._HEAD_BYTES) for path in paths.values()
    ]

    async def ask(where: str, *what: Any) -> tuple[int, str]:
        reader, writer = await asyncio.open_unix_connection(paths[where])
        writer.write(request(*what))
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    yield ask
    for each in (*servers, *dockers):
        each.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_socket_says_whose_docker_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            assert (await ask("node-1", "GET", "/v1.41/containers/jupyter-ada/json"))[0] == 200
            assert (await ask("node-1", "POST", f"/v1.41/containers/{NUMBER}/stop"))[0] == 200
            assert site.manager.asked == [] and len(site.node.asked) == 3
            await ask("manager", "GET", "/version")
            assert [line for line, _ in site.manager.asked] == ["GET /version"] and len(site.node.asked) == 3

    asyncio.run(go())


def test_a_container_on_a_node_has_its_home_and_its_courses_made_on_the_manager(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            assert (await ask("node-1", "POST", CREATE, site.body()))[0] == 200

    asyncio.run(go())
    wanted = driver_options(Homes(Path(site.settings.homes)).person("ada"))
    assert [line for line, _ in site.manager.asked] == [f"GET /v1.41/volumes/{VOLUME}", "POST /v1.41/volumes/create"]
    assert site.manager.volume == wanted and site.homes[0] == ["open", "ada"]
    assert (site.folder / "courses/bio/inbound/ada").is_dir()
    [(line, body)] = site.node.asked
    assert line == f"POST {CREATE}" and body["Labels"] == {"hubrun.student": "ada"}
    mounts = body["HostConfig"]["Mounts"]
    assert [each["Target"] for each in mounts] == [bind.split(":")[1] for bind in HOST["Binds"]]
    assert mounts[0]["VolumeOptions"]["DriverConfig"]["Options"]["device"] == f"{site.settings.homes}/people/ada"
    assert body["HostConfig"]["Binds"] == [] and body["HostConfig"]["CapDrop"] == ["ALL"]


def test_whose_files_are_not_on_the_disk_yet_works_on_the_manager(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.manager.volume, site.state = {}, "none"

    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            status, text = await ask("node-1", "POST", CREATE, site.body())
            assert status == 409 and serve.MANAGER_ALONE in text
            assert site.node.asked == [], "an empty home there would hide the files"

    asyncio.run(go())


def test_what_the_manager_refuses_is_refused_on_a_node_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            for body in (site.body(Privileged=True), site.body(Binds=["/:/mnt:rw"]), {**BODY, "Image": "alpine"}):
                assert (await ask("node-1", "POST", CREATE, body))[0] == 403
            assert (await ask("node-1", "DELETE", f"/v1.41/volumes/{TEST_VOLUME}"))[0] == 403
            assert (await ask("node-1", "POST", "/v1.41/networks/create", {}))[0] == 403
            assert (await ask("node-1", "DELETE", "/v1.41/containers/db?force=True"))[0] == 403
            site.settings = replace(site.settings, homes="")
            status, text = await ask("node-1", "POST", CREATE, site.body())
            assert status == 403 and "homes on a disk of their own" in text
        assert not any(line.startswith(("POST", "DELETE")) for line, _ in site.node.asked)

    asyncio.run(go())


def test_an_exams_server_runs_on_the_manager_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    exam = {"from": "2026-12-01T09:00:00+01:00", "until": "2026-12-01T11:00:00+01:00"}
    site.settings = replace(site.settings, course_settings=({"course": "BIO", "exam": exam},))
    (key,) = site.settings.exams()

    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            status, text = await ask("node-1", "POST", CREATE, {**site.body(), "Labels": {"hubrun.exam": key}})
            assert status == 409 and serve.MANAGER_ALONE in text and site.node.asked == []

    asyncio.run(go())


def test_the_students_containers_of_a_node_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            assert (await ask("node-1", "GET", LIST))[0] == 200
        assert [line for line, _ in site.node.asked] == [
            "GET /v1.41/containers/json?all=1&filters=%7B%22label%22%3A+%5B%22hubrun.student%22%5D%7D"
        ]

    asyncio.run(go())


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_node_that_is_away_is_said_to_be_and_the_spawner_knows_that_it_may_pass(
    site: Site, monkeypatch: pytest.MonkeyPatch, hangs_up: bool
) -> None:
    """Either nobody listens, or ssh does and its other end takes nothing."""

    async def end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    monkeypatch.setattr(site.node, "serve", end)

    async def go() -> None:
        async with running(site, monkeypatch, node=hangs_up) as ask:
            for what in (("GET", "/version"), ("GET", LIST), ("POST", CREATE, site.body())):
                status, text = await ask("node-1", *what)
                assert status == 503 and "node node-1 is away" in text
                page = passing(RuntimeError(text))
                assert page and "node-1" not in page
            assert (await ask("manager", "GET", "/version"))[0] != 503

    asyncio.run(go())


def _played(body: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(OSError):
            writer.write(b"HTTP/1.0 200 x\r\n\r\n" + body)
            await writer.drain()
        writer.close()

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        b"no JSON", b"[" * 200_000, b"[1]", b'{"Name": ["x"], "Id": "1"}',
        json.dumps({"Id": 5, "Name": "/jupyter-a", "HostConfig": {"NetworkMode": "jupyterhub"}, "Config": {"Labels": {}}}).encode(),
    ],
)  # fmt: skip
def test_what_a_node_says_that_makes_no_sense_is_an_error_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(site.node, "serve", _played(answer))

    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            status, text = await ask("node-1", "POST", f"/v1.41/containers/{NUMBER}/start")
            assert status in (403, 502) and "Docker's answer is not understood" in text

    asyncio.run(go())


def test_a_node_that_says_very_much_takes_no_memory_of_the_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.node, "serve", _played(b"x" * 2**20))
    monkeypatch.setattr(site.manager, "serve", _played(b"x" * 2**20))

    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            for what in (("GET", "/version"), ("GET", f"/v1.41/containers/{NUMBER}/json")):
                assert await ask("node-1", *what) == (502, '{"message": "Docker\'s answer is too long"}')
            # A thousand servers' list is longer.
            assert (await ask("node-1", "GET", LIST))[0] == 200
            assert (await ask("manager", "GET", "/version"))[0] == 200

    asyncio.run(go())


def test_a_missing_network_of_a_node_is_said_with_what_to_do(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_network(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen = {"Id": NUMBER, "Name": "/jupyter-ada", "HostConfig": {"NetworkMode": "jupyterhub"}}
        seen["Config"] = {"Labels": {"hubrun.student": "ada"}}
        status, said = (200, seen) if head.startswith("GET") else (404, {"message": "network jupyterhub not found"})
        writer.write(f"HTTP/1.0 {status} x\r\n\r\n{json.dumps(said)}".encode())
        await writer.drain()
        writer.close()

    monkeypatch.setattr(site.node, "serve", no_network)

    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            status, text = await ask("node-1", "POST", f"/v1.41/containers/{NUMBER}/start")
            assert status == 404 and "on node node-1: run 04, which makes it there" in text
            assert "network" in passing(RuntimeError(text))

    asyncio.run(go())


def test_one_node_that_hangs_holds_up_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_CONNECTIONS", 3)
    site.node.pause.clear()

    async def go() -> None:
        async with running(site, monkeypatch) as ask:
            waiting = [asyncio.ensure_future(ask("node-1", "GET", "/version")) for _ in range(3)]
            await asyncio.sleep(0.2)
            assert (await ask("node-1", "GET", "/version"))[0] == 503
            assert "too many requests" not in (await ask("manager", "GET", "/version"))[1]
            site.node.pause.set()
            assert {status for status, _ in await asyncio.gather(*waiting)} == {200}

    asyncio.run(go())
