"""Nodes in 04: their numbers, what the servers' files say of each, and what nobody may be shut out by."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from hubrun import params, server_paths
from hubrun.desired.nodes import Nodes
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.docker import Network
from hubrun.resources.files import Directory, File
from hubrun.resources.firewall import FirewallRule
from hubrun.resources.gone import Gone
from hubrun.resources.services import Service
from hubrun.sections.docker_spawner import node_files, node_list, node_login, node_network, nvidia
from hubrun.sections.docker_spawner.node_list import Known, Manager, Member
from hubrun.sections.hub import config
from hubrun.sections.uninstall import traces
from hubrun_hub.nodes import nodes_file


def site(*nodes: dict[str, Any], **changes: Any) -> Site:
    return params.build(
        {"site": "x", "domain": "hub.example.edu", "homes_gb": 20, "nodes": list(nodes)} | changes, "test"
    )


def known(made: Site, leaving: tuple[str, ...] = ()) -> Known:
    members = tuple(
        Member(
            node,
            n,
            f"172.28.0.{n + 1}",
            f"172.28.{4 * n}.0/22",
            f"172.28.{4 * n}.1",
            22,
            f"PUBLIC{n}",
            f"ssh-ed25519 KEY{n}",
        )
        for n, node in enumerate(made.nodes, 1)
    )
    return Known(Manager("172.28.0.1", 22, "PUBLIC0", "ssh-ed25519 KEY0"), members, leaving)


TWO = ({"host": "a.example.edu"}, {"host": "192.0.2.7", "name": "b", "address": "10.0.0.7"})


def files(resources: list[Any]) -> dict[str, File]:
    return {each.path: each for each in resources if isinstance(each, File)}


# -- numbers


def listed(**numbers: int) -> str:
    return json.dumps({"manager": {}, "nodes": [{"name": name, "number": number} for name, number in numbers.items()]})


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (["a", "b"], "", {"a": 1, "b": 2}),
        (["b", "a"], listed(a=1, b=2), {"a": 1, "b": 2}),
        (["c", "b"], listed(b=2), {"c": 1, "b": 2}),  # the lowest free one
        (["c", "b"], listed(a=1, b=2), {"c": 3, "b": 2}),  # a goes just now, and keeps its own until it is gone
        ([], listed(a=1), {}),
    ],
)
def test_a_node_keeps_its_number_as_long_as_it_is_there(names: list[str], text: str, expected: dict[str, int]) -> None:
    assert node_list.numbers(names, node_list.before(text)) == expected


@pytest.mark.parametrize("text", ["{", "[]", '{"nodes": [{"name": "a"}]}', '{"nodes": [{"name": "a", "number": "x"}]}'])
def test_a_list_that_cannot_be_read_is_never_numbered_anew(text: str) -> None:
    with pytest.raises(BadInput, match="nodes.json"):
        node_list.before(text)


def test_the_hub_reads_the_list(tmp_path: Path) -> None:
    made = site(*TWO)
    (tmp_path / "nodes.json").write_text(node_list.text(made, known(made)))
    read = nodes_file.read(tmp_path / "nodes.json")
    assert (read.address, read.gpus) == ("172.28.0.1", 0)
    assert [(n.name, n.number, n.host, n.address, n.subnet, n.gateway) for n in read.nodes] == [
        ("a", 1, "a.example.edu", "172.28.0.2", "172.28.4.0/22", "172.28.4.1"),
        ("b", 2, "192.0.2.7", "172.28.0.3", "172.28.8.0/22", "172.28.8.1"),
    ]


@pytest.mark.parametrize(
    ("nodes", "here", "there"),
    [
        ([{"host": "a"}], 2, [0]),
        ([{"host": "a", "gpus": 4}, {"host": "b"}], 0, [2, 0]),
        ([{"host": "a", "gpus": 1}], 0, [1]),
    ],
)  # fmt: skip
def test_gpus_are_where_somebody_says_that_they_are(nodes: list[dict[str, Any]], here: int, there: list[int]) -> None:
    made = site(*nodes, gpus=2)
    assert nvidia.here(made) == here
    assert [nvidia.here(nvidia.on_node(made, node)) for node in made.nodes] == there


# -- the network


def test_the_middle_of_the_star_knows_each_node_by_its_own_addresses_alone() -> None:
    made = site(*TWO)
    text = files(node_network.manager(made, known(made)))[server_paths.WIREGUARD].content
    assert "Address = 172.28.0.1/16\n" in text and "ListenPort = 51820\n" in text
    peers = [dict(re.findall(r"^(\w+) = (.*)$", part, re.MULTILINE)) for part in text.split("[Peer]")[1:]]
    assert peers == [
        {"PublicKey": "PUBLIC1", "AllowedIPs": "172.28.0.2/32, 172.28.4.0/22"},
        {"PublicKey": "PUBLIC2", "AllowedIPs": "172.28.0.3/32, 172.28.8.0/22", "Endpoint": "10.0.0.7:51820"},
    ]
    assert "PrivateKey" not in text


def test_a_node_whose_name_nobody_knows_any_more_keeps_the_others_connected() -> None:
    made = site(*TWO)
    text = files(node_network.manager(made, known(made)))[server_paths.WIREGUARD].content
    interface, _, peers = text.partition("[Peer]")
    assert "Endpoint = a.example.edu" not in peers
    assert "\nPostUp = timeout 60 wg set %i peer PUBLIC1 endpoint a.example.edu:51820 || true &\n" in interface


@pytest.mark.parametrize(("has", "again"), [("172.28.0.3/32", False), ("172.28.0.2/32", True), ("", True)])
def test_an_interface_gets_the_address_of_a_node_whose_number_is_another_one(
    tmp_path: Path, has: str, again: bool
) -> None:
    unit = config.render("wg-quick-reload.conf", site(*TWO))
    conf = tmp_path / "hubrun.conf"
    conf.write_text("[Interface]\nAddress = 172.28.0.3/32\n\n[Peer]\n")
    said, does = tmp_path / "said", tmp_path / "ip"
    does.write_text(
        f'#!/bin/sh\n[ "$1" != -o ] || exec echo "5: hubrun    inet {has} scope global hubrun"\necho "$@" >> {said}\n'
    )
    (tmp_path / "wg").write_text(
        "#!/bin/sh\nprintf 'PUBLIC1\\t172.28.0.2/32 172.28.4.0/22\\nPUBLIC2\\t172.28.0.3/32\\n'\n"
    )
    for each in (does, tmp_path / "wg"):
        each.chmod(0o755)
    for line in re.findall('^ExecReload=/bin/sh -c "(.*)"$', unit, re.MULTILINE)[1:]:
        # As systemd does it: systemd.service(5), "Command lines".
        text = (
            line.replace('\\"', '"')
            .replace("$$", "$")
            .replace("/etc/wireguard/%i.conf", str(conf))
            .replace("%i", "hubrun")
        )
        subprocess.run(["sh", "-c", text], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    addresses = ["-4 address flush dev hubrun", "-4 address add 172.28.0.3/32 dev hubrun"]
    routes = [f"-4 route replace {each} dev hubrun" for each in ("172.28.0.2/32", "172.28.4.0/22", "172.28.0.3/32")]
    assert said.read_text().splitlines() == [*(addresses if again else []), *routes]


@pytest.mark.parametrize(
    ("changes", "endpoint"),
    [
        ({}, "hub.example.edu:51820"),
        ({"public_address": "192.0.2.1"}, "192.0.2.1:51820"),
        ({"public_address": "192.0.2.1", "manager_address": "2001:db8::1"}, "[2001:db8::1]:51820"),
    ],
)
def test_a_node_knows_the_middle_alone(changes: dict[str, Any], endpoint: str) -> None:
    made = site(*TWO, **changes)
    text = files(list(node_network.node(made, known(made))(made.nodes[1])))[server_paths.WIREGUARD].content
    assert "Address = 172.28.0.3/32\n" in text and text.count("[Peer]") == 1
    assert "AllowedIPs = 172.28.0.1/32\n" in text and f"Endpoint = {endpoint}\n" in text
    assert "PersistentKeepalive = 25\n" in text and "PUBLIC0" in text


def test_firewalls_let_in_what_is_needed_and_from_there() -> None:
    made = site(*TWO)
    rules = {each.rule for each in node_network.manager(made, known(made)) if isinstance(each, FirewallRule)}
    assert rules == {
        "allow from 172.28.0.0/16 to 172.28.0.1 port 8081 proto tcp",
        "allow from 172.28.0.0/16 to 172.28.0.1 port 2049 proto tcp",
        "allow 51820/udp",  # a name: ufw has no rule for one
        "allow from 10.0.0.7 to any port 51820 proto udp",
    }
    own = {each.rule for each in node_network.node(made, known(made))(made.nodes[0]) if isinstance(each, FirewallRule)}
    assert own == {"allow 51820/udp", "allow from 172.28.0.1 to 172.28.0.2 port 22 proto tcp"}


def test_a_nodes_students_have_a_network_of_their_own() -> None:
    made = site(*TWO)
    found = list(node_network.students(made, known(made))(made.nodes[1]))
    (network,) = (each for each in found if isinstance(each, Network))
    assert network == Network("jupyterhub", "172.28.8.0/22", "172.28.8.1", routed_by="hubrun")


# -- files


def test_nfs_is_for_the_nodes_addresses_alone_and_nobody_is_root_there() -> None:
    made = site(*TWO)
    text = files(node_files.shared(made, known(made), {}))["/etc/exports.d/hubrun.exports"].content
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line.split()[0].removeprefix("/srv/jupyterhub/nodes/tree") for line in lines] == [
        "",
        "/people",
        "/snapshots",
        "/courses",
    ]
    for number, line in enumerate(lines):
        clients = re.findall(r"(\S+?)\((\S+?)\)", line)
        assert [client for client, _ in clients] == ["172.28.0.2", "172.28.0.3"]
        assert all(
            {"all_squash", "anonuid=1000", "anongid=100", f"fsid={number}"} <= set(options.split(","))
            for _, options in clients
        )
    assert (
        "host = 172.28.0.1\n" in files(node_files.shared(made, known(made), {}))["/etc/nfs.conf.d/hubrun.conf"].content
    )


def test_a_node_that_makes_up_a_file_handle_reaches_no_other_disk() -> None:
    made = site(*TWO)
    text = files(node_files.shared(made, known(made), {}))["/etc/exports.d/hubrun.exports"].content
    unchecked = {line.split()[0] for line in text.splitlines() if "no_subtree_check" in line}
    # What is on the disk of homes, and that alone.
    assert unchecked == {f"/srv/jupyterhub/nodes/tree/{each}" for each in ("people", "snapshots")}
    (root,) = (line for line in text.splitlines() if "fsid=0)" in line)
    assert root.count("(ro,subtree_check,") == 2 and "rw" not in root


def test_the_folder_of_the_nodes_is_closed_to_accounts_of_the_server() -> None:
    made = site(*TWO)
    assert Directory("/srv/jupyterhub/nodes", 0o700) in node_files.shared(made, known(made), {})


@pytest.mark.parametrize("how", ["nfs", "sshfs"])
def test_files_on_a_node_are_closed_to_its_other_accounts(how: str) -> None:
    made = site(*TWO, node_files=how)
    found = node_files.mounted(made, known(made))
    closed = found.index(Directory("/srv/jupyterhub", 0o710, "root:docker"))
    assert closed < found.index(Service(server_paths.FILES_UNIT)), "before anything is mounted there"


def test_with_sshfs_each_node_has_a_key_for_its_own_address_that_opens_files_alone() -> None:
    made = site(*TWO, node_files="sshfs")
    found = files(node_files.shared(made, known(made), {"a": "ssh-ed25519 AAA x", "b": ""}))
    assert 'restrict,from="172.28.0.2" ssh-ed25519 AAA x\n' in found["/etc/ssh/hubrun-files.keys"].content
    assert "172.28.0.3" not in found["/etc/ssh/hubrun-files.keys"].content
    assert "ForceCommand internal-sftp" in found["/etc/ssh/sshd_config.d/hubrun-files.conf"].content
    assert "/etc/exports.d/hubrun.exports" not in found


def test_an_sshfs_that_refuses_links_which_lead_up_is_told_not_to() -> None:
    made = site(*TWO, node_files="sshfs")
    unit = files(node_files.mounted(made, known(made)))[f"/etc/systemd/system/{server_paths.FILES_UNIT}"].content
    option = "HostKeyAlias=manager$$(sshfs --help 2>&1 | grep -qw no_contain_symlinks && echo ,no_contain_symlinks) -p"
    assert option in unit


# -- the connection


def test_the_key_opens_one_program_and_no_shell() -> None:
    line = files(node_login.account(site(*TWO), "ssh-ed25519 AAA hubrun"))["/var/lib/hubrun-node/.ssh/authorized_keys"]
    assert line.content == 'restrict,port-forwarding,command="/usr/local/lib/hubrun/node-link" ssh-ed25519 AAA hubrun\n'
    assert line.owner == "root:root"
    assert files(node_login.account(site(*TWO), ""))["/var/lib/hubrun-node/.ssh/authorized_keys"].content == ""


def test_host_keys_are_known_by_the_nodes_names() -> None:
    made = site(*TWO)
    found = files(node_login.connections(made, known(made)))["/etc/jupyterhub/nodes/known_hosts"]
    assert found.content == "a ssh-ed25519 KEY1\nb ssh-ed25519 KEY2\n"


# -- one server, as before


def test_a_site_without_nodes_has_nothing_of_them() -> None:
    made = site()
    none = known(made)
    assert node_network.own_keys(made) == node_network.manager(made, none) == node_files.shared(made, none, {}) == []
    assert node_login.own_key(made) == node_login.connections(made, none) == node_list.leaving_tests(none) == []
    assert config.render("hubrun-docker-filter.socket", made).count("ListenStream") == 1
    for name in ("student-network.nft", "student-network.sh", "40-docker.py"):
        text = config.render(name, made)
        assert "172.28" not in text and 'iifname "hubrun"' not in text and "DOCKER-USER" not in text


def test_what_is_left_of_the_last_node_goes() -> None:
    made = site()
    gone = known(made, ("a",))
    (test,) = node_list.leaving_tests(gone)
    assert "a, which is taken out of `nodes`, can go" in test.title and "node drain SITE a" in test.remedy
    for each in (
        node_network.manager(made, gone),
        node_files.shared(made, gone, {}),
        node_login.connections(made, gone),
    ):
        assert any(isinstance(one, Gone) for one in each)


@pytest.mark.parametrize(("network", "moving"), [("172.28.0.0/16", ()), ("172.30.0.0/16", ("a",))])
def test_a_node_gets_another_network_when_nobodys_server_is_there(network: str, moving: tuple[str, ...]) -> None:
    before = site({"host": "a"})
    made = site({"host": "a"}, {"host": "b"}, nodes_network=network)

    class Asked:
        servers: ClassVar = {name: SimpleNamespace(session=SimpleNamespace(host_key=name)) for name in "ab"}

        def __iter__(self) -> Any:
            return iter(made.nodes)

        def probe(self, snippet: str) -> dict[str, Any]:
            return {name: SimpleNamespace(stdout="") for name in "ab"}

    answers = [SimpleNamespace(stdout=text) for text in (node_list.text(before, known(before)), "")]
    server = SimpleNamespace(site=made, probe=lambda *asked: answers, session=SimpleNamespace(host_key="own"))
    every = node_list.known(cast(Server, server), cast(Nodes, Asked()))
    assert (every.leaving, every.moving) == ((), moving)
    assert [test.title.partition(",")[0] for test in node_list.leaving_tests(every)] == list(moving)


@pytest.mark.parametrize("age,there,code,says", [(1, 2, 1, "2 servers of people are there"), (1, 0, 0, "nobody's"), (60, 2, 0, "it is away"), (None, 2, 0, "it is away")])  # fmt: skip
def test_a_node_goes_when_nobodys_server_is_there(
    tmp_path: Path, age: int | None, there: int, code: int, says: str
) -> None:
    (test,) = node_list.leaving_tests(known(site(), ("a",)))
    (tmp_path / "docker").write_text("#!/bin/sh\n" + "echo id\n" * there)
    (tmp_path / "docker").chmod(0o755)
    state = tmp_path / "state.json"
    if age is not None:
        state.touch()
        os.utime(state, (state.stat().st_mtime - age,) * 2)
    script = test.script.replace("/run/hubrun-nodes/a/state.json", str(state))
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert done.returncode == code and says in done.stdout


# -- the rules

needs_nft = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nft")


@needs_nft
@pytest.mark.parametrize("names", [{}, {"node": True, "subnet": "172.28.4.0/22", "exams": False}])
def test_the_rules_of_the_server_and_of_a_node_can_be_loaded(tmp_path: Path, names: dict[str, Any]) -> None:
    made = site(*TWO, http_proxy="http://proxy.example.edu:3128")
    (tmp_path / "rules").write_text(config.render("student-network.nft", made, **names))
    done = subprocess.run(
        ["unshare", "--net", "nft", "-c", "-f", str(tmp_path / "rules")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# -- taken away again


@pytest.mark.parametrize("how", ["nfs", "sshfs"])
def test_each_file_for_nodes_is_looked_for_and_taken_away_at_the_end(how: str) -> None:
    made = site(*TWO, node_files=how)
    every = known(made)
    brought = [
        *node_files.shared(made, every, {}), *node_network.manager(made, every), *node_network.node(made, every)(made.nodes[0])
    ]  # fmt: skip
    paths = [each.path for each in brought if isinstance(each, File)]
    assert len(paths) > 4
    looked, taken = traces.NODES_LOOK.split(), traces.NODES.split()
    for path in paths:
        assert path in looked and (path in taken or path.rpartition("/")[0] in taken), path
