"""The parameter `nodes`: names, numbers' networks, and what is refused."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from hubrun import params
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.params.nodes import MOST, address_of, subnet_of

GOOD = {"site": "example", "domain": "hub.example.edu", "homes_gb": 20}


def site(**changes: Any) -> Site:
    return params.build(GOOD | changes, "here")


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"host": "node1.example.edu"}, "node1"),
        ({"host": "Big_Node.example.edu"}, "big-node"),
        ({"host": "10.0.0.7"}, "node-10007"),
        ({"host": "2001:db8::7"}, "node-2001db87"),
        ({"host": "node1.example.edu", "name": "gpu"}, "gpu"),
    ],
)
def test_a_node_has_a_name(node: dict[str, Any], name: str) -> None:
    assert [each.name for each in site(nodes=[node]).nodes] == [name]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nodes": ["a.example.edu"]}, "nodes[0] is 'a.example.edu': must be a mapping"),
        ({"nodes": "a"}, "nodes is 'a': must be a list"),
        ({"nodes": [{}]}, "nodes[0].host is missing"),
        ({"nodes": [{"host": ""}]}, "nodes[0].host is ''"),
        ({"nodes": [{"host": "a b"}]}, "nodes[0].host is 'a b': must be a host name or an IP address"),
        ({"nodes": [{"host": "a", "port": 22}]}, "nodes[0].port: there is no such setting"),
        ({"nodes": [{"host": "a", "gpus": "1"}]}, "nodes[0].gpus is '1': must be a whole number"),
        ({"nodes": [{"host": "a", "name": "x/../y"}]}, "nodes[0].name is 'x/../y': must be the name of a node"),
        ({"nodes": [{"host": "a", "name": "x" * 31}]}, "must be the name of a node"),
        ({"nodes": [{"host": "x" * 31}]}, "where its host makes none, give it one"),
        ({"nodes": [{"host": "manager.example.edu"}]}, "nodes[0]: manager is the name of the site's own server"),
        ({"nodes": [{"host": "a.x.edu"}, {"host": "a.y.edu"}]}, "nodes[1] has the name of nodes[0], a"),
        ({"nodes": [{"host": "a", "name": "b"}, {"host": "A", "name": "c"}]}, "nodes[1] is nodes[0] once more: a"),
        ({"nodes": [{"host": "hub.example.edu", "name": "b"}]}, "nodes[0] is the site's own server"),
        ({"nodes": [{"host": f"n{n}"} for n in range(63)]}, "nodes: at most 62, not 63"),
        ({"nodes": [{"host": "a"}], "homes_gb": 0}, "nodes need homes_device or homes_gb"),
        ({"nodes": [{"host": "a"}], "nodes_network": "172.29.0.0/16"}, "nodes_network (172.29.0.0/16) and docker_subnet (172.29.0.0/16) must not meet"),
        ({"nodes": [{"host": "a"}], "student_networks": ["172.28.9.0/24", "10.9.0.0/16"]}, "and student_networks (172.28.9.0/24) must not meet"),
        ({"nodes_network": "172.28.0.0/20"}, "must be a private network of the size /16"),
        ({"nodes_network": "8.8.0.0/16"}, "nodes_network is '8.8.0.0/16': must be a private IPv4 network"),
        ({"node_files": "smb"}, "node_files is 'smb': Input should be 'nfs' or 'sshfs'"),
        ({"manager_address": "a b"}, "manager_address is 'a b'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_bad_input(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        site(**changes)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_no_two_numbers_share_an_address_and_no_address_is_in_a_students_network() -> None:
    network = "172.28.0.0/16"
    addresses = {address_of(network, number) for number in range(MOST + 1)}
    subnets = [ipaddress.IPv4Network(subnet_of(network, number)) for number in range(1, MOST + 1)]
    assert (address_of(network, 0), address_of(network, 1), str(subnets[0])) == (
        "172.28.0.1",
        "172.28.0.2",
        "172.28.4.0/22",
    )
    assert len(addresses) == MOST + 1 and len(set(subnets)) == MOST
    assert not [each for each in addresses if any(ipaddress.ip_address(each) in subnet for subnet in subnets)]
    assert all(each.subnet_of(ipaddress.IPv4Network(network)) for each in subnets)


def test_a_node_logs_in_as_the_site_does_but_for_its_port_and_host_key() -> None:
    pinned = "SHA256:" + "a" * 43
    own = {
        "ssh_user": "debian",
        "ssh_key_file": "/key",
        "ssh_port": 2222,
        "ssh_host_fingerprint": pinned,
        "sudo_password_env": "PW",
    }
    made = site(**own, nodes=[{"host": "a"}, {"host": "b", "ssh_user": "ada", "sudo_password_file": "/pw"}])
    first, second = (made.of_node(node) for node in made.nodes)
    assert (first.host, first.ssh_user, first.ssh_key_file, first.sudo_password_env) == ("a", "debian", "/key", "PW")
    assert (first.ssh_port, first.ssh_host_fingerprint) == (0, "")
    assert (second.host, second.ssh_user, second.sudo_password_env, second.sudo_password_file) == (
        "b",
        "ada",
        "",
        "/pw",
    )


def test_without_nodes_nothing_is_said_of_them() -> None:
    assert site().nodes_gateway == ""
    proxied = {"http_proxy": "http://proxy.example.edu:3128"}
    assert "172.28" not in site(**proxied).proxy_environment["no_proxy"]
    assert "172.28.0.1" in site(**proxied, nodes=[{"host": "a"}]).proxy_environment["no_proxy"]
