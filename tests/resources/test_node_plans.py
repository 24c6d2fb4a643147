"""What a site with nodes needs besides, as a table of what was found → what is done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hubrun.desired.resource import Resource
from hubrun.resources.access_list import AccessList
from hubrun.resources.bound_folder import BoundFolder
from hubrun.resources.docker import Network
from hubrun.resources.firewall import FirewallRule
from hubrun.resources.images_on_nodes import ImagesOnNodes
from hubrun.resources.ssh_identity import SshKey
from hubrun.resources.users import Member, User
from hubrun.resources.wireguard import WireGuardKey, public_key

KEY = WireGuardKey("/etc/wireguard/hubrun.key")
BOUND = BoundFolder("/srv/a", "/srv/b/a", "04")
ACL = AccessList("/srv/nbgrader", "user:1000:--x")
IMAGES = ImagesOnNodes({"hub": "hub:0123456789ab"}, {"a": "/run/a.sock", "b": "/run/b.sock"})
ROUTED = Network("hub", "172.28.4.0/22", "172.28.4.1", routed_by="hubrun")
ONE, OTHER, NONE = "1" * 32, "2" * 32, "e3b0c44298fc1c149afbf4c8996fb924"
HERE = f"here hub:0123456789ab {ONE}\n"


def on(node: str, image: str = ONE, name: str = ONE, held: str = "true hub:0123456789ab") -> str:
    return f"held {node} {held}\nthere {node} hub:0123456789ab {image}\nthere {node} hub {name}\n"


@pytest.mark.parametrize(
    ("resource", "found", "titles"),
    [
        (KEY, "", ["make /etc/wireguard/hubrun.key"]),
        (KEY, "mode=600 root\npublic=abc=", []),
        (KEY, "mode=644 root\npublic=abc=", ["close /etc/wireguard/hubrun.key to others (it was 644 root)"]),
        (KEY, "mode=600 root\npublic=", ["make /etc/wireguard/hubrun.key"]),  # a file that is no key
        (BOUND, "", ["mount /srv/a at /srv/b/a"]),
        (BOUND, "unit=yes\nbound=yes", []),
        (BOUND, "unit=yes", ["mount /srv/a at /srv/b/a"]),
        (ACL, "", ["user:1000:--x on /srv/nbgrader"]),
        (ACL, "there=yes", []),
        (SshKey("/k", "c"), "", ["make /k"]),
        (SshKey("/k", "c"), "there=yes", []),
        (Member("n", "docker"), "groups=n", ["let n be in docker"]),
        (Member("n", "docker"), "groups=n docker", []),
        (Member("n", "docker"), "groups=", ["let n be in docker"]),
        (User("n", system=True, home="/h", login_shell="/bin/sh"), "home=/h\nshell=/usr/sbin/nologin", ["shell /bin/sh for n"]),
        (User("n", system=True, home="/h", login_shell="/bin/sh"), "home=/h\nshell=/bin/sh", []),
        (ROUTED, "subnet=172.28.4.0/22\ngateway=172.28.4.1\nicc=false\ntrusts=hubrun", []),
        (ROUTED, "subnet=172.28.4.0/22\ngateway=172.28.4.1\nicc=false\ntrusts=", ["make the network hub again (172.28.4.0/22)"]),
        (ROUTED, "", ["create the network hub (172.28.4.0/22)"]),
        (FirewallRule(51820, source="192.0.2.7", protocol="udp"), "status=active", ["ufw allow from 192.0.2.7 to any port 51820 proto udp"]),
        (FirewallRule(51820, protocol="udp"), "status=active\nrule:allow 51820/udp", []),
        (FirewallRule(51820, protocol="udp"), "status=active\nrule:allow 51820/tcp", ["ufw allow 51820/udp"]),
        (IMAGES, HERE + on("a") + on("b"), []),
        (IMAGES, HERE + on("a") + "held b\n", ["send the images to b"]),
        (IMAGES, HERE + on("a", image=OTHER) + on("b", name=OTHER), ["send the images to a, b"]),
        (IMAGES, HERE + on("a", held="false hub:0123456789ab") + on("b", held="true hub:ffffffffffff"), ["send the images to a, b"]),
        (IMAGES, HERE + on("a") + "away b\n", ["send the images to b (b must answer first)"]),
        (IMAGES, f"here hub:0123456789ab {NONE}\naway a\naway b\n", ["send the images to a, b (a, b must answer first)"]),
    ],
)  # fmt: skip
def test_a_plan_leads_from_what_was_found_to_what_is_wanted(resource: Resource, found: str, titles: list[str]) -> None:
    assert [action.title for action in resource.plan(found)] == titles


@pytest.mark.parametrize(
    "resource", [KEY, BOUND, ACL, SshKey("/k", "c"), Member("n", "docker"), ROUTED, IMAGES], ids=str
)
def test_its_shell_is_valid(resource: Resource) -> None:
    for script in [resource.probe(), *(action.script for action in resource.plan(""))]:
        assert subprocess.run(["dash", "-n"], input=script, text=True, check=False).returncode == 0, script


def test_the_public_half_is_told_and_nothing_else() -> None:
    assert public_key("mode=600 root\npublic=abc=") == "abc="
    assert public_key("") == ""


def test_accounts_with_a_given_number_share_it_and_let_nobody_type_a_password() -> None:
    (action,) = User("n", system=True, home="/h", login_shell="/bin/sh", uid=1000, gid=100).plan("")
    assert (
        "--non-unique --uid 1000" in action.script
        and "--gid 100" in action.script
        and "--password '*'" in action.script
    )
    (plain,) = User("n", system=True, home="/h").plan("")
    assert plain.script == "useradd --user-group --system --no-create-home --home-dir /h --shell /usr/sbin/nologin n"


def test_the_network_of_a_node_is_made_without_masquerading() -> None:
    (action,) = ROUTED.plan("")
    assert "-o com.docker.network.bridge.enable_ip_masquerade=false" in action.script
    (own,) = Network("hub", "172.29.0.0/16", "172.29.0.1").plan("")
    assert "masquerade" not in own.script and "trusted" not in own.script


def test_a_key_is_made_once_and_for_root_alone(tmp_path: Path) -> None:
    key = WireGuardKey(str(tmp_path / "wireguard" / "hubrun.key"))
    (action,) = key.plan("")
    subprocess.run(["sh", "-eu", "-c", action.script], check=True)
    assert oct((tmp_path / "wireguard" / "hubrun.key").stat().st_mode)[-3:] == "600"
    found = subprocess.run(["sh", "-c", key.probe()], capture_output=True, text=True, check=False).stdout
    assert len(public_key(found)) == 44 and (key.plan(found) == [] or os.geteuid() != 0)


DOCKER = """#!/bin/sh
# A stand-in for docker(1): each engine is a folder of images, named by DOCKER_HOST.
folder=${DOCKER_HOST:-unix://HERE/manager}; folder=${folder#unix://}
[ -d "$folder" ] || exit 1
case "$1 $2" in
    "version "*) ;;
    "image inspect") for last; do :; done; case $4 in *Size*) echo 1048576;; *) cat "$folder/$(echo "$last" | tr : _)" 2> /dev/null || exit 1;; esac;;
    "image ls") ;;
    "container inspect") cat "$folder/held" 2> /dev/null;;
    "save "*) [ ! -e "$folder/broken" ] || exit 1; cat "$folder/hub_0123456789ab";;
    "load "*) [ ! -e "$folder/full" ] || { echo "no space left on device"; exit 1; }; cat > "$folder/hub_0123456789ab";;
    "tag "*) cp "$folder/$(echo "$2" | tr : _)" "$folder/$(echo "$3" | tr : _)";;
    "run "*) echo "true hub:0123456789ab" > "$folder/held";;
    *) exit 0;;
esac
"""


def engines(tmp_path: Path) -> ImagesOnNodes:
    for name in ("manager", "a", "b", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "manager" / "hub_0123456789ab").write_text("the image")
    (tmp_path / "bin" / "docker").write_text(DOCKER.replace("HERE", str(tmp_path)))
    (tmp_path / "bin" / "docker").chmod(0o755)
    return ImagesOnNodes({"hub": "hub:0123456789ab"}, {name: f"{tmp_path}/{name}" for name in "ab"})


def run(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    return subprocess.run(["dash", "-eu", "-c", script], capture_output=True, text=True, env=environment, check=False)


def probed(tmp_path: Path, images: ImagesOnNodes) -> list[str]:
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    found = subprocess.run(
        ["dash", "-c", images.probe()], capture_output=True, text=True, env=environment, check=False
    ).stdout
    return [action.title for action in images.plan(found)]


def test_images_are_sent_to_each_engine_that_lacks_them(tmp_path: Path) -> None:
    images = engines(tmp_path)
    assert probed(tmp_path, images) == ["send the images to a, b"]
    (action,) = images.plan("")
    done = run(tmp_path, action.script)
    assert done.returncode == 0, done
    assert probed(tmp_path, images) == []
    (tmp_path / "b" / "hub").write_text("another")
    assert probed(tmp_path, images) == ["send the images to b"]


def test_an_engine_that_takes_none_is_named_with_its_reason_and_the_others_have_theirs(tmp_path: Path) -> None:
    images = engines(tmp_path)
    (tmp_path / "a" / "full").touch()
    (action,) = images.plan("")
    done = run(tmp_path, action.script)
    assert done.returncode != 0 and "error: a: no space left on device" in done.stdout
    assert probed(tmp_path, images) == ["send the images to a"]
