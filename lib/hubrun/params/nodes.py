"""The parameter `nodes`: further servers of a site, on which students' containers run.

Each name is that of the parameter of the site's own server. A node logs in as the site's own server does, where it does not
say otherwise.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hubrun.params import text_kinds as kinds
from hubrun_hub.nodes.nodes_file import MANAGER

# A node's number gives it its address, and its part of nodes_network; a part holds 1,000 students.
MOST = 62
_PART = 22


class Node(BaseModel):
    """One node. name: the first part of its host, where it does not say it. address: where the site's server reaches it for the network between them; "" for host. gpus: how many NVIDIA
    GPUs it has that a student's server may get; 0: none of those that ask for some starts there."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    host: Annotated[kinds.Host, Field(min_length=1)]
    name: kinds.NodeName = ""
    ssh_user: kinds.SshLogin = ""
    ssh_port: Annotated[int, Field(ge=0, le=65535)] = 0
    ssh_key_file: kinds.LocalPath = ""
    ssh_known_hosts_file: kinds.LocalPath = ""
    ssh_host_fingerprint: kinds.Fingerprint = ""
    sudo_password_env: kinds.Environment = ""
    sudo_password_file: kinds.LocalPath = ""
    address: kinds.Host = ""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("name") or not isinstance(values.get("host"), str):
            return values
        return {**values, "name": _name_of(values["host"])}

    @property
    def reached_at(self) -> str:
        """Where the site's server reaches it."""
        return self.address or self.host


def _name_of(host: str) -> str:
    """What a node is called that does not say it: the first label of its host; `node-` and the digits of an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return re.sub(r"[^a-z0-9-]", "-", host.partition(".")[0].lower())
    return "node-" + re.sub(r"[^0-9a-f]", "", host.lower())


def address_of(network: str, number: int) -> str:
    """The address, in the network between the servers, of a node by its number; 0 is the site's server."""
    return str(ipaddress.IPv4Network(network)[number + 1])


def servers_of(network: str) -> str:
    """The part of the network with the addresses of all servers, and of no student's container."""
    return str(next(ipaddress.IPv4Network(network).subnets(new_prefix=_PART)))


def subnet_of(network: str, number: int) -> str:
    """The students' network of a node by its number, 1 to MOST."""
    parts = list(ipaddress.IPv4Network(network).subnets(new_prefix=_PART))
    return str(parts[number])


def check_nodes(nodes: list[Node], own: tuple[str, int], network: str, others: Sequence[tuple[str, str]]) -> None:
    """Raise ValueError for nodes that cannot be told apart, and for a network between them that cannot be.

    own: host and SSH port of the site's server. others: parameter and network, those that it must not meet.
    """
    whole = ipaddress.IPv4Network(network)
    if whole.prefixlen != 16:
        raise ValueError(
            f"nodes_network is {network}: must be a private network of the size /16, such as 172.28.0.0/16"
        )
    if len(nodes) > MOST:
        raise ValueError(f"nodes: at most {MOST}, not {len(nodes)}")
    seen: dict[str, int] = {}
    for number, node in enumerate(nodes):
        name = node.name
        if name == MANAGER:
            raise ValueError(f"nodes[{number}]: {MANAGER} is the name of the site's own server; give it another")
        if name in seen:
            raise ValueError(f"nodes[{number}] has the name of nodes[{seen[name]}], {name}: give one of them another")
        seen[name] = number
    hosts = [(node.host.lower(), node.ssh_port) for node in nodes]
    for number, at in enumerate(hosts):
        if at == (own[0].lower(), own[1]):
            raise ValueError(f"nodes[{number}] is the site's own server, which cannot be a node: {at[0]}")
        if at in hosts[:number]:
            raise ValueError(f"nodes[{number}] is nodes[{hosts.index(at)}] once more: {at[0]}")
    for parameter, other in others:
        if nodes and whole.overlaps(ipaddress.IPv4Network(other)):
            raise ValueError(f"nodes_network ({network}) and {parameter} ({other}) must not meet: choose another one")
