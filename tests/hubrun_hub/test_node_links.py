"""What the manager knows of its nodes: the list, their connections, and which get no new servers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hubrun.environment import PROJECT
from hubrun_hub.nodes import drained, links
from hubrun_hub.nodes.links import Link, Links
from hubrun_hub.nodes.nodes_file import MANAGER, BadNodes, Node, Nodes, filter_socket, of_filter_socket, read
from hubrun_hub.programs import node_link

NODE = {
    "name": "node-1", "number": 1, "host": "n1.example.edu", "ssh_port": 22, "address": "172.28.0.2",
    "subnet": "172.28.4.0/22", "gateway": "172.28.4.1", "gpus": 2,
}  # fmt: skip
LIST: dict[str, Any] = {"manager": {"address": "172.28.0.1", "gpus": 0}, "nodes": [NODE]}
SAID = '{"memory_mb": 3000, "total_mb": 8000, "load": 0.5, "cpus": 4, "disk_free_mb": 20000, "homes": true}'


def listed(folder: Path, found: object) -> Path:
    file = folder / "nodes.json"
    file.write_text(found if isinstance(found, str) else json.dumps(found))
    return file


def test_the_list_of_nodes(tmp_path: Path) -> None:
    found = read(listed(tmp_path, LIST))
    assert (found.address, found.gpus) == ("172.28.0.1", 0)
    node = found.named("node-1")
    assert node == Node("node-1", 1, "n1.example.edu", 22, "172.28.0.2", "172.28.4.0/22", "172.28.4.1", 2)
    assert found.named("node-2") is None
    assert read(tmp_path / "none.json") == Nodes("", None, ()), "a site without nodes"


@pytest.mark.parametrize(
    "found",
    [
        "{", "[]", {}, {"manager": {}, "nodes": []}, LIST | {"nodes": [NODE, NODE]}, LIST | {"nodes": [NODE | {"name": "manager"}]},
        LIST | {"nodes": [NODE | {"name": "../etc"}]}, LIST | {"nodes": [NODE | {"name": ""}]}, LIST | {"nodes": [NODE | {"gpus": "many"}]},
        LIST | {"nodes": [{"name": "node-1"}]},
    ],
)  # fmt: skip
def test_a_list_that_is_none_is_one_clear_error(tmp_path: Path, found: object) -> None:
    with pytest.raises(BadNodes, match="run 04 again, it writes it"):
        read(listed(tmp_path, found))


def test_a_socket_says_whose_docker_is_asked() -> None:
    assert of_filter_socket(str(filter_socket("node-1"))) == "node-1"
    assert of_filter_socket("/run/hubrun-docker-filter.sock") == MANAGER


def say(folder: Path, name: str, at: float | None = None, **changes: Any) -> None:
    (folder / name).mkdir(exist_ok=True)
    link = links.parsed(json.dumps(json.loads(SAID) | changes), time.time() if at is None else at)
    links.write(name, link, folder)


@pytest.mark.parametrize(
    "line",
    [
        "", "x", "[]", "null", "{}", SAID.replace("3000", '"much"'), "[" * 100_000, SAID.replace("3000", "Infinity"),
        SAID.replace("3000", "NaN"), SAID.replace("0.5", "NaN"), SAID.replace("0.5", '"nan"'), SAID.replace("0.5", "1e999"),
    ],
)  # fmt: skip
def test_a_line_that_says_nothing_of_a_node_is_none(line: str) -> None:
    with pytest.raises(ValueError):
        links.parsed(line, 1.0)


def test_what_a_node_said_is_for_everybody_to_read(tmp_path: Path) -> None:
    say(tmp_path, "node-1", 100.0)
    link = links.read("node-1", tmp_path)
    assert link == Link(100.0, 3000, 8000, 0.5, 4, 20000, True)
    assert stat.S_IMODE((tmp_path / "node-1" / "state.json").stat().st_mode) == 0o644
    assert [links.is_alive(link, now) for now in (80.0, 95.0, 110.0, 110.1)] == [False, True, True, False]
    assert links.read("node-2", tmp_path) is None and not links.is_alive(None, 1.0)


def test_a_node_is_silent_after_ten_seconds_and_lost_after_thirty(tmp_path: Path) -> None:
    now = 0.0
    known = Links(tmp_path, lambda: now)
    say(tmp_path, "node-1", time.time())
    known.look(["node-1"])
    assert known.state("node-1") == "alive" and known.state("node-2") == "lost"
    for at, state in ((10.0, "alive"), (10.5, "silent"), (30.0, "silent"), (30.5, "lost")):
        now = at
        known.look(["node-1"])
        assert known.state("node-1") == state
    say(tmp_path, "node-1", time.time() + 31)
    known.look(["node-1"])
    assert known.state("node-1") == "alive", "it is back"
    known.look([])
    assert known.state("node-1") == "lost", "it is not a node any more"


def test_a_hub_that_starts_gives_a_silent_node_its_time(tmp_path: Path) -> None:
    now = 1000.0
    known = Links(tmp_path, lambda: now)
    say(tmp_path, "node-1", time.time() - 3600)
    known.look(["node-1", "node-2"])
    assert [known.state(name) for name in ("node-1", "node-2")] == ["silent", "silent"]
    now = 1029.0
    known.look(["node-1", "node-2"])
    assert [known.state(name) for name in ("node-1", "node-2")] == ["silent", "silent"]
    say(tmp_path, "node-1")
    now = 1031.0
    known.look(["node-1", "node-2"])
    assert [known.state(name) for name in ("node-1", "node-2")] == ["alive", "lost"]


def test_a_clock_that_is_put_forward_ends_nobodys_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, known = 0.0, Links(tmp_path, lambda: now)
    say(tmp_path, "node-1")
    known.look(["node-1"])
    monkeypatch.setattr(time, "time", lambda: 4e9)
    now = 1.0
    known.look(["node-1"])
    assert known.state("node-1") == "alive"


# -- drained


def test_drained_nodes_are_kept_and_a_link_in_the_hubs_folder_leads_nowhere(tmp_path: Path) -> None:
    file, other = tmp_path / "drained.json", tmp_path / "other"
    assert drained.read(file) == frozenset()
    drained.write({"node-2", "node-1"}, file)
    assert drained.read(file) == {"node-1", "node-2"} and stat.S_IMODE(file.stat().st_mode) == 0o644
    other.write_text('["node-9"]')
    file.unlink()
    file.symlink_to(other)
    assert drained.read(file) == frozenset()
    drained.write(["node-1"], file)
    assert drained.read(file) == {"node-1"} and other.read_text() == '["node-9"]'
    for text in ("{", "{}", "[[]]", "[" * 100_000):
        file.write_text(text)
        assert drained.read(file) == frozenset()


# -- the connection, with an ssh that is played


SSH = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/asked
{does}
"""


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(does: str) -> list[str]:
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(SSH.format(folder=tmp_path, does=does))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        code = node_link.keep(read(listed(tmp_path, LIST)).named("node-1") or pytest.fail(), tmp_path / "links")
        return [str(code), *(tmp_path / "asked").read_text().splitlines()]

    return make


def test_each_line_of_a_node_is_noted_and_the_end_of_the_connection_ends_it(ssh: Any, tmp_path: Path) -> None:
    began = time.time()
    code, *words = ssh(f"echo '{SAID}'; echo '{SAID.replace('3000', '2500')}'; exit 255")
    assert code == "255"
    link = links.read("node-1", tmp_path / "links")
    assert link and link.memory_mb == 2500 and link.at >= began
    assert words[-1] == "172.28.0.2" and words[words.index("-p") + 1] == "22"
    assert f"{tmp_path}/links/node-1/docker.sock:/run/docker.sock" in words
    for needed in (
        "StrictHostKeyChecking=yes",
        "HostKeyAlias=node-1",
        "StreamLocalBindMask=0177",
        "ServerAliveInterval=3",
    ):
        assert needed in words


def test_what_is_no_line_of_a_node_ends_the_connection(
    ssh: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    ssh(f"echo '{SAID}'; echo Welcome; exec sleep 60")
    assert time.monotonic() - began < 30
    assert "node-1: " in capfd.readouterr().err
    assert links.read("node-1", tmp_path / "links") is not None, "what it said before counts until it is too old"


def test_without_such_a_node_the_program_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-B", PROJECT / "lib/hubrun_hub", "node_link", "node-1"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "there is no node node-1\n")


def test_what_runs_on_a_node_says_how_it_is_until_nobody_reads() -> None:
    with subprocess.Popen(
        ["sh", PROJECT / "lib/hubrun_hub/nodes/node-link"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as said:
        assert said.stdout and said.stderr
        found = links.parsed(said.stdout.readline(), 1.0)
        said.stdout.close()
        said.wait(20)
        assert said.stderr.read().count("\n") <= 1, "nothing but that its reader is gone"
    assert 0 < found.memory_mb < found.total_mb and found.cpus > 0
    assert found.homes == os.path.ismount("/srv/jupyterhub/homes")
