"""What is done on a site's nodes at once, over real SSH connections: results, checks and errors name the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubrun.desired.checks import Test
from hubrun.desired.nodes import Nodes
from hubrun.desired.resource import Action, Resource
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CheckFailed, CommandFailed, Unreachable
from hubrun.params import Site, build
from hubrun.params.nodes import Node
from hubrun.resources.files import Directory
from hubrun.ssh import session
from sshd import Sshd, serve


@pytest.fixture(scope="module")
def sshds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sshd]]:
    with (
        serve(tmp_path_factory.mktemp("hub")) as hub,
        serve(tmp_path_factory.mktemp("a")) as a,
        serve(tmp_path_factory.mktemp("b")) as b,
    ):
        yield [hub, a, b]


def site(sshds: list[Sshd], **changes: Any) -> Site:
    hub, *others = sshds
    nodes = [
        {
            "host": "127.0.0.1", "name": name, "ssh_port": each.port, "ssh_user": "root", "ssh_key_file": str(each.login),
            "ssh_known_hosts_file": str(each.known_hosts),
        }
        for name, each in zip(("a", "b"), others, strict=True)
    ]  # fmt: skip
    return build(hub.parameters(homes_gb=5, ssh_user="root", nodes=nodes) | changes, "test")


@pytest.fixture
def nodes(sshds: list[Sshd]) -> Iterator[Nodes]:
    with Server.connect(site(sshds)) as server:
        connected = Nodes.connect(server)
        yield connected
        connected.close()


@pytest.mark.parametrize(("which", "other"), [(0, "the site's own server"), (1, "node a")])
def test_one_machine_under_two_names_is_said_before_anything_is_done(
    sshds: list[Sshd], which: int, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, machine = site(sshds), sshds[which]
    twice = {
        "ssh_port": machine.port, "ssh_key_file": str(machine.login), "ssh_known_hosts_file": str(machine.known_hosts),
    }  # fmt: skip
    made = made.model_copy(update={"nodes": [made.nodes[0], made.nodes[1].model_copy(update=twice)]})
    closed: list[str] = []
    monkeypatch.setattr(Nodes, "close", lambda self: closed.extend(self.servers))
    with Server.connect(made) as server, pytest.raises(BadInput, match=f"node b has the SSH host key of {other}"):
        Nodes.connect(server)
    assert closed == ["a", "b"]


class Note(Resource):
    """A file with a text in it."""

    def __init__(self, path: Path, text: str, script: str = "") -> None:
        self.path, self.text, self.script = str(path), text, script

    label_format = "note {path}"

    def probe(self) -> str:
        return f"cat {self.path}"

    def plan(self, found: str) -> list[Action]:
        return [] if found.strip() == self.text else [Action("write", self.script or f"echo {self.text} > {self.path}")]


def statuses(server: Server) -> dict[str, str]:
    return {result.label: result.status for result in server.results}


def test_all_are_brought_to_the_state_and_the_second_time_nothing_is_done(
    nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def own(node: Node) -> list[Resource]:
        return [Note(tmp_path / node.name, node.name)]

    nodes.ensure(own)
    assert {name: (tmp_path / name).read_text() for name in "ab"} == {"a": "a\n", "b": "b\n"}
    assert statuses(nodes.server) == {f"a: note {tmp_path}/a": "changed", f"b: note {tmp_path}/b": "changed"}
    said = capsys.readouterr().out
    assert "2 changed" in said and f"a: note {tmp_path}/a" in said
    nodes.ensure(own, Directory(str(tmp_path), 0o700, f"{tmp_path.owner()}:{tmp_path.group()}"))
    assert "4 ok" in capsys.readouterr().out


def test_they_are_worked_on_at_once(nodes: Nodes, tmp_path: Path) -> None:
    meet = f"touch {tmp_path}/$NAME; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -e {tmp_path}/$OTHER ] && exit 0; sleep 0.5; done; exit 1"

    def own(node: Node) -> list[Resource]:
        other = {"a": "b", "b": "a"}[node.name]
        script = f"NAME={node.name} OTHER={other}\n({meet})\necho done > {tmp_path}/note-{node.name}"
        return [Note(tmp_path / f"note-{node.name}", "done", script)]

    nodes.ensure(own)
    assert set(statuses(nodes.server).values()) == {"changed"}


def test_what_one_fails_at_is_told_with_its_name_and_the_others_work_stays(
    nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def own(node: Node) -> list[Resource]:
        return [Note(tmp_path / node.name, node.name, "echo E: it broke; exit 3" if node.name == "a" else "")]

    with pytest.raises(CommandFailed) as caught:
        nodes.ensure(own)
    assert "a: write: E: it broke" in caught.value.what and "b:" not in caught.value.what and caught.value.shown
    assert (tmp_path / "b").read_text() == "b\n"
    assert sorted(statuses(nodes.server).values()) == ["changed", "failed"]
    said = capsys.readouterr().out
    assert f"failed   a: note {tmp_path}/a" in said and "it broke" in said


def test_both_errors_are_told_together(nodes: Nodes, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        nodes.ensure(lambda node: [Note(tmp_path / "x", "x", f"echo E: no {node.name}; exit 1")])
    assert "a: write: E: no a; b: write: E: no b" in caught.value.what


def test_a_node_that_is_lost_on_the_way_is_told(nodes: Nodes, sshds: list[Sshd], tmp_path: Path) -> None:
    def own(node: Node) -> list[Resource]:
        return [Note(tmp_path / node.name, node.name, "sleep 8" if node.name == "b" else "")]

    threading.Timer(2, sshds[2].drop).start()
    with pytest.raises(CommandFailed) as caught:
        nodes.ensure(own)
    assert "b: the SSH connection was lost" in caught.value.what
    assert (tmp_path / "a").exists()
    assert sorted(statuses(nodes.server).values()) == ["changed", "interrupted"]


def test_in_check_mode_nothing_is_touched_and_what_follows_is_not_judged(
    sshds: list[Sshd], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server.connect(site(sshds), check_mode=True) as server:
        nodes = Nodes.connect(server)
        nodes.ensure(Note(tmp_path / "x", "x"))
        assert not (tmp_path / "x").exists()
        assert server.pending == [f"a: note {tmp_path}/x", f"b: note {tmp_path}/x"]
        server.check(Test("of the server", "false"))
        nodes.check(Test("of the node", "false"))
        nodes.close()
    said = capsys.readouterr().out
    assert "2 would change" in said and "a: of the node" in said and "failed" not in said


def test_checks_name_the_node(nodes: Nodes, capsys: pytest.CaptureFixture[str]) -> None:
    nodes.check(Test("it runs", "echo yes", "^yes$"))
    assert "b: it runs" in capsys.readouterr().out
    with pytest.raises(CheckFailed) as caught:
        nodes.check(lambda node: [Test("it is a", f"test {node.name} = a", remedy="use a")])
    assert "b: it is a" in caught.value.what and "a: it is a" not in caught.value.what


def test_what_is_asked_is_told_by_node(nodes: Nodes) -> None:
    assert {name: out.stdout for name, out in nodes.probe("echo here").items()} == {"a": "here", "b": "here"}


def test_all_that_cannot_be_reached_are_named_before_anything_is_done(sshds: list[Sshd]) -> None:
    made = site(sshds)
    closed = [node.model_copy(update={"ssh_port": 1}) for node in made.nodes]
    with Server.connect(made.model_copy(update={"nodes": closed})) as server, pytest.raises(Unreachable) as caught:
        Nodes.connect(server)
    assert caught.value.exit_code == 2
    assert "a: cannot connect" in caught.value.what and "b: cannot connect" in caught.value.what


def test_without_nodes_nothing_is_said_or_done(sshds: list[Sshd], capsys: pytest.CaptureFixture[str]) -> None:
    with Server.connect(site(sshds, nodes=[])) as server:
        nodes = Nodes.connect(server)
        nodes.ensure(Directory("/nowhere"))
        nodes.check(Test("x", "false"))
        assert nodes.probe("true") == {} and list(nodes) == [] and server.results == []
    assert capsys.readouterr().out == ""


def test_each_connection_knows_the_whole_host_key(nodes: Nodes, sshds: list[Sshd]) -> None:
    found = {name: each.session.host_key for name, each in nodes.servers.items()}
    assert found == {
        name: each.known(each.host_key).split(" ", 1)[1].strip() for name, each in zip("ab", sshds[1:], strict=True)
    }


def test_logins_are_shared_by_node(sshds: list[Sshd], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_shared", {})
    monkeypatch.setenv("HUBRUN_ENGINE", "1")
    monkeypatch.setattr(session.os, "environ", {**session.os.environ, session.ENGINE: "1"})
    made = site(sshds)
    first, second = (Nodes.connect(Server.connect(made)) for _ in range(2))
    assert set(session._shared) == {"", "a", "b"}
    assert all(first.servers[name].session is second.servers[name].session for name in "ab")
    began = time.monotonic()
    second.ensure(Directory("/"))
    assert time.monotonic() - began < 10
    for each in (*first.servers.values(), first.server):
        each.close()
    assert session._shared == {}
