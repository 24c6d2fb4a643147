"""The network between the site's server and its nodes: WireGuard, a star. Nodes never reach each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.params.nodes import Node
from hubrun.resources.docker import Network
from hubrun.resources.files import Directory, File
from hubrun.resources.firewall import FirewallRule
from hubrun.resources.gone import Gone
from hubrun.resources.packages import Packages
from hubrun.resources.services import Service
from hubrun.resources.wireguard import WireGuardKey
from hubrun.sections.docker_spawner import student_network
from hubrun.sections.docker_spawner.node_list import HEAD, Known
from hubrun.sections.hub import config
from hubrun.shell import quote

_DROP_IN = f"/etc/systemd/system/{server_paths.WIREGUARD_UNIT}.d/hubrun.conf"
# Behind a router at home, and in some clouds, a way in is forgotten that nobody uses (WireGuard's own number, wg(8)).
_KEEPALIVE_S = 25
_INTERFACE = """\
[Interface]
Address = {address}
{listen}PostUp = wg set %i private-key {key}
"""
# An endpoint whose name nobody knows (any more) keeps wg-quick from bringing up the interface, for all peers; a peer without one
# waits until it is heard from. Meanwhile nobody waits for name servers.
_NAMED = "PostUp = timeout 60 wg set %i peer {public} endpoint {at}:{port} || true &\n"
# What 04 brought for the network, but the key; and how it goes.
LEFT = f"""
systemctl is-enabled -q {server_paths.WIREGUARD_UNIT} 2> /dev/null && echo 'there {server_paths.WIREGUARD_UNIT}'
paths {server_paths.WIREGUARD} {_DROP_IN}
"""
TAKE = f"""
systemctl disable --now {server_paths.WIREGUARD_UNIT} 2> /dev/null || true
rm -rf {server_paths.WIREGUARD} {_DROP_IN.rpartition("/")[0]}
systemctl daemon-reload
"""


def keys() -> list[Resource]:
    """WireGuard, and the key of this server, which stays on it."""
    return [Packages("wireguard-tools"), WireGuardKey(server_paths.WIREGUARD_KEY)]


def own_keys(site: Site) -> list[Resource]:
    """The same on the site's server; nothing without nodes."""
    return keys() if site.nodes else []


def manager(site: Site, every: Known) -> list[Resource]:
    """The middle of the star. Without nodes (any more) there is none."""
    if not every.members:
        return [Gone("network to nodes", LEFT, TAKE)] if every.leaving else []
    length = ipaddress.IPv4Network(site.nodes_network).prefixlen
    names = {each.name: each.node.reached_at for each in every.members if not _is_address(each.node.reached_at)}
    peers = "".join(
        _NAMED.format(public=each.public, at=names[each.name], port=server_paths.WIREGUARD_PORT)
        for each in every.members
        if each.name in names
    )
    peers += "".join(
        _peer(
            each.name, each.public, [f"{each.address}/32", each.subnet], "" if each.name in names else each.node.reached_at
        )
        for each in every.members
    )  # fmt: skip
    rules = [
        FirewallRule(8081, source=site.nodes_network, destination=site.nodes_gateway),
        FirewallRule(files_port(site, every), source=site.nodes_network, destination=site.nodes_gateway),
        *(_from(each.node.reached_at) for each in every.members),
    ]
    return [*_interface(site, f"{every.manager.address}/{length}", peers), *rules]


def node(site: Site, every: Known) -> Callable[[Node], Sequence[Resource]]:
    """A node's end of the star, and its students' network with its rules, by node."""
    manager_at = site.manager_address or site.public_address or site.domain

    def resources(node: Node) -> Sequence[Resource]:
        each = every.of(node)
        peer = _peer(
            "the site's server", every.manager.public, [f"{every.manager.address}/32"], manager_at, _KEEPALIVE_S
        )
        return [
            *_interface(site, f"{each.address}/32", peer),
            _from(manager_at),
            FirewallRule(each.ssh_port, source=every.manager.address, destination=each.address),
        ]

    return resources


def students(site: Site, every: Known) -> Callable[[Node], Sequence[Resource]]:
    """The students' network of a node, and what its containers may reach, by node."""

    def resources(node: Node) -> Sequence[Resource]:
        each = every.of(node)
        network = Network(server_paths.NETWORK, each.subnet, each.gateway, routed_by=server_paths.INTERFACE)
        return [
            Directory("/etc/jupyterhub"),
            *config.hub_code(),
            *student_network.rules_of_node(site, each.subnet),
            network,
        ]

    return resources


def tests(every: Known) -> list[Test]:
    """A test that a node and the site's server reach each other."""
    return [
        Test(
            "the network to the site's server", quote("ping -c 1 -W 5 -n {}", every.manager.address), prints=" 0% packet loss",
            remedy=f"Does the provider's firewall let UDP port {server_paths.WIREGUARD_PORT} in, from each of the two to the other? "
            "Are manager_address and the node's address right? See: wg show",
        )
    ]  # fmt: skip


def files_port(site: Site, every: Known) -> int:
    """At which TCP port of the site's server nodes have students' files."""
    return server_paths.NFS_PORT if site.node_files == "nfs" else every.manager.ssh_port


def _interface(site: Site, address: str, peers: str) -> list[Resource]:
    listen = f"ListenPort = {server_paths.WIREGUARD_PORT}\n"
    text = HEAD + _INTERFACE.format(address=address, listen=listen, key=server_paths.WIREGUARD_KEY) + peers
    return [
        Directory("/etc/wireguard", 0o700),
        File(server_paths.WIREGUARD, text, mode=0o600),
        Directory(f"{_DROP_IN.rpartition('/')[0]}"),
        File(_DROP_IN, config.render("wg-quick-reload.conf", site)),
        Service(server_paths.WIREGUARD_UNIT, watches=(server_paths.WIREGUARD,), reloads=True),
    ]


def _peer(name: str, public: str, allowed: list[str], at: str, keepalive: int = 0) -> str:
    host = f"[{at}]" if ":" in at else at
    lines = [
        f"# {name}",
        "[Peer]",
        f"PublicKey = {public}",
        f"AllowedIPs = {', '.join(allowed)}",
    ]
    lines += [f"Endpoint = {host}:{server_paths.WIREGUARD_PORT}"] if at else []
    lines += [f"PersistentKeepalive = {keepalive}"] if keepalive else []
    return "\n" + "\n".join(lines) + "\n"


def _from(at: str) -> FirewallRule:
    """WireGuard's port is open to this server alone, where its address is known; to a name ufw has no rule."""
    source = str(ipaddress.ip_address(at)) if _is_address(at) else ""
    return FirewallRule(server_paths.WIREGUARD_PORT, source=source, protocol="udp")


def _is_address(at: str) -> bool:
    try:
        ipaddress.ip_address(at)
    except ValueError:
        return False
    return True
