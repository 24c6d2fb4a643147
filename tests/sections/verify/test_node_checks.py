"""What 06_verify wants of each node; its server is played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hubrun.desired.checks import Check
from hubrun.params import build
from hubrun.sections.verify import node_checks

PARAMS: dict[str, Any] = {"site": "x", "domain": "hub.example.edu", "homes_gb": 50}
NODES = [{"host": "n1.example.edu"}, {"host": "n2.example.edu"}]


class Server:
    def __init__(self, *nodes: dict[str, str], check_mode: bool = False, fails: str = "") -> None:
        self.site = build(PARAMS | {"nodes": list(nodes)}, "here")
        self.check_mode, self.fails = check_mode, fails
        self.ran: list[str] = []
        self.required: list[list[Check]] = []

    def run(self, template: str, *words: str, seconds: float, check: bool) -> Any:
        self.ran.append(words[-1])
        failed = words[-1] == self.fails
        said = "it starts no kernel" if failed else "a server starts, and runs a line"
        return SimpleNamespace(exit_code=int(failed), stdout=said, stderr="")

    def require(self, *checks: Check) -> None:
        self.required.append(list(checks))


def test_a_server_is_started_on_each_node() -> None:
    server: Any = Server(*NODES, fails="n2")
    node_checks.try_starts(server)
    assert server.ran == ["n1", "n2"]
    [(first, second)] = server.required
    assert (first.ok, second.ok) == (True, False)
    assert second.name == "a student's server starts on n2" and second.came == "it starts no kernel"


@pytest.mark.parametrize(
    ("server", "required"), [(Server(), []), (Server(*NODES, check_mode=True), [[]])], ids=["no nodes", "check mode"]
)
def test_nothing_is_started_without_nodes_or_in_a_plan(server: Any, required: list[list[Check]]) -> None:
    node_checks.try_starts(server)
    assert (server.ran, server.required) == ([], required)
