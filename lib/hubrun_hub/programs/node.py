"""Which nodes get new servers; for `./hubrun node`, run by root. Prints JSON, or what is wrong.

list            what `seen.nodes` says of each
drain NAME      it gets no new servers; those that run there go on
undrain NAME    it gets new ones again
stop NAME       ends the servers that run there, for a node that is drained; the hub finds that by itself
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from hubrun_hub.docker_command import docker
from hubrun_hub.docker_filter.create import LABEL
from hubrun_hub.failed import Failed
from hubrun_hub.nodes import drained, nodes_file
from hubrun_hub.watching import seen


def main(command: str, name: str = "") -> list[dict[str, Any]]:
    """Do what is asked; how the nodes are then. Raises Failed, OSError, BadNodes, SubprocessError."""
    known = [node.name for node in nodes_file.read().nodes]
    if command != "list" and name not in known:
        raise Failed(f"there is no node {name}. There are: {', '.join(known) or 'none'}")
    # What is not a node any more goes with it.
    before = drained.read() & set(known)
    if command == "drain":
        drained.write(before | {name})
    elif command == "undrain":
        drained.write(before - {name})
    elif command == "stop":
        if name not in before:
            raise Failed(f"{name} is not drained: what is stopped would start there again")
        stop(name)
    elif command != "list":
        raise Failed(f"{command} is none of list, drain, undrain, stop")
    return seen.nodes()


def stop(name: str) -> None:
    """End the servers that run there. Raises Failed."""
    found = docker("ps", "-q", "--filter", f"label={LABEL}", node=name, seconds=60).split()
    if found:
        docker("stop", "-t", "10", *found, node=name, seconds=600)


if __name__ == "__main__":
    try:
        json.dump(main(*sys.argv[1:]), sys.stdout)
    except (Failed, nodes_file.BadNodes, OSError, ValueError, subprocess.SubprocessError) as wrong:
        sys.exit(str(wrong))
