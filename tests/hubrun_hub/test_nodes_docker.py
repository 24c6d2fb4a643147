"""What root's programs ask Docker for is asked of nodes, too. docker(1) is played: one for each engine, by DOCKER_HOST."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hubrun.resources.idle_servers import IdleServers, running
from hubrun_hub.autograding import container
from hubrun_hub.docker_command import docker, engines
from hubrun_hub.exams import servers
from hubrun_hub.failed import Failed
from hubrun_hub.joining.homes import stop_servers
from hubrun_hub.nodes import drained, links, nodes_file
from hubrun_hub.programs import node as program
from hubrun_hub.programs import running_servers, try_start
from hubrun_hub.removing import look
from hubrun_hub.watching import seen
from hubrun_hub.watching.judge import judge

DOCKER = """#!/bin/sh
engine=$(basename "$(dirname "${{DOCKER_HOST:-/manager/docker.sock}}")")
echo "$engine $*" >> {folder}/asked
[ -e {folder}/$engine.away ] && {{ echo "Cannot connect to the Docker daemon" >&2; exit 1; }}
for words in "$1 $2" "$1"; do
    [ -e "{folder}/$engine/$words" ] && {{ cat "{folder}/$engine/$words"; exit 0; }}
done
exit 0
"""
NODES = [
    {"name": name, "number": number, "host": name, "ssh_port": 22, "address": f"172.28.0.{number + 1}", "subnet": "127.0.0.0/8", "gateway": "", "gpus": 0}
    for number, name in enumerate(("a", "b"), 1)
]  # fmt: skip


class Engines:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def says(self, node: str, words: str, text: object) -> None:
        """What its Docker answers to a command that begins so."""
        file = self.folder / node / words
        file.parent.mkdir(exist_ok=True)
        file.write_text(text if isinstance(text, str) else json.dumps(text))

    def away(self, node: str) -> None:
        (self.folder / f"{node}.away").touch()

    @property
    def asked(self) -> list[str]:
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    program_file = tmp_path / "bin" / "docker"
    program_file.parent.mkdir()
    program_file.write_text(DOCKER.format(folder=tmp_path))
    program_file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program_file.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    (tmp_path / "nodes.json").write_text(json.dumps({"manager": {"address": "172.28.0.1", "gpus": 0}, "nodes": NODES}))
    for function, place in (
        (nodes_file.read, "nodes.json"), (nodes_file.docker_socket, "links"), (links.read, "links"),
        (drained.read, "drained.json"), (drained.write, "drained.json"),
    ):  # fmt: skip
        monkeypatch.setattr(function, "__defaults__", (tmp_path / place,))
    return Engines(tmp_path)


def say(played: Engines, name: str, **changes: Any) -> None:
    (played.folder / "links" / name).mkdir(parents=True, exist_ok=True)
    says = {"memory_mb": 3000, "total_mb": 8000, "load": 0.5, "cpus": 4, "disk_free_mb": 20000, "homes": True}
    links.write(name, links.parsed(json.dumps(says | changes), time.time()), played.folder / "links")


def test_each_engine_is_asked_by_its_own_socket(played: Engines) -> None:
    assert engines() == ["manager", "a", "b"]
    played.says("a", "ps -q", "1234\n")
    assert [docker("ps", "-q", node=node) for node in engines()] == ["", "1234\n", ""]
    assert played.asked == ["manager ps -q", "a ps -q", "b ps -q"]
    played.away("b")
    with pytest.raises(Failed, match="docker on node b ps -q: Cannot connect"):
        docker("ps", "-q", node="b")
    (played.folder / "nodes.json").unlink()
    assert engines() == ["manager"], "a site without nodes"
    (played.folder / "nodes.json").write_text("{")
    with pytest.raises(Failed, match="run 04 again"):
        engines()


def test_the_servers_of_people_who_go_are_counted_and_stopped_on_nodes(
    played: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "end", lambda: None)
    played.says("manager", "ps -q", "m1 ada\n")
    played.says("b", "ps -q", "b1 ada\nb2 eve\n")
    assert look.running(["ada"]) == ["m1", "b1"]
    played.says("b", "ps -aq", "b1\n")
    stop_servers(["ada"])
    assert "b ps -aq --filter label=hubrun.student=ada" in played.asked
    assert played.asked[-2:] == ["b stop b1", "b rm -f -v b1"] or played.asked[-3:-1] == ["b stop b1", "b rm -f -v b1"]
    played.away("a")
    with pytest.raises(Failed, match="docker on node a"):
        stop_servers(["ada"])


def test_an_exam_ends_servers_on_nodes_where_they_run(played: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    played.says("manager", "ps -q", "m1\n")
    played.says("manager", "inspect -f", "m1 key|172.29.0.2|ada\n")
    played.says("a", "ps -q", "a1\n")
    played.says("a", "inspect -f", "a1 <no value>|172.28.4.2|eve\n")
    played.away("b")
    found = servers.running()
    assert {(each.user, each.node, each.exam) for each in found} == {("ada", "manager", "key"), ("eve", "a", "")}
    assert "node b is away" in capsys.readouterr().err, "the exam of everybody else begins"
    servers.stop(found)
    assert sorted(played.asked[-2:]) == ["a stop -t 5 a1", "manager stop -t 5 m1"]
    played.away("manager")
    with pytest.raises(subprocess.SubprocessError):
        servers.running()


def test_idle_servers_on_an_older_image_are_stopped_where_they_run(
    played: Engines, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("manager", "a"):
        played.says(name, "ps -q", "x\n")
        played.says(name, "inspect -f", f"sha256:old {name[0]}1 class ada\n")
    played.away("b")
    running_servers.main()
    said = capsys.readouterr()
    assert said.out == "server sha256:old m1 -1 class ada\nserver sha256:old a/a1 -1 class ada\n"
    assert "docker on node b" in said.err
    assert [each.container for each in running(said.out)] == ["m1", "a/a1"]
    (action,) = IdleServers("class", -1).plan(f"current=sha256:new\n{said.out}")
    assert action.script.splitlines() == [
        "docker stop -t 10 m1 > /dev/null",
        f"env DOCKER_HOST=unix://{nodes_file.docker_socket('a')} docker stop -t 10 a1 > /dev/null",
    ]


def test_the_server_that_tries_an_image_is_found_wherever_it_is(played: Engines) -> None:
    with pytest.raises(Failed, match="no Docker knows it"):
        try_start._container()
    played.says("b", "ps -q", "b1\n")
    played.says("b", "inspect b1", [{"Id": "b1"}])
    assert try_start._container() == {"Id": "b1"}


# -- how nodes are


def inspected(user: str) -> dict[str, Any]:
    return {
        "Id": "c" * 64, "Mounts": [{"Name": "f" * 64}], "Config": {"Labels": {"hubrun.student": user}, "Image": "class"}, "Image": "sha256:1",
        "State": {"Pid": 1, "StartedAt": "2026-11-26T08:00:00Z"}, "HostConfig": {"Memory": 1 << 30},
    }  # fmt: skip


def test_how_each_node_is(played: Engines) -> None:
    say(played, "a")
    played.says("a", "ps -q", "a1\n")
    played.says("a", "inspect a1", [inspected("ada")])
    drained.write(["b", "gone"])
    a, b = seen.nodes()
    assert (a["name"], a["alive"], a["drained"], a["said"]["memory_mb"]) == ("a", True, False, 3000)
    assert [(each["user"], each["memory_mb"], each["limit_mb"]) for each in a["servers"]] == [("ada", None, 1024)]
    assert b == {"name": "b", "alive": False, "drained": True, "docker": "", "servers": [], "said": None}
    assert not any(line.startswith("b ") for line in played.asked), "one that is away is not asked"
    played.away("a")
    (a, _) = seen.nodes()
    assert "Cannot connect" in a["docker"] and a["servers"] == []


@pytest.mark.parametrize("answer", [[{}], ["x"], [None], [{"Mounts": 1}], "no JSON", {"a": 1}])
def test_a_node_whose_docker_makes_no_sense_hides_no_other(played: Engines, answer: object) -> None:
    for name in ("a", "b"):
        say(played, name)
        played.says(name, "ps -q", f"{name}1\n")
        played.says(name, f"inspect {name}1", answer if name == "a" else [inspected("ada")])
    a, b = seen.nodes()
    assert a["docker"] and a["servers"] == []
    assert [each["user"] for each in b["servers"]] == ["ada"] and b["docker"] == ""


def test_draining_is_kept_and_ends_nothing_by_itself(played: Engines) -> None:
    say(played, "a")
    assert [node["drained"] for node in program.main("list")] == [False, False]
    assert [node["drained"] for node in program.main("drain", "a")] == [True, False]
    assert [node["drained"] for node in program.main("drain", "b")] == [True, True]
    assert [node["drained"] for node in program.main("undrain", "a")] == [False, True]
    assert not any(" stop " in line for line in played.asked)
    drained.write(["b", "gone"])
    program.main("drain", "a")
    assert drained.read() == {"a", "b"}, "what is not a node any more goes"


def test_stopping_needs_a_drained_node(played: Engines) -> None:
    say(played, "a")
    played.says("a", "ps -q", "a1\na2\n")
    with pytest.raises(Failed, match="a is not drained"):
        program.main("stop", "a")
    assert played.asked == []
    program.main("drain", "a")
    program.main("stop", "a")
    assert "a stop -t 10 a1 a2" in played.asked
    with pytest.raises(Failed, match=r"there is no node x. There are: a, b"):
        program.main("drain", "x")
    with pytest.raises(Failed, match="is none of list"):
        program.main("remove", "a")


SAID = {"memory_mb": 3000, "total_mb": 8000, "load": 0.5, "cpus": 4, "disk_free_mb": 20000, "homes": True}
NODE = {"name": "a", "alive": True, "drained": False, "docker": "", "servers": [], "said": SAID}
FULL = {"total_mb": 8000, "available_mb": 100, "swap_mb": 0, "swap_left_mb": 0}
JUDGED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "well": ({"nodes": [NODE]}, []),
    "away": ({"nodes": [NODE | {"alive": False}]}, [("node a", "broken")]),
    "it never said anything": ({"nodes": [NODE | {"alive": False, "said": None}]}, [("node a", "broken")]),
    "away, and drained": ({"nodes": [NODE | {"alive": False, "drained": True}]}, [("node a", "warning")]),
    "without homes": ({"nodes": [NODE | {"said": SAID | {"homes": False}}]}, [("node a", "broken")]),
    "its Docker is away": ({"nodes": [NODE | {"docker": "Cannot connect"}]}, [("node a", "broken")]),
    "its disk is full": ({"nodes": [NODE | {"said": SAID | {"disk_free_mb": 500}}]}, [("node disk a", "broken")]),
    "the manager's memory is used, and a node's is not": ({"nodes": [NODE], "memory": FULL}, []),
    "the memory of all is used": ({"nodes": [NODE | {"said": SAID | {"memory_mb": 100}}], "memory": FULL}, [("memory", "warning")]),
    "the others are drained": ({"nodes": [NODE | {"drained": True}], "memory": FULL}, [("memory", "warning")]),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGED.values(), ids=JUDGED.keys())
def test_what_of_a_node_is_trouble(case: tuple[dict[str, Any], list[tuple[str, str]]]) -> None:
    looked, expected = case
    assert [(each.key, each.level) for each in judge({"at": 0.0} | looked)] == expected
