"""How the manager reaches a node's Docker: a key of root's, an account on the node for it, and a unit for each connection."""

from __future__ import annotations

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.params import Site
from hubrun.resources.files import Directory, File
from hubrun.resources.packages import Packages
from hubrun.resources.services import Service
from hubrun.resources.ssh_identity import SshKey
from hubrun.resources.users import Member, OnlyMembers, User
from hubrun.sections.docker_spawner import node_list
from hubrun.sections.docker_spawner.node_list import Known
from hubrun.sections.hub import config
from hubrun.shell import quote
from hubrun_hub.nodes.nodes_file import docker_socket

_KEY = f"{server_paths.NODES_FOLDER}/key"
_HOME = f"/var/lib/{server_paths.NODE_ACCOUNT}"
_UNIT = "/etc/systemd/system/hubrun-node@.service"
# The socket is there as soon as ssh is; sshd on the other side opens Docker's for each that asks.
_READY = "docker -H unix://{} version"
# A connection that was lost is tried again every two seconds, and ssh gives up one that does not come about after ten.
_ALIVE = """
for turn in $(seq 40); do
    bad=
    for name in {}; do
        state=/run/hubrun-nodes/$name/state.json
        age=$(($(date +%s) - $(stat -c %Y "$state" 2> /dev/null || echo 0)))
        if [ ! -e "$state" ]; then bad="$bad, $name never answered"
        elif [ "$age" -ge 10 ]; then bad="$bad, $name is silent for $age s"
        elif ! grep -q '"homes": true' "$state"; then bad="$bad, $name has not the files"
        fi
    done
    [ -n "$bad" ] || { echo "all of them"; exit 0; }
    sleep 0.5
done
echo "${bad#, }"
exit 1
"""


def key() -> list[Resource]:
    """Root's key for the nodes."""
    return [Packages("openssh-client"), *node_list.folder(), SshKey(_KEY, server_paths.NODE_ACCOUNT)]


def own_key(site: Site) -> list[Resource]:
    """The same; nothing without nodes."""
    return key() if site.nodes else []


def public_key(server: Server) -> str:
    """Its public half; "" while it is not made."""
    return server.probe(f"cat {_KEY}.pub 2> /dev/null || true")[0].stdout.strip() if server.site.nodes else ""


def account(site: Site, public: str) -> list[Resource]:
    """On a node: the account, which may use Docker, and for whose key nothing runs but `node-link`."""
    line = f'restrict,port-forwarding,command="{server_paths.NODE_LINK}" {public}\n' if public else ""
    users = tuple(name for name in site.docker_users if name != site.hub_user)
    return [
        Directory(server_paths.LIB),
        config.node_link(),
        User(server_paths.NODE_ACCOUNT, system=True, home=_HOME, login_shell="/bin/sh"),
        Member(server_paths.NODE_ACCOUNT, "docker"),
        OnlyMembers("docker", (server_paths.NODE_ACCOUNT, *users)),
        # Root's: the account itself cannot let anybody in.
        Directory(_HOME), Directory(f"{_HOME}/.ssh"),
        File(f"{_HOME}/.ssh/authorized_keys", line),
    ]  # fmt: skip


def connections(site: Site, every: Known) -> list[Resource]:
    """On the manager: the nodes' own keys, as the operator's connection saw them, the list, and a unit for each."""
    if not every.members:
        return [*node_list.listed(site, every), *node_list.others_gone(every)]
    known = "".join(f"{each.name} {each.ssh_key}\n" for each in every.members)
    return [
        File(f"{server_paths.NODES_FOLDER}/known_hosts", known, mode=0o600),
        *node_list.listed(site, every),
        config.unit(site, _UNIT),
        *(
            Service(
                f"hubrun-node@{each.name}.service",
                watches=(_UNIT, f"{server_paths.HUB_CODE}/programs/node_link.py"),
                ready=quote(_READY, docker_socket(each.name)),
            )
            for each in every.members
        ),
        *node_list.others_gone(every),
    ]


def tests(site: Site) -> list[Test]:
    """A test, on the manager, that the nodes answer; none without nodes."""
    if not site.nodes:
        return []
    return [
        Test(
            "the nodes answer", quote(_ALIVE, [node.name for node in site.nodes]), prints="^all of them$",
            remedy=f"On the server: journalctl -u hubrun-node@NAME -n 20; on the node: systemctl status {server_paths.FILES_UNIT}",
        )
    ]  # fmt: skip
