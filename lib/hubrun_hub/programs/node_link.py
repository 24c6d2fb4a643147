"""Keeps the connection with a node, NAME: its Docker's socket, and what it says of itself. Root's; hubrun-node@NAME.service.

It ends with 1 when the connection does, and says why; systemd starts it again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from hubrun_hub.nodes import links
from hubrun_hub.nodes.nodes_file import LINKS, BadNodes, Node, docker_socket, read

# The key and the nodes' own keys, which runbook 04 makes and writes.
SECRETS = Path("/etc/jupyterhub/nodes")
ACCOUNT = "hubrun-node"
_LINE = 4096


def command(node: Node, socket: Path) -> list[str]:
    """ssh's (ssh(1), ssh_config(5)). What runs on the node is what its authorized_keys says: `node-link`.

    A node that is away is known to be so after nine seconds. Its own key is in known_hosts under its name: its address is
    of a network that is ours.
    """
    options = {
        "BatchMode": "yes", "IdentitiesOnly": "yes", "IdentityAgent": "none", "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(SECRETS / "known_hosts"), "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": node.name, "UpdateHostKeys": "no", "ConnectTimeout": "10",
        "ServerAliveInterval": "3", "ServerAliveCountMax": "3", "ExitOnForwardFailure": "yes",
        # Whoever may use the socket is root on the node: root alone may.
        "StreamLocalBindMask": "0177", "StreamLocalBindUnlink": "yes",
    }  # fmt: skip
    return [
        "ssh", "-F", "/dev/null", "-n", "-T", "-i", str(SECRETS / "key"), "-p", str(node.ssh_port), "-l", ACCOUNT,
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
        "-L", f"{socket}:/run/docker.sock", node.address,
    ]  # fmt: skip


def keep(node: Node, folder: Path = LINKS) -> int:
    """Be connected until the connection ends; the exit code of ssh, which says why. Raises OSError."""
    (folder / node.name).mkdir(mode=0o755, parents=True, exist_ok=True)
    with subprocess.Popen(
        command(node, docker_socket(node.name, folder)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as ssh:
        assert ssh.stdout
        try:
            while line := ssh.stdout.readline(_LINE):
                links.write(node.name, links.parsed(line.decode(errors="replace"), time.time()), folder)
        except ValueError as error:
            print(f"{node.name}: {error}: run 04 again", file=sys.stderr)
        finally:
            ssh.terminate()
    return ssh.returncode


def main(name: str) -> int:
    """Return the exit code."""
    try:
        node = read().named(name)
    except BadNodes as error:
        sys.exit(str(error))
    if node is None:
        sys.exit(f"there is no node {name}")
    print(f"the connection with {name} ended ({keep(node)})", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
