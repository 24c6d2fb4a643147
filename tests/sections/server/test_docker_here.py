"""What Docker and networks of the server's own would not go together with ours: named in a plan, with a way on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from hubrun import params
from hubrun.desired.diagnosis import remedy_for
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.sections.server import docker_here
from hubrun.sections.server.preflight import preflight

SITE = Site(site="x", domain="hub.example.edu")
MAIN = "hex 00000000 00000000 eth0\nhex 0002000A 00FFFFFF eth0\naddress 10.0.2.15/24 eth0\nroute 10.0.2.0/24 eth0\n"
OURS = "docker 172.29.0.0/16 jupyterhub br-0123456789ab\naddress 172.29.0.1/16 br-0123456789ab\nroute 172.29.0.0/16 br-0123456789ab\nhex 00001DAC 0000FFFF br-0123456789ab\n"


def look(text: str, site: Site = SITE) -> tuple[bool, str, str]:
    check = docker_here.subnet_test(site).judge(0, MAIN + text)
    return check.ok, check.came, check.cause


@pytest.mark.parametrize(
    "text",
    [
        "",
        OURS,
        # Docker is down, and its bridge is there still.
        "address 172.29.0.1/16 br-0123456789ab\nroute 172.29.0.0/16 br-0123456789ab\n",
        # Of ours on another subnet before, which goes when docker_subnet is changed.
        "docker 172.28.0.0/16 jupyterhub br-0123456789ab\n",
        "docker 172.17.0.0/16 bridge br-000000000000\nroute 172.17.0.0/16 docker0\n",
        # OpenVPN's two halves, and WireGuard's pieces, of the whole internet: openvpn(8), redirect-gateway def1.
        "route 0.0.0.0/1 tun0\nroute 128.0.0.0/1 tun0\nroute 160.0.0.0/5 wg0\n",
        "resolver 127.0.0.53\nresolver fd00::1\nssh 2001:db8::1\nroute garbage x\ndocker fd00::/64 v6 br-1\n",
    ],
)
def test_a_network_that_meets_nothing_is_free(text: str) -> None:
    assert look(text)[0], look(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("route 172.16.0.0/12 tun0\n", "a route of tun0 (172.16.0.0/12)"),
        ("route 172.29.7.0/24 eth1\n", "a route of eth1 (172.29.7.0/24)"),
        ("hex 00001DAC 0000FFFF eth1\n", "a route of eth1 (172.29.0.0/16)"),
        ("address 172.29.5.3/24 eth1\n", "a route of eth1 (172.29.5.0/24)"),
        ("docker 172.29.0.0/16 shop_default br-aaaaaaaaaaaa\nroute 172.29.0.0/16 br-aaaaaaaaaaaa\n", "meets Docker's network shop_default (172.29.0.0/16)"),
        ("docker 172.29.0.0/16 shop br-aaaaaaaaaaaa\naddress 172.29.0.1/16 br-aaaaaaaaaaaa\n", "Docker's network shop"),
        ("resolver 172.29.0.53\n", "a name server (172.29.0.53/32)"),
        ("ipsec 172.29.0.0/24\n", "IPsec"),
        ("file 172.16.0.0/12 /etc/wireguard/wg0.conf\n", "/etc/wireguard/wg0.conf (172.16.0.0/12)"),
        ("file 172.29.4.0/255.255.255.0 /etc/openvpn/campus.conf\n", "/etc/openvpn/campus.conf (172.29.4.0/24)"),
        ("ssh 172.29.44.5\n", "the machine that you log in from (172.29.44.5/32)"),
        (f"{OURS.replace('172.29', '172.28')}docker 172.29.0.0/16 other br-b\n", "Docker's network other"),
    ],
)  # fmt: skip
def test_a_network_that_meets_another_is_named_with_one_that_is_free(text: str, says: str) -> None:
    ok, came, cause = look(text)
    assert not ok and says in came, came
    assert re.match(r"Set docker_subnet: [\d.]+/16, which is free", cause)
    free = SITE.model_copy(update={"docker_subnet": cause.split()[2].rstrip(",")})
    assert look(text, free)[0]
    assert params.build({"site": "x", "domain": "hub.example.edu", "docker_subnet": free.docker_subnet}, "test")


def test_a_network_that_a_class_uses_already_is_not_taken_away() -> None:
    ok, came, _ = look(f"{OURS}route 172.16.0.0/12 tun0\n")
    assert ok and "a route of tun0" in came


def test_the_networks_that_students_may_reach_are_not_their_own() -> None:
    ok, came, _ = look("", SITE.model_copy(update={"student_networks": ["172.29.3.0/24"]}))
    assert not ok and "student_networks" in came


def test_a_free_one_of_the_same_size_is_found_where_much_is_taken() -> None:
    for length in (8, 16, 20, 28):
        wanted = "10.0.0.0/8" if length == 8 else f"172.29.0.0/{length}"
        _, _, cause = look("route 172.16.0.0/12 a\nroute 192.168.0.0/16 b\n", SITE.model_copy(update={"docker_subnet": wanted}))  # fmt: skip
        assert ("Set docker_subnet to" if length == 8 else "Set docker_subnet: 10.2") in cause


@pytest.mark.parametrize("network", ["127.0.0.0/8", "169.254.0.0/16", "8.8.0.0/16"])
def test_a_network_that_no_container_can_have_is_refused(network: str) -> None:
    with pytest.raises(BadInput, match="a private IPv4 network"):
        params.build({"site": "x", "domain": "hub.example.edu", "docker_subnet": network}, "test")


def test_the_servers_own_networks_are_found_by_the_script() -> None:
    script = docker_here.subnet_test(SITE).script
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert {line.split()[0] for line in done.stdout.splitlines() if line} <= {"hex", "route", "address", "ipsec", "resolver", "file", "ssh", "docker"}  # fmt: skip
    assert docker_here.subnet_test(SITE.model_copy(update={"docker_subnet": "10.255.0.0/28"})).judge(0, done.stdout)


def run(script: str, folder: Path, **programs: str) -> tuple[int, str]:
    for name, text in programs.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("there", "runs", "ends"),
    [
        ("", "shop-1", (0, "no Docker of the other kind")),
        ("installed docker.io", "", (0, "it runs nothing of others")),
        ("installed docker.io", "jupyter-0123", (0, "it runs nothing of others")),
        ("installed docker.io", "jupyter-0123\nshop-1\nshop-2", (1, "it runs shop-1 shop-2")),
        ("config-files docker.io", "shop-1", (0, "no Docker of the other kind")),
    ],
)
def test_the_docker_of_others_is_not_taken_away_under_their_containers(
    there: str, runs: str, ends: tuple[int, str], tmp_path: Path
) -> None:
    test = docker_here.engine_test(SITE)
    script = test.script.replace("/snap/", f"{tmp_path}/snap/")
    found = run(script, tmp_path, dpkg_query=f"echo '{there}'", docker=f"printf '{runs}\\n'" if runs else "true")
    assert found == ends
    assert "docker_channel: distro" in test.remedy
    assert "docker-ce" in docker_here.engine_test(SITE.model_copy(update={"docker_channel": "distro"})).remedy


def test_a_docker_of_a_snap_is_named(tmp_path: Path) -> None:
    (tmp_path / "snap/docker/current").mkdir(parents=True)
    code, said = run(docker_here.engine_test(SITE).script.replace("/snap/", f"{tmp_path}/snap/"), tmp_path)
    assert code == 1 and "snap remove docker" in said


def test_it_is_looked_at_before_anything_is_changed() -> None:
    titles = [test.title for test in preflight(SITE)]
    assert {"docker_subnet is free on the server", "the server's own containers can go on"} <= {*titles}


def test_what_docker_says_of_a_network_that_is_taken_names_the_parameter() -> None:
    assert "docker_subnet" in remedy_for("Error response from daemon: Pool overlaps with other one on this address space")  # fmt: skip
