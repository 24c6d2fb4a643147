"""The site's nodes with their numbers: what the manager keeps of them, and what is left of those that are taken out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.desired.nodes import Nodes
from hubrun.desired.resource import Resource, facts
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.params.nodes import MOST, Node, address_of, subnet_of
from hubrun.resources.files import Absent, Directory, File
from hubrun.resources.gone import Gone
from hubrun.resources.wireguard import WireGuardKey, public_key
from hubrun.sections.docker_spawner import nvidia
from hubrun.shell import quote
from hubrun_hub.nodes.links import LOST_S
from hubrun_hub.nodes.nodes_file import docker_socket

# Of each file that 04 writes for nodes.
HEAD = "# Written by hubrun (runbook 04_docker_spawner): changes here are put back.\n"
# Until its key is made, nobody knows it; in a plan it stands so.
_NOT_YET = "(made in the step before)"
_SSHD = """
echo "ssh_port=$(sshd -T 2> /dev/null | awk '$1 == "port" {print $2; exit}')"
"""
# A node that said nothing for so long is lost, and nobody's server is there any more, as the hub sees it.
_LEAVING = """
state=/run/hubrun-nodes/{name}/state.json
[ -e "$state" ] && [ "$(($(date +%s) - $(stat -c %Y "$state")))" -lt {lost} ] || { echo "it is away"; exit 0; }
there=$(DOCKER_HOST=unix://{socket} docker ps -q --filter 'name=^/jupyter-' | wc -l) || exit 1
[ "$there" = 0 ] && { echo "nobody's server is there"; exit 0; }
echo "$there servers of people are there"
exit 1
"""
_UNITS = """
units() { systemctl list-units --all --plain --no-legend 'hubrun-node@*.service' | awk '{print $1}'
    find /etc/systemd/system/multi-user.target.wants -name 'hubrun-node@*.service' -printf '%f\\n' 2> /dev/null; }
others() { units | sort -u | grep -vxF {} || true; }
"""


@dataclass(frozen=True)
class Member:
    """A node as the manager knows it. ssh_port: at which sshd listens there. public: its WireGuard key. ssh_key: its own, as
    known_hosts has it."""

    node: Node
    number: int
    address: str
    subnet: str
    gateway: str
    ssh_port: int = 22
    public: str = _NOT_YET
    ssh_key: str = ""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name


@dataclass(frozen=True)
class Manager:
    """The site's own server, as its nodes know it; fields as in Member."""

    address: str
    ssh_port: int = 22
    public: str = _NOT_YET
    ssh_key: str = ""


@dataclass(frozen=True)
class Known:
    """What is known of all servers of a site. leaving: the names of nodes that were there, and are in the list no more. moving:
    of those whose students' network becomes another one."""

    manager: Manager
    members: tuple[Member, ...] = ()
    leaving: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()

    def of(self, node: Node) -> Member:
        """What is known of this node."""
        return next(each for each in self.members if each.node is node)


def before(text: str) -> dict[str, dict[str, Any]]:
    """What the text of nodes.json says of each node, by name; nothing where there is none. Raises BadInput."""
    try:
        nodes = json.loads(text)["nodes"] if text.strip() else []
        return {str(each["name"]): {**each, "number": int(each["number"])} for each in nodes}
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"it is not what it should be: {error!r}", server_paths.NODES, "Put it right, or back from a backup: by it each node keeps its number"
        ) from None  # fmt: skip


def numbers(names: list[str], was: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """A number for each name: the one that it had (`before`), else the lowest free one."""
    # One that goes just now keeps its number until it is gone.
    had = {name: each["number"] for name, each in was.items()}
    free = (number for number in range(1, MOST + 1) if number not in had.values())
    return {name: had[name] if name in had else next(free) for name in names}


def known(server: Server, nodes: Nodes) -> Known:
    """Ask all of them. Raises BadInput where the list on the manager cannot be read."""
    site, key = server.site, WireGuardKey(server_paths.WIREGUARD_KEY).probe()
    ask = _SSHD + key if site.nodes else "true"
    listed, asked = server.probe(quote("cat {} 2> /dev/null || true", server_paths.NODES), ask)
    told = {name: output.stdout for name, output in nodes.probe(_SSHD + key).items()}
    was = before(listed.stdout)
    numbered = numbers([node.name for node in nodes], was)
    members = tuple(
        Member(
            node, number := numbered[node.name], address_of(site.nodes_network, number), subnet := subnet_of(site.nodes_network, number),
            _first(subnet), _port(told[node.name]), public_key(told[node.name]) or _NOT_YET, nodes.servers[node.name].session.host_key,
        )
        for node in nodes
    )  # fmt: skip
    manager = Manager(
        address_of(site.nodes_network, 0),
        _port(asked.stdout),
        public_key(asked.stdout) or _NOT_YET,
        server.session.host_key,
    )
    leaving = tuple(name for name in was if name not in numbered)
    moving = tuple(each.name for each in members if was.get(each.name, {}).get("subnet", each.subnet) != each.subnet)
    return Known(manager, members, leaving, moving)


def _first(subnet: str) -> str:
    address, _, _ = subnet.partition("/")
    head, _, last = address.rpartition(".")
    return f"{head}.{int(last) + 1}"


def _port(found: str) -> int:
    said = facts(found).get("ssh_port", "")
    return int(said) if said.isdigit() else 22


def leaving_tests(every: Known) -> list[Test]:
    """Tests that nobody's server is on a node that is taken out of the list, or whose network becomes another one."""
    what = {name: "which is taken out of `nodes`, can go" for name in every.leaving}
    what |= {name: "whose addresses follow from nodes_network, can get others" for name in every.moving}
    return [
        Test(
            f"{name}, {can}",
            _LEAVING.replace("{name}", name).replace("{lost}", str(int(LOST_S))).replace("{socket}", str(docker_socket(name))),
            remedy=f"Leave it as it was until then: ./hubrun node drain SITE {name}, and wait until nobody is there, or add --stop",
        )
        for name, can in what.items()
    ]  # fmt: skip


def text(site: Site, every: Known) -> str:
    """The list as the hub reads it: the text of nodes.json."""
    nodes = [
        {
            "name": each.name, "number": each.number, "host": each.node.host, "ssh_port": each.ssh_port, "address": each.address,
            "subnet": each.subnet, "gateway": each.gateway, "gpus": each.node.gpus,
        }
        for each in every.members
    ]  # fmt: skip
    return (
        json.dumps({"manager": {"address": every.manager.address, "gpus": nvidia.here(site)}, "nodes": nodes}, indent=2)
        + "\n"
    )


def listed(site: Site, every: Known) -> list[Resource]:
    """The list on the manager, which the hub goes by; none on a site without nodes."""
    if not every.members:
        return [Absent(server_paths.NODES)] if every.leaving else []
    return [File(server_paths.NODES, text(site, every), owner=f"root:{site.hub_user}", mode=0o640)]


def others_gone(every: Known) -> list[Resource]:
    """Nothing on the manager is for a node that is not in the list: no connection, and no place for one."""
    if not (every.members or every.leaving):
        return []
    units = _UNITS.replace("{}", quote("{}", "\n".join(f"hubrun-node@{each.name}.service" for each in every.members)))
    take = 'others | while read -r unit; do systemctl disable --now "$unit" 2> /dev/null || true; name=${unit#hubrun-node@}\n'
    take += 'name=${name%.service}; rm -rf "/run/hubrun-nodes/$name" "/run/hubrun-docker-filter/$name.sock"; systemctl reset-failed "$unit" 2> /dev/null || true; done'
    return [Gone("connection with another node", units + "others | sed 's/^/there /'", units + take)]


def folder() -> list[Resource]:
    """Where root's key for the nodes is, with their own keys."""
    return [Directory(server_paths.NODES_FOLDER, 0o700)]
