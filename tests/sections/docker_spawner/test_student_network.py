"""The rules for students' containers: their text, the program that keeps them in force, and the resource."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hubrun import params
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.firewall import Rules
from hubrun.sections.docker_spawner import student_network
from hubrun.sections.hub import config

RULES = Rules(
    "what students' containers may reach",
    "/lib/student-network",
    "jupyterhub-network.service",
    ("/etc/r.nft",),
    "no campus",
)


@pytest.mark.parametrize(
    ("found", "titles"),
    [
        ("state=in force\nenabled=enabled", []),
        ("state=\nenabled=", ["load them at each boot (jupyterhub-network.service)", "load the rules (they are not there): no campus"]),
        ("state=not in force\nenabled=enabled", ["load the rules (they are not in force)"]),
        ("state=changed by hand\nenabled=enabled", ["load the rules (they are changed by hand)"]),
        ("state=those of before\nenabled=enabled", ["load the rules (they are those of before)"]),
        ("state=in force\nenabled=disabled", ["load them at each boot (jupyterhub-network.service)"]),
    ],
)  # fmt: skip
def test_rules_are_loaded_where_they_are_not_in_force(found: str, titles: list[str]) -> None:
    assert [action.title for action in RULES.plan(found)] == titles
    for script in [RULES.probe(), *(action.script for action in RULES.plan(found))]:
        assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_a_plan_foresees_that_a_file_which_is_about_to_be_written_is_loaded() -> None:
    found = "state=in force\nenabled=enabled"
    assert RULES.plan(RULES.foresee(found, ["/etc/other"])) == []
    (action,) = RULES.plan(RULES.foresee(found, ["/etc/r.nft"]))
    assert action.title == "load the rules (they are those of before)"


def site(*networks: str) -> Site:
    return Site(site="x", domain="hub.example.edu", docker_subnet="172.29.0.0/16", student_networks=list(networks))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "fd00::/8", "campus", "0.0.0.0/0; flush ruleset", "-f", "10.0.0.0/8\n"])
def test_what_is_not_a_network_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="student_networks"):
        params.build({"site": "x", "domain": "hub.example.edu", "student_networks": [text]}, "test")


def test_the_networks_of_the_parameter_stand_in_the_rules() -> None:
    assert "elements = { 10.20.0.0/16, 192.0.2.0/24 }" in config.render(
        "student-network.nft", site("10.20.0.0/16", "192.0.2.0/24")
    )
    assert config.render("student-network.nft", site()).count("elements") == 1


# -- for real, in a network of its own ------------------------------------------------------------------------------

needs_nft = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("unshare"), reason="needs root and nft"
)


@pytest.mark.slow
@needs_nft
def test_the_program_loads_the_rules_and_sees_what_was_changed(tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text(config.render("student-network.nft", site("10.20.0.0/16")))
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(
        "nameserver 10.1.0.2\nnameserver 127.0.0.53\nnameserver 2001:db8::1\nnameserver 10.1.0.2 # again\n"
    )
    text = config.render("student-network.sh", site())
    for path, here in (
        (student_network.RULES, rules),
        ("/run/jupyterhub-network.loaded", tmp_path / "loaded"),
        ("/etc/resolv.conf", resolv),
    ):
        text = text.replace(path, str(here))
    program = tmp_path / "student-network"
    program.write_text(text)
    program.chmod(0o755)
    script = f"""set -e
    {program} state; {program} load > /dev/null; {program} state
    nft list set inet hubrun resolvers | grep -o '10[.]1[.]0[.]2\\|127[.]0'
    nft add rule inet hubrun to_server accept; {program} state; {program} load > /dev/null; {program} state
    echo nameserver 10.1.0.3 >> {resolv}; {program} state; {program} load >/dev/null; {program} state
    {program} load
    nft flush ruleset; {program} state
    """
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "not in force", "in force", "10.1.0.2", "changed by hand", "in force", "those of before", "in force", "not in force",
    ], done.stderr  # fmt: skip


@needs_nft
def test_the_proxys_addresses_stand_in_the_rules_while_they_are_loaded(tmp_path: Path) -> None:
    with_proxy = site().model_copy(update={"http_proxy": "http://proxy.example.edu:3128"})
    rules, resolv = tmp_path / "rules.nft", tmp_path / "resolv.conf"
    rules.write_text(config.render("student-network.nft", with_proxy))
    resolv.write_text("nameserver 10.1.0.2\n")
    text = config.render("student-network.sh", with_proxy)
    moved = (
        (student_network.RULES, rules),
        ("/run/jupyterhub-network.loaded", tmp_path / "loaded"),
        ("/etc/resolv.conf", resolv),
    )
    for path, here in moved:
        text = text.replace(path, str(here))
    program, getent = tmp_path / "student-network", tmp_path / "getent"
    program.write_text(text)
    getent.write_text(f"#!/bin/sh\ncat {tmp_path}/addresses\n")
    for each in (program, getent):
        each.chmod(0o755)
    (tmp_path / "addresses").write_text("10.9.0.5 STREAM proxy\n10.9.0.5 DGRAM\n10.9.0.6 STREAM\n")
    script = f"""set -e
    PATH={tmp_path}:$PATH
    {program} load > /dev/null; {program} state
    nft list set inet hubrun proxy | grep -o '10[.]9[.]0[.][0-9-]*'
    echo 10.9.0.7 STREAM > {tmp_path}/addresses; {program} state; {program} load > /dev/null; {program} state
    : > {tmp_path}/addresses; {program} load > /dev/null; {program} state
    """
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == [
        "in force",
        "10.9.0.5",
        "10.9.0.6",
        "those of before",
        "in force",
        "in force",
        "",
    ], (done.stdout, done.stderr)


# In the container: how many connections to the hub it gets, and how many flows that nobody answers.
_FLOOD = """
import socket
hub = []
for _ in range(300):
    try:
        hub.append(socket.create_connection(("172.29.0.1", 8081), 2))
    except OSError:
        break
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(5000):
    try:
        flood.sendto(b"x", (f"192.0.2.{1 + number % 200}", 10000 + number // 200))
    except OSError:
        pass
print(len(hub))
"""
_HUB = """
import socket, time
hub = socket.create_server(("172.29.0.1", 8081), backlog=512)
kept = []
while True:
    kept.append(hub.accept())
"""


@pytest.mark.slow
@needs_nft
def test_one_container_cannot_fill_what_all_connections_share(tmp_path: Path) -> None:
    rules, hub, flood = tmp_path / "rules.nft", tmp_path / "hub.py", tmp_path / "flood.py"
    rules.write_text(config.render("student-network.nft", site()))
    hub.write_text(_HUB)
    flood.write_text(_FLOOD)
    # A server, a container, and the outside, with a network each.
    script = f"""set -e
    unshare --net sleep 100 & container=$!
    unshare --net sleep 100 & outside=$!
    hub=
    trap 'kill $container $outside $hub' EXIT
    sleep 0.5
    ip link set lo up
    ip link add inner type veth peer name eth0 netns $container
    ip link add outer type veth peer name eth0 netns $outside
    ip addr add 172.29.0.1/16 dev inner; ip link set inner up
    ip addr add 192.0.2.254/24 dev outer; ip link set outer up
    inside() {{ nsenter -t $container -n "$@"; }}
    inside ip addr add 172.29.0.2/16 dev eth0; inside ip link set eth0 up
    inside ip route add default via 172.29.0.1
    nsenter -t $outside -n ip link set eth0 up
    for number in $(seq 200); do
        ip neigh add 192.0.2.$number lladdr 02:00:00:00:00:01 dev outer nud permanent
    done
    echo 1 > /proc/sys/net/ipv4/ip_forward
    nft -f {rules}
    python3 {hub} & hub=$!
    sleep 0.5
    inside python3 {flood}
    cat /proc/sys/net/netfilter/nf_conntrack_count
    """
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False)
    connections, flows = map(int, done.stdout.split())
    assert connections == 100 and 1100 <= flows <= 1110, (connections, flows, done.stderr)
