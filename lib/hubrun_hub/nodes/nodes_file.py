"""The list of nodes, as runbook 04 writes it, and where on the manager things of a node are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

FILE = Path("/etc/jupyterhub/nodes.json")
# What the server with the hub is called where the name of a node is meant.
MANAGER = "manager"
# What docker_filter says, in these words, of a server that cannot run on a node; the hub then starts it on the manager.
MANAGER_ALONE = "on the manager alone"
# For each node a folder, with the socket of its Docker and what it said last.
LINKS = Path("/run/hubrun-nodes")
# For each node a socket: its Docker, as much of it as the hub needs (docker_filter).
FILTER_SOCKETS = Path("/run/hubrun-docker-filter")
_NAME = re.compile(r"[a-z0-9-]{1,30}")


class BadNodes(Exception):
    """The list of nodes is not what it should be; the text is one line that says what to do."""


@dataclass(frozen=True)
class Node:
    """address: in the nodes' own network. subnet, gateway: of the students' network there. gpus: how many it has."""

    name: str
    number: int
    host: str
    ssh_port: int
    address: str
    subnet: str
    gateway: str
    gpus: int


@dataclass(frozen=True)
class Nodes:
    """address: the manager's in the nodes' own network. gpus: the manager's; None where nobody says, as on a site without nodes."""

    address: str = ""
    gpus: int | None = None
    nodes: tuple[Node, ...] = ()

    def named(self, name: str) -> Node | None:
        """The node of this name; None where there is none."""
        return next((node for node in self.nodes if node.name == name), None)


def read(file: Path = FILE) -> Nodes:
    """The list; an empty one where there is no file. Raises BadNodes."""
    try:
        found = json.loads(file.read_text())
        manager = found["manager"]
        nodes = tuple(
            Node(
                str(each["name"]), int(each["number"]), str(each["host"]), int(each["ssh_port"]), str(each["address"]),
                str(each["subnet"]), str(each["gateway"]), int(each["gpus"]),
            )
            for each in found["nodes"]
        )  # fmt: skip
        known = Nodes(str(manager["address"]), int(manager["gpus"]), nodes)
    except FileNotFoundError:
        return Nodes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadNodes(f"{file} is not what it should be ({error!r}): run 04 again, it writes it") from error
    names = [node.name for node in nodes]
    if wrong := [name for name in names if not _NAME.fullmatch(name) or name == MANAGER or names.count(name) > 1]:
        raise BadNodes(f"{file}: {wrong[0]!r} cannot be the name of a node: run 04 again, it writes it")
    return known


def docker_socket(name: str, links: Path = LINKS) -> Path:
    """Where a node's Docker is asked; root's."""
    return links / name / "docker.sock"


def filter_socket(name: str) -> Path:
    """Where the hub asks for a node's Docker."""
    return FILTER_SOCKETS / f"{name}.sock"


def of_filter_socket(path: str) -> str:
    """The node whose Docker is asked at this socket of docker_filter's; MANAGER for any other path."""
    found = Path(path)
    return found.stem if found.parent == FILTER_SOCKETS and found.suffix == ".sock" else MANAGER
