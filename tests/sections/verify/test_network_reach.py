"""What 06_verify tries from a student's container, and what it says of the answers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

from hubrun import params
from hubrun.desired.checks import Check
from hubrun.params import Site
from hubrun.sections.verify import network_reach
from hubrun.sections.verify.network_reach import Group, Survey

SITE = Site(site="bio", domain="hub.example.edu", docker_subnet="172.29.0.0/16")
FOUND = Survey(
    own=("172.29.0.1", "172.17.0.1", "192.0.2.7", "10.1.0.5"),
    routers=("10.1.0.1",),
    resolvers=("127.0.0.53", "10.1.0.2", "9.9.9.9", "2001:db8::1"),
    ports=(22, 80, 443, 9100),
    names=("archive.example.org",),
    outside=(("archive.example.org", 443),),
)
GOOD: dict[str, Any] = {
    "names": [""], "addresses": ["203.0.113.1", "", ""], "sockets": [], "ipv6": ["lo"], "writes": [], "tmp": 512, "oom": 500,
}  # fmt: skip


def groups(site: Site = SITE) -> dict[str, Group]:
    return {group.what: group for group in network_reach.groups(site, FOUND, ["172.29.0.9"])}


def targets(word: str, site: Site = SITE) -> list[str]:
    return [f"{host}:{port}" for what, group in groups(site).items() if word in what for host, port in group.targets]


def test_everything_that_listens_on_the_server_is_tried_at_each_of_its_addresses() -> None:
    assert "172.29.0.1:9100" in targets("other ports") and "172.29.0.1:8081" not in targets("other ports")
    others = targets("other addresses")
    assert {"172.17.0.1:22", "192.0.2.7:8081", "10.1.0.5:2375", "10.1.0.5:9100"} <= set(others)
    assert targets("another student") == ["172.29.0.9:8888"]


def test_private_networks_are_tried_at_their_routers_and_name_servers_but_not_where_they_are_allowed() -> None:
    assert targets("private") == [f"{host}:{port}" for host in ("10.1.0.1", "10.1.0.2") for port in (22, 80, 443)]
    assert targets("private", SITE.model_copy(update={"student_networks": ["10.1.0.2/32"]})) == [
        f"10.1.0.1:{port}" for port in (22, 80, 443)
    ]


def judged(answers: dict[str, str] | None = None, **changes: Any) -> list[Check]:
    """The findings when each probe gives what `answers` says for its address and port, and is right otherwise."""
    tried = network_reach.groups(SITE, FOUND, ["172.29.0.9"])
    probes = [
        (answers or {}).get(f"{host}:{port}", "open" if group.open else "No route to host")
        for group in tried for host, port in group.targets
    ]  # fmt: skip
    return network_reach.judge(FOUND, tried, {**GOOD, "probes": probes, **changes}, "ada")


def failed(**given: Any) -> list[str]:
    return [check.name for check in judged(**given) if not check.ok]


def test_a_container_that_is_shut_in_passes() -> None:
    assert failed() == []


def test_a_connection_that_the_other_side_refuses_has_reached_it() -> None:
    (check,) = [each for each in judged({"172.17.0.1:443": "refused by the other side"}) if not each.ok]
    assert check.came == f"1 of {len(targets('other addresses'))}, 172.17.0.1:443 refused by the other side"
    assert failed(answers={"169.254.169.254:80": "open"}) == ["a container does not reach a cloud's metadata"]
    assert failed(answers={"169.254.169.254:80": "no answer"}) == []


def test_what_must_work_is_asked_too_so_that_a_refusal_means_something() -> None:
    assert failed(answers={"172.29.0.1:8081": "No route to host"}) == ["a container reaches the hub, which it needs"]
    assert failed(answers={"archive.example.org:443": "no answer"}) == [
        "a container reaches the internet, as the server itself does"
    ]
    assert failed(addresses=["", "", ""]) == ["a container can look up names"]


def test_a_name_of_a_neighbour_is_told_neither_forwards_nor_backwards() -> None:
    told = ["a container cannot find out who else is there"]
    assert failed(names=["jupyter-ada.jupyterhub"]) == told
    assert failed(names=["jupyter-0b1c420c0aa4.jupyterhub"]) == []
    assert failed(addresses=["203.0.113.1", "172.29.0.9", ""]) == told


def test_the_rest_of_what_shuts_a_container_in() -> None:
    assert failed(sockets=["/var/run/docker.sock"]) == ["a container has no Docker socket"]
    assert failed(ipv6=["lo", "eth0"]) == ["a container has no IPv6"]
    assert (
        failed(tmp=258019)
        == failed(writes=["/opt/conda"])
        == ["a container writes only to its home and to a /tmp of limited size"]
    )
    assert failed(oom=0) == ["when memory runs out, a student's process is killed before the hub"]


def test_the_cell_runs_where_there_is_python_alone() -> None:
    tried = [Group("", (("127.0.0.1", 1),))]
    code = network_reach.cell(FOUND, tried, ["127.0.0.1"], ["no-such-name.invalid"])
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["probes"] == ["refused by the other side"]
    assert answer["addresses"][-1] == "" and answer.keys() == {*GOOD, "probes"}


def test_on_a_node_the_hub_is_elsewhere_and_no_server_is_reached() -> None:
    nodes = [{"host": "192.0.2.7", "name": "a"}, {"host": "b.example.edu", "address": "10.0.0.9"}]
    site = params.build({"site": "x", "domain": "hub.example.edu", "homes_gb": 20, "nodes": nodes}, "test")
    found = replace(FOUND, own=(*FOUND.own, "172.28.0.1"), nodes=("172.28.0.2", "172.28.4.1"))
    tried = {group.what: group for group in network_reach.groups(site, found, ["172.28.4.9"], "172.28.0.1")}
    assert tried["the hub, which it needs"].targets == (("172.28.0.1", 8081),)
    assert (site.gateway, 8081) in tried["the server by its other addresses"].targets
    assert not any(("172.28.0.1", 8081) in group.targets for group in tried.values() if not group.open)
    assert {address for address, _ in tried["a node"].targets} == {"172.28.0.2", "172.28.4.1", "192.0.2.7", "10.0.0.9"}
    at_home = {group.what: group for group in network_reach.groups(site, found, ["172.29.0.9"])}
    assert ("172.28.0.1", 8081) in at_home["the server by its other addresses"].targets
