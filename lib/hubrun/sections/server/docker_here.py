"""The server's own Docker and networks, before ours come beside them: what of them would not go together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from typing_extensions import override

from hubrun.desired.checks import Check, Test
from hubrun.params import Site
from hubrun.server_paths import INTERFACE, NETWORK, WIREGUARD
from hubrun.shell import quote

# What a line names: KIND NETWORK WHOSE. `ip` need not be there on a fresh server; then nothing is but the main table.
_NETWORKS = """
awk 'NR > 1 {print "hex " $2 " " $8 " " $1}' /proc/net/route
ip -4 route show table all 2> /dev/null | awk '
    $1 ~ /^(local|unreachable|blackhole|prohibit|throw)$/ {$1 = ""; $0 = $0}
    $1 ~ /^[0-9]/ {dev = ""; for (i = 2; i < NF; i++) if ($i == "dev") dev = $(i + 1); print "route " $1 " " dev}'
ip -4 -o addr show 2> /dev/null | awk '{print "address " $4 " " $2}'
ip xfrm policy 2> /dev/null | awk '$1 == "src" && $3 == "dst" {print "ipsec " $2; print "ipsec " $4}'
cat /etc/resolv.conf /run/systemd/resolve/resolv.conf 2> /dev/null | awk '$1 == "nameserver" {print "resolver " $2}'
for file in /etc/wireguard/*.conf; do
    [ -f "$file" ] && sed -nE 's/^ *(AllowedIPs|Address) *= *//p' "$file" | tr ',' '\\n' | awk -v f="$file" 'NF {print "file " $1 " " f}'
done
for file in /etc/openvpn/*.conf /etc/openvpn/*/*.conf; do
    [ -f "$file" ] && awk -v f="$file" '($1 == "route" || $1 == "server") && $3 ~ /^[0-9.]+$/ {print "file " $2 "/" $3 " " f}' "$file"
done
[ -z "${SSH_CONNECTION:-}" ] || echo "ssh ${SSH_CONNECTION%% *}"
if command -v docker > /dev/null; then
    docker network ls -q 2> /dev/null | xargs -r docker network inspect --format '{{$n := .}}{{range .IPAM.Config}}docker {{.Subnet}} {{$n.Name}} br-{{slice $n.Id 0 12}}
{{end}}'
fi
true
"""
_SAYS = {
    "docker": "Docker's network {}", "ipsec": "IPsec", "resolver": "a name server", "ssh": "the machine that you log in from",
    "student_networks": "student_networks",
}  # fmt: skip

# Removing the packages of the other kind stops the engine, and with it what it runs.
_ENGINE = """
[ ! -d /snap/docker/current ] || { echo "Docker is here as a snap, and two of them cannot be at work: snap remove docker, when nothing in it is needed"; exit 1; }
dpkg-query -W -f '${db:Status-Status} ${Package}\\n' {} 2> /dev/null | grep -q '^installed ' || { echo "no Docker of the other kind"; exit 0; }
others=$(docker ps --format '{{.Names}}' 2> /dev/null | grep -vE '^(jupyter-|hubrun-image(-|$))' | tr '\\n' ' ')
[ -z "$others" ] && { echo "it runs nothing of others"; exit 0; }
echo "it runs $others"
exit 1
"""


@dataclass(frozen=True)
class _SubnetTest(Test):
    """docker_subnet, or another parameter with a network of the site, compared with all that _NETWORKS names."""

    site: Site | None = None
    parameter: str = "docker_subnet"

    @override
    def judge(self, exit_code: int, text: str, at: float = 0.0) -> Check:
        assert self.site
        wanted = IPv4Network(getattr(self.site, self.parameter))
        taken = list(_taken(text, self.site))
        ours = any(whose == NETWORK and network == wanted for network, whose in _of_docker(text))
        ours = ours or (self.parameter == "nodes_network" and _has_interface(text, wanted))
        met = list(dict.fromkeys(f"{says} ({network})" for network, says in taken if network.overlaps(wanted)))
        came = f"{wanted} meets {', '.join(met)}" if met else f"{wanted} meets nothing"
        free = next((each for each in _candidates(wanted) if not any(each.overlaps(net) for net, _ in taken)), None)
        do = f"Set {self.parameter}: {free}, which is free on this server" if free else self.remedy
        # One that is in use is not taken away from a class: then it is only said.
        return Check(self.title, exit_code == 0 and (ours or not met), "a network that nothing here uses", came, do)


def subnet_test(site: Site) -> Test:
    """A test that the students' network meets no route, name server, VPN or other network of the server."""
    remedy = "Set docker_subnet to a private network that is free here and in your institution"
    return _SubnetTest("docker_subnet is free on the server", _NETWORKS, remedy=remedy, site=site)


def nodes_network_test(site: Site) -> Test:
    """The same of the network between the site's server and its nodes, on either."""
    remedy = "Set nodes_network to a private network that is free on all servers and in your institution"
    title = "nodes_network is free on the server"
    return _SubnetTest(title, _NETWORKS, remedy=remedy, site=site, parameter="nodes_network")


def engine_test(site: Site) -> Test:
    """A test that no containers of others stop because Docker comes from another place from now on."""
    other = "docker.io" if site.docker_channel == "docker-ce" else "docker-ce"
    keep = "distro" if site.docker_channel == "docker-ce" else "docker-ce"
    return Test(
        "the server's own containers can go on", quote(_ENGINE, other),
        remedy=f"With docker_channel: {keep} a Docker that is here as {other} stays; or stop these containers first",
    )  # fmt: skip


def _has_interface(text: str, wanted: IPv4Network) -> bool:
    """Whether the server is in the network already: then it is not taken away from a class."""
    there = (_network(at) for kind, at, dev, *_ in _lines(text) if kind == "address" and dev == INTERFACE)
    return any(network is not None and network.overlaps(wanted) for network in there)


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1:
            yield [*words, "", ""]


def _of_docker(text: str) -> list[tuple[IPv4Network, str]]:
    found = ((_network(network), whose) for kind, network, whose, *_ in _lines(text) if kind == "docker")
    return [(network, whose) for network, whose in found if network]


def _taken(text: str, site: Site) -> Iterator[tuple[IPv4Network, str]]:
    """Networks of others on the server, and what each is. Ways to the whole outside are none."""
    lines = list(_lines(text))
    known = {bridge: name for kind, _, name, bridge, *_ in lines if kind == "docker"}
    # While Docker does not answer, its bridge is known by the hub's address.
    gateway = f"{site.gateway}/{IPv4Network(site.docker_subnet).prefixlen}"
    own = {dev for kind, at, dev, *_ in lines if kind == "address" and at == gateway and dev.startswith("br-")}
    own = {dev for dev in own if known.get(dev, NETWORK) == NETWORK}
    own |= {bridge for bridge, name in known.items() if name == NETWORK}
    lines += [["student_networks", network, "", ""] for network in site.student_networks]
    for kind, at, whose, *rest in lines:
        network = _from_proc(at, whose) if kind == "hex" else _network(at)
        dev = rest[0] if kind == "hex" else whose
        if network is None or network.prefixlen < 8 or network.is_loopback or dev in own or dev == "lo":
            continue
        if dev == INTERFACE or (kind == "file" and whose == WIREGUARD) or (kind == "docker" and whose == NETWORK):
            continue
        if kind in ("hex", "route", "address") and dev in known:
            continue  # it is named with its network
        yield network, _SAYS.get(kind, whose if kind == "file" else f"a route of {dev or 'the server'}").format(whose)


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None  # IPv6, or no network


def _from_proc(destination: str, mask: str) -> IPv4Network | None:
    """Of /proc/net/route, where addresses are in the byte order of the processor: all of ours are little-endian."""
    try:
        parts = [ipaddress.IPv4Address(bytes.fromhex(each)[::-1]) for each in (destination, mask)]
        return IPv4Network(f"{parts[0]}/{parts[1]}")
    except ValueError:
        return None


def _candidates(wanted: IPv4Network) -> Iterator[IPv4Network]:
    """Private networks (RFC 1918) of this size, those first that are seldom in use."""
    for block in ("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"):
        whole = IPv4Network(block)
        if wanted.prefixlen >= whole.prefixlen:
            count = 2 ** (wanted.prefixlen - whole.prefixlen)
            size = whole.num_addresses // count
            for number in range(count - 1, max(count - 257, -1), -1):
                yield IPv4Network((int(whole[0]) + number * size, wanted.prefixlen))
