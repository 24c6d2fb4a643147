"""`./hubrun node` without a server: what it prints, what it asks for, and what it does not begin."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hubrun.cli import node as command
from hubrun.cli.main import hubrun
from hubrun.cli.status_report import SiteStatus
from hubrun.desired.server import Server
from hubrun.errors import BadInput

SAID = {"memory_mb": 3000, "total_mb": 8000, "load": 0.5, "cpus": 4, "disk_free_mb": 20000, "homes": True}
NODES: list[dict[str, Any]] = [
    {"name": "n1", "alive": True, "drained": True, "docker": "", "servers": [{}, {}], "said": SAID},
    {"name": "n2", "alive": False, "drained": False, "docker": "", "servers": [], "said": SAID | {"homes": False}},
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    words: list[tuple[str, ...]] = []

    def ask(_: object, *said: str) -> list[dict[str, Any]]:
        words.append(said)
        return NODES

    monkeypatch.setattr(Server, "connect", lambda _: nullcontext())
    monkeypatch.setattr(command, "ask", ask)
    return words


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    site = tmp_path / "bio.yaml"
    site.write_text(
        "site: bio\ndomain: hub.example.edu\nhomes_gb: 50\nnodes: [{host: n1.example.edu}, {host: n2.example.edu}]\n"
    )
    return lambda what, *words: CliRunner().invoke(
        hubrun, ["node", what, str(site), *words], standalone_mode=False
    )  # fmt: skip


def test_each_node_has_a_line(run: Callable[..., Result], asked: list[tuple[str, ...]]) -> None:
    found = run("list")
    assert found.output == (
        "n1: answers, 2 servers run, 3000 of 8000 MB of memory left, drained: no new servers\nn2: does not answer\n"
    )
    assert (found.return_value, asked) == (0, [("list",)])
    assert command.lines([]) == ["this site has no nodes"]


def test_draining_ends_servers_only_when_it_is_said_so(
    run: Callable[..., Result], asked: list[tuple[str, ...]]
) -> None:
    run("drain", "n1")
    run("undrain", "n1")
    assert asked == [("drain", "n1"), ("undrain", "n1")]
    asked.clear()
    text = run("drain", "n1", "--stop").output
    assert asked == [("drain", "n1"), ("stop", "n1")]
    assert text.startswith("2 servers on n1 end now. What is not saved in them is lost")


@pytest.mark.parametrize(
    ("words", "says"),
    [(("list", "n1"), "not clear"), (("drain",), "not clear"), (("undrain", "n1", "--stop"), "not clear"), (("drain", "n3"), "is not a node of this site")],
)  # fmt: skip
def test_bad_input_is_said_before_anything_is_asked(
    run: Callable[..., Result], asked: list[tuple[str, ...]], words: tuple[str, ...], says: str
) -> None:
    error = run(*words).exception
    assert isinstance(error, BadInput) and says in str(error)
    assert asked == []


def test_a_status_has_a_line_for_each_node() -> None:
    found = SiteStatus(Path("x"), "x", seen={"at": 1.0, "nodes": NODES})
    table = next(each for each in found.tables() if each.title == "Nodes")
    assert [tuple(row) for row in table.rows] == [
        ("n1", "answers, drained", "2", "2.9 GB of 7.8 GB", "0.5 of 4"),
        ("n2", "is away", "-", "-", "-"),
    ]
    docker = {"servers": [{"image": "i", "image_name": "class"}], "image": "class", "image_id": "i"}
    seen = {"docker": docker, "nodes": [NODES[0] | {"servers": [{"image": "old", "image_name": "class"}]}]}
    assert SiteStatus(Path("x"), "x", seen=seen).facts()["servers"] == "2 run, 1 on an older image"
    assert [each.title for each in SiteStatus(Path("x"), "x", seen={"at": 1.0}).tables()] == []
