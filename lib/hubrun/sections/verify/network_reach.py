"""What a student's container reaches: everything that it must and must not, tried from a student's kernel in one cell."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hubrun.desired.checks import Check
from hubrun.desired.server import Server
from hubrun.errors import CheckFailed
from hubrun.lms.browser import Browser
from hubrun.params import Site

# SSH, nginx, the proxy and its API, the hub, Docker (2375 plain, 2376 TLS). What else listens on the server is added.
HUB = 8081
PORTS = (22, 80, 443, 8000, 8001, 8081, 2375, 2376)
# Where clouds keep what belongs to the machine, credentials among it: link-local for most; Azure's second address, and
# Alibaba's, are not link-local ones.
METADATA = (("169.254.169.254", 80), ("168.63.129.16", 80), ("168.63.129.16", 32526), ("100.100.100.200", 80))
# What students ask most, besides the archives that the server's own packages come from: what of these the server itself
# reaches must be reached from a container too.
OUTSIDE = (("github.com", 443),)

# On the server: its addresses, routers, name servers, listening ports; and what of the outside it reaches itself.
_SURVEY = """
ip -4 -o addr show | awk '$2 != "lo" {sub("/.*", "", $4); print "own " $4}'
ip -4 route show default | awk '{for (i = 1; i < NF; i++) if ($i == "via") print "router " $(i + 1)}'
cat /etc/resolv.conf /run/systemd/resolve/resolv.conf 2>/dev/null | awk '$1 == "nameserver" {print "resolver " $2}'
grep -oE '"(address|gateway)": "[0-9.]+"' /etc/jupyterhub/nodes.json 2>/dev/null | tr -d '",' | awk '{print "node " $2}'
ss -ltnH | awk '$4 !~ /^127\\.|^\\[::1\\]/ {sub(".*:", "", $4); print "port " $4}'
archives=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | sort -u |
    sed -nE 's#^http://([^/:@]+)(/.*)?$#\\1:80#p; s#^https://([^/:@]+)(/.*)?$#\\1:443#p')
for at in {} $archives; do
    address=$(getent ahostsv4 "${at%:*}" | awk '{print $1; exit}')
    [ -n "$address" ] || continue
    echo "name ${at%:*}"
    # A mirror on a private network is closed to containers on purpose.
    case $address in 10.*|127.*|169.254.*|192.168.*|172.1[6-9].*|172.2[0-9].*|172.3[01].*) continue;; esac
    timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "${at%:*}" "${at#*:}" 2>/dev/null && echo "outside $at"
done
true
"""

# A connection that is refused by the other side has reached it. Threads: what gives no answer takes its 2 seconds once.
_CELL = """
import concurrent.futures, errno, json, os, socket
def probe(target):
    try:
        socket.create_connection(tuple(target), 2).close()
        return "open"
    except ConnectionRefusedError:
        return "refused by the other side"
    except socket.gaierror:
        return "its name is not known"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return os.strerror(error.errno or 0)
def name_of(address):
    try:
        return socket.gethostbyaddr(address)[0]
    except OSError:
        return ""
def address_of(name):
    try:
        return socket.gethostbyname(name)
    except OSError:
        return ""
def writes(folder):
    try:
        path = os.path.join(folder, ".hubrun-verify")
        open(path, "w").close()
        os.remove(path)
        return True
    except OSError:
        return False
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    found = {
        "probes": list(pool.map(probe, TARGETS)),
        "names": list(pool.map(name_of, NEIGHBOURS)),
        "addresses": list(pool.map(address_of, NAMES)),
    }
found["sockets"] = [path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)]
found["ipv6"] = [line.split()[5] for line in open("/proc/net/if_inet6")] if os.path.exists("/proc/net/if_inet6") else []
found["writes"] = [folder for folder in ("/", "/etc", "/opt", "/opt/conda", "/usr/local", "/var", "/var/log") if writes(folder)]
found["tmp"] = os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize // 2**20
found["oom"] = int(open("/proc/self/oom_score_adj").read())
print(json.dumps(found))
"""


_HUB_AT = "import os; print(os.environ['JUPYTERHUB_API_URL'])"


@dataclass(frozen=True)
class Group:
    """Addresses and ports that are one finding; `open`: they must be reached, else none of them may be."""

    what: str
    targets: tuple[tuple[str, int], ...]
    open: bool = False


@dataclass(frozen=True)
class Survey:
    """What the server says of itself, and of its nodes' addresses: see _SURVEY."""

    own: tuple[str, ...]
    routers: tuple[str, ...]
    resolvers: tuple[str, ...]
    ports: tuple[int, ...]
    names: tuple[str, ...]
    outside: tuple[tuple[str, int], ...]
    nodes: tuple[str, ...] = ()


def survey(server: Server) -> Survey:
    """Ask the server what there is to reach. Raises CheckFailed when it does not say."""
    text = server.run(_SURVEY, [f"{host}:{port}" for host, port in OUTSIDE]).stdout
    lines = [line.split() for line in text.splitlines() if len(line.split()) == 2]

    def every(word: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for name, value in lines if name == word))

    if server.site.gateway not in every("own") or str(HUB) not in every("port"):
        raise CheckFailed(
            "the server's addresses and ports are not known, so nobody can say what a container reaches of them",
            server.site.host, "On the server, `ip -4 addr` must show the students' network, and `ss -ltn` the hub's port 8081",
        )  # fmt: skip
    outside = tuple((host, int(port)) for host, _, port in (each.partition(":") for each in every("outside")))
    return Survey(
        every("own"),
        every("router"),
        every("resolver"),
        tuple(int(port) for port in every("port")),
        every("name"),
        outside,
        tuple(each for each in every("node") if each not in every("own")),
    )


def groups(site: Site, found: Survey, neighbours: Sequence[str], hub: str = "") -> list[Group]:
    """What is tried, by what it would mean to reach it. hub: at which address the container has the hub; "" for the server's
    in its own students' network."""
    ports, hub = tuple(dict.fromkeys((*PORTS, *found.ports))), hub or site.gateway
    others = [address for address in found.own if address != hub]
    outer = [each.reached_at for each in site.nodes if re.fullmatch(r"[0-9.]+", each.reached_at)]
    allowed = [ipaddress.IPv4Network(each) for each in site.student_networks]

    def inside(addresses: Iterable[str]) -> list[str]:
        """Those of the addresses that are private, are not the server's own, and that no parameter allows."""
        v4 = [ipaddress.IPv4Address(each) for each in addresses if re.fullmatch(r"[0-9.]+", each)]
        return [
            str(each) for each in v4
            if each.is_private and not each.is_loopback and str(each) not in found.own
            and not any(each in network for network in allowed)
        ]  # fmt: skip

    private = [(address, port) for address in inside((*found.routers, *found.resolvers)) for port in (22, 80, 443)]
    made = [
        Group("the hub, which it needs", ((hub, 8081),), open=True),
        Group("the internet, as the server itself does", found.outside, open=True),
        Group("the proxy to the outside (http_proxy)", (site.proxy_port,) if site.http_proxy else (), open=True),
        Group("another student's server", tuple((address, 8888) for address in neighbours)),
        Group(
            "the server's other ports, by its address in the students' network",
            tuple((hub, port) for port in ports if port != 8081),
        ),
        Group("a node", tuple((address, port) for address in dict.fromkeys((*found.nodes, *outer)) for port in ports)),
        Group("the server by its other addresses", tuple((address, port) for address in others for port in ports)),
        Group("a cloud's metadata", METADATA),
        Group("the private networks around the server", tuple(private)),
    ]
    return [group for group in made if group.targets]


def cell(found: Survey, tried: Sequence[Group], neighbours: Sequence[str], names: Sequence[str]) -> str:
    """The code for a student's kernel. names: what Docker's own DNS might call the neighbours."""
    targets = [list(target) for group in tried for target in group.targets]
    head = {"TARGETS": targets, "NEIGHBOURS": list(neighbours), "NAMES": [*found.names, *names]}
    return "".join(f"{name} = {value!r}\n" for name, value in head.items()) + _CELL


def judge(found: Survey, tried: Sequence[Group], answer: dict[str, Any], user: str) -> list[Check]:
    """The findings that the kernel's answer comes to. user: the hub's name of the neighbour."""
    came = iter(answer["probes"])
    checks = [_judge_group(group, [next(came) for _ in group.targets]) for group in tried]
    known = answer["addresses"][: len(found.names)]
    told = [*answer["addresses"][len(found.names) :], *(name for name in answer["names"] if user in name)]
    bounded = answer["tmp"] < 16384 and not answer["writes"]
    space = f"/tmp holds {answer['tmp']} MB" + (  # nosec B108 - text for a person
        f", and it writes to {', '.join(answer['writes'])}" if answer["writes"] else ""
    )
    return [
        *checks,
        Check("a container can look up names", all(known), "an address for each", f"{sum(map(bool, known))} of {len(known)}",
              "The name servers do not answer it: `nft list set inet hubrun resolvers`, and the server's /etc/resolv.conf"),
        Check("a container cannot find out who else is there", not any(told), "no name of another student",
              ", ".join(filter(None, told)) or "none", "Docker's DNS tells containers' names: run 04 again"),
        Check("a container has no Docker socket", not answer["sockets"], "none", ", ".join(answer["sockets"]) or "none",
              "A volume in 90-local.py mounts it, and with it anybody can become root on the server"),
        Check("a container has no IPv6", set(answer["ipv6"]) <= {"lo"}, "none", ", ".join(answer["ipv6"]) or "none",
              "The rules for students' containers are for IPv4 only: make the network without --ipv6"),
        Check("a container writes only to its home and to a /tmp of limited size", bounded, "no other folder", space,
              "90-local.py may replace c.DockerSpawner.extra_host_config: add to it"),
        Check("when memory runs out, a student's process is killed before the hub", answer["oom"] > 0, "a score above 0",
              str(answer["oom"]), "90-local.py may replace c.DockerSpawner.extra_host_config: add to it"),
    ]  # fmt: skip


def checks(server: Server, browser: Browser, neighbour: str, names: Sequence[str], user: str) -> list[Check]:
    """Try everything from the kernel of `browser`. neighbour: the address of another student's container, `user`'s."""
    found = survey(server)
    # On a node the hub is at another address, which is the one that the container was told.
    hub = urlsplit(browser.run_cell(_HUB_AT)).hostname if server.site.nodes else ""
    tried = groups(server.site, found, [neighbour], hub or "")
    answer = json.loads(browser.run_cell(cell(found, tried, [neighbour], names)))
    return judge(found, tried, answer, user)


def _judge_group(group: Group, came: list[str]) -> Check:
    reached = [
        (f"{address}:{port}", how) for (address, port), how in zip(group.targets, came, strict=True)
        if how in ("open", "refused by the other side")
    ]  # fmt: skip
    if group.open:
        opened = [where for where, how in reached if how == "open"]
        shown = ", ".join(f"{address}:{port} {how}" for (address, port), how in zip(group.targets, came, strict=True))
        return Check(
            f"a container reaches {group.what}", len(opened) == len(group.targets), "open", shown,
            "A firewall on the server blocks it: allow the containers' network",
        )  # fmt: skip
    return Check(
        f"a container does not reach {group.what}", not reached, f"0 of {len(group.targets)}",
        f"{len(reached)} of {len(group.targets)}" + "".join(f", {where} {how}" for where, how in reached[:5]),
        "The rules for students' containers are not in force (`/usr/local/lib/hubrun/student-network state`): run 04 again",
    )  # fmt: skip
