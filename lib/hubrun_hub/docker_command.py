"""Docker's own command, for the programs that root runs on the manager: for its own engine, and for those of nodes."""

from __future__ import annotations

import os
import subprocess

from hubrun_hub.failed import Failed
from hubrun_hub.nodes import nodes_file
from hubrun_hub.nodes.nodes_file import MANAGER


def docker(*words: str, node: str = MANAGER, seconds: float | None = None) -> str:
    """What it prints. Raises Failed with its last words, or where it takes longer than `seconds`."""
    where = "docker" if node == MANAGER else f"docker on node {node}"
    try:
        done = subprocess.run(
            ["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env=environment(node), timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"{where} {' '.join(words[:2])}: not done within {seconds:g} s") from None
    if done.returncode:
        raise Failed(f"{where} {' '.join(words[:2])}: {done.stderr.strip()[-300:]}")
    return done.stdout


def environment(node: str) -> dict[str, str]:
    """The environment in which docker(1) asks the engine of this node."""
    if node == MANAGER:
        return dict(os.environ)
    return {**os.environ, "DOCKER_HOST": f"unix://{nodes_file.docker_socket(node)}"}


def engines() -> list[str]:
    """Where students' containers may be: the manager, and all nodes. Raises Failed where the list cannot be read."""
    return [MANAGER, *nodes()]


def nodes() -> list[str]:
    """The names of all nodes. Raises Failed where the list cannot be read."""
    try:
        return [node.name for node in nodes_file.read().nodes]
    except nodes_file.BadNodes as error:
        raise Failed(str(error)) from error
