"""Shell, on a site's server, for the Dockers of its nodes, which it reaches by their connections (hubrun_hub/nodes)."""

from __future__ import annotations

from collections.abc import Iterable

from hubrun.shell import quote
from hubrun_hub.nodes.nodes_file import docker_socket


def docker_on(node: str) -> str:
    """Shell: docker(1) for the Docker of the node of this name; its words follow."""
    return quote("env {} docker", f"DOCKER_HOST=unix://{docker_socket(node)}")


def on_each(nodes: Iterable[str], script: str) -> str:
    """Shell that runs `script` for the Docker of each of these nodes, by name; {node} in it is the name. "" for none.

    A node that is away is passed over.
    """
    return "".join(
        quote("(\nexport DOCKER_HOST={}\n", f"unix://{docker_socket(node)}")
        + script.replace("{node}", node)
        + "\n) || true\n"
        for node in nodes
    )
