"""What must hold on each node before anything is changed on it, and on the site's server for its nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun import server_paths
from hubrun.desired.checks import Check, Test
from hubrun.desired.nodes import Nodes
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.params import Site
from hubrun.params.nodes import Node
from hubrun.resources.system import HostEntry
from hubrun.sections.server import docker_here, preflight
from hubrun.shell import quote

# A hub that reads a node's clock as its own (who was silent for how long) must be able to.
CLOCK_SECONDS = 2
_CLOCK = "date +%s.%N"
_SWARM = """
[ ! -e /var/lib/docker/swarm/docker-state.json ] || { echo "it is a member of a Swarm"; exit 1; }
echo "it is in no Swarm"
"""
_TUNNEL = """
modprobe -n wireguard 2> /dev/null || [ -d /sys/module/wireguard ] && { echo "the kernel has it"; exit 0; }
command -v wireguard-go > /dev/null && [ -c /dev/net/tun ] && { echo "wireguard-go does it"; exit 0; }
echo "the kernel has no WireGuard"
exit 1
"""
_NFS = "grep -qw {} /proc/filesystems || modprobe -n {} 2> /dev/null && echo 'the kernel has it'"
_FUSE = "[ -c /dev/fuse ] && echo 'it has FUSE'"
_OTHER_EXPORTS = """
found=$(cat /etc/exports /etc/exports.d/*.exports 2> /dev/null | grep -v '^ *#' | grep -v '^{} *' | grep -v '^{}/' | grep . | head -n 1)
[ -z "$found" ] && echo "it exports nothing else" && exit 0
echo "it exports ${found%% *}"
exit 1
"""


@dataclass(frozen=True)
class _ClockTest(Test):
    """A node's clock, compared with that of the site's server. ahead: by how many seconds that one is ahead of this machine's."""

    ahead: float = 0.0

    @override
    def judge(self, exit_code: int, text: str, at: float = 0.0) -> Check:
        check = super().judge(exit_code, text, at)
        if not check.ok:
            return check
        skew = float(text) - at - self.ahead
        return Check(
            self.title, abs(skew) <= CLOCK_SECONDS, f"within {CLOCK_SECONDS} s", f"{skew:.1f} s off", self.remedy
        )


def manager_tests(site: Site) -> list[Test]:
    """Tests of the site's server; none without nodes."""
    if not site.nodes:
        return []
    tree = f"{server_paths.NODES_FILES}/tree"
    nfs = [
        Test("the kernel can share files by NFS", quote(_NFS, "nfsd", "nfsd"), remedy="Use a kernel of the distribution, or node_files: sshfs"),
        Test(
            "the server shares nothing else by NFS", _OTHER_EXPORTS.replace("{}", tree),
            remedy="04 lets NFS listen for nodes alone: take these exports away, or use node_files: sshfs",
        ),
    ]  # fmt: skip
    return [docker_here.nodes_network_test(site), _tunnel(), *(nfs if site.node_files == "nfs" else [])]


def tests(server: Server) -> list[Test]:
    """Tests of a node: it is as the site's server is, and nothing is in the way. None without nodes."""
    site, known = server.site, server.facts
    if not site.nodes:
        return []
    (asked,) = server.probe(_CLOCK)
    ahead = float(asked.stdout or asked.at) - asked.at
    at = site.manager_address or site.public_address or site.domain
    system = quote(
        '. /etc/os-release\necho "$ID $VERSION_ID $(dpkg --print-architecture)"\n[ "$ID $VERSION_ID $(dpkg --print-architecture)" = {} ]',
        f"{known['os']} {known['version']} {known['arch']}",
    )
    files = Test(
        "the kernel has NFS",
        quote(_NFS, "nfs4", "nfs"),
        remedy="Use a kernel of the distribution, or node_files: sshfs",
    )
    files = files if site.node_files == "nfs" else Test("it has FUSE, for sshfs", _FUSE, remedy="Use node_files: nfs")
    return [
        Test("it runs what the site's server runs", system, remedy=f"Install {known['name']} ({known['arch']}) on it, as on the site's server"),
        *preflight.basics(site),
        _ClockTest(
            "its clock is that of the site's server", _CLOCK, prints="^[0-9.]+$", ahead=ahead,
            remedy="Set both clocks: timedatectl set-ntp true",
        ),
        Test("it is in no Swarm", _SWARM, remedy="docker swarm leave: a member of a Swarm cannot keep containers while Docker restarts"),
        docker_here.engine_test(site),
        docker_here.nodes_network_test(site),
        _tunnel(),
        files,
        Test(
            f"it knows an address of {at}", quote("getent ahostsv4 {} | head -n 1", at), prints="^[0-9]",
            remedy="Set manager_address to one by which nodes reach the site's server",
        ),
        *preflight.outside(site.model_copy(update={"tls": "files", "base_image": "none", "acme_dns": "none"})),
    ]  # fmt: skip


def own_name(nodes: Nodes) -> Callable[[Node], Sequence[Resource]]:
    """The line of a node's /etc/hosts by which it knows its own name, by node."""
    return lambda node: [HostEntry("127.0.1.1", nodes.servers[node.name].facts["hostname"])]


def _tunnel() -> Test:
    return Test(
        "WireGuard is possible", _TUNNEL,
        remedy="Use a kernel of the distribution; where there is none, as in containers: apt-get install wireguard-go",
    )  # fmt: skip
