"""What a container in an exam reaches: the rules themselves, in network namespaces of this test's own.

A bridge with two containers, one of them in an exam; a router, which is the server; and hosts beyond it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hubrun.params import build
from hubrun.sections.hub import config
from hubrun_hub.courses.exam_address import elements, exam_part, free

EXAM = {"from": "2026-12-01 09:00 UTC", "until": "2026-12-01 11:00 UTC", "hosts": ["canvas.example.edu"]}
SITE = {"site": "x", "domain": "hub.example.edu", "student_networks": ["10.9.0.0/24"]}
IN_EXAM, ORDINARY, GATEWAY = "172.29.192.0", "172.29.0.2", "172.29.0.1"
# canvas.example.edu, a host beside it, a foreign resolver, and one that the site allows to all students.
LISTED, OTHER, RESOLVER, ALLOWED = "203.0.113.2", "203.0.113.3", "203.0.113.4", "10.9.0.2"

_UP = """
set -e
mount -t sysfs none /sys 2>/dev/null || true  # in a mount namespace of its own (unshare -m): not on this machine
ip link set lo up
for name in exam ordinary outside; do
    unshare -n sleep 300 & echo "$!" > "$1/$name"
done
sleep 0.5
ip link add br0 type bridge && ip addr add 172.29.0.1/16 dev br0 && ip link set br0 up
join() {  # NAME ADDRESS/BITS
    pid=$(cat "$dir/$1")
    ip link add "v$1" type veth peer name eth0 netns "$pid"
    nsenter -t "$pid" -n sh -ec "ip link set lo up; ip addr add $2 dev eth0; ip link set eth0 up"
}
dir=$1
join exam 172.29.192.0/16; join ordinary 172.29.0.2/16; join outside 203.0.113.2/24
for name in exam ordinary; do
    ip link set "v$name" master br0 up
    nsenter -t "$(cat "$dir/$name")" -n sh -ec "ip route add default via 172.29.0.1"
done
ip addr add 203.0.113.1/24 dev voutside && ip addr add 10.9.0.1/24 dev voutside && ip link set voutside up
nsenter -t "$(cat "$dir/outside")" -n sh -ec "for a in 203.0.113.3/24 203.0.113.4/24 10.9.0.2/24; do ip addr add \\$a dev eth0; done
    ip route add default via 203.0.113.1"
echo 1 > /proc/sys/net/ipv4/ip_forward
nft -f -
touch "$1/ready"
exec sleep 300
"""
# Answers at TCP 22, 53, 80, 443, 8081 and UDP 53 and 80, at every address.
_ANSWER = """
import select, socket, sys
tcp = [socket.create_server(("", port)) for port in (22, 53, 80, 443, 8081)]
udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in (53, 80)]
for each, port in zip(udp, (53, 80)):
    each.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO: the answer comes from where it was asked
    each.bind(("", port))
print("ready", flush=True)
while True:
    for each in select.select(tcp + udp, [], [])[0]:
        if each in tcp:
            each.accept()[0].close()
        else:
            data, extra, _, where = each.recvmsg(512, 64)
            each.sendmsg([data], extra, 0, where)
"""
_TRY = """
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
try:
    if kind == "tcp":
        socket.create_connection((host, port), 2).close()
    else:
        asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asked.settimeout(2)
        asked.connect((host, port))
        asked.send(b"secret.tunnel.example")
        asked.recv(512)
    print("open")
except OSError as error:
    print("closed", error)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="root makes network namespaces"),
]


class Net:
    def __init__(self, router: int, pids: dict[str, int]) -> None:
        self.router, self.pids = router, pids

    def load(self, text: str) -> None:
        subprocess.run(["nsenter", "-t", str(self.router), "-n", "nft", "-f", "-"], input=text, text=True, check=True)

    def reaches(self, who: str, kind: str, host: str, port: int) -> bool:
        command = ["nsenter", "-t", str(self.pids[who]), "-n", sys.executable, "-c", _TRY, kind, host, str(port)]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=10).stdout
        return said.startswith("open")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    folder = tmp_path_factory.mktemp("net")
    rules = config.render("student-network.nft", build({**SITE, "courses": [{"course": "BIO", "exam": EXAM}]}, "here"))
    router = subprocess.Popen(
        ["unshare", "-n", "-m", "sh", "-c", _UP, "sh", str(folder)], stdin=subprocess.PIPE, text=True
    )
    assert router.stdin
    router.stdin.write(rules)
    router.stdin.close()
    started = [router]
    pids: dict[str, int] = {}
    try:
        for _ in range(100):
            if (folder / "ready").exists() or router.poll() is not None:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        assert (folder / "ready").exists(), "the namespaces cannot be made"
        pids = {name: int((folder / name).read_text()) for name in ("exam", "ordinary", "outside")}
        for pid in (router.pid, pids["outside"], pids["ordinary"]):
            server = subprocess.Popen(
                ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", _ANSWER], stdout=subprocess.PIPE
            )
            started.append(server)  # type: ignore[arg-type]
            assert server.stdout and server.stdout.readline() == b"ready\n"
        yield Net(router.pid, pids)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
        for pid in pids.values():
            os.kill(pid, 9)


HOSTS = {"key": {"canvas.example.edu": [LISTED]}}
# Who, to where → whether it is reached while the exam's elements are there.
REACHED: dict[str, tuple[str, str, str, int, bool]] = {
    "the hub": ("exam", "tcp", GATEWAY, 8081, True),
    "a host of the list": ("exam", "tcp", LISTED, 443, True),
    "a host of the list without TLS": ("exam", "tcp", LISTED, 80, True),
    "a host of the list at another port": ("exam", "tcp", LISTED, 22, False),
    "a host of the list as a resolver": ("exam", "tcp", LISTED, 53, False),
    "a host of the list by UDP": ("exam", "udp", LISTED, 80, False),
    "a host beside it": ("exam", "tcp", OTHER, 443, False),
    "a foreign resolver": ("exam", "udp", RESOLVER, 53, False),
    "a foreign resolver by TCP": ("exam", "tcp", RESOLVER, 53, False),
    "a network that all students may reach": ("exam", "tcp", ALLOWED, 80, False),
    "the server's ssh": ("exam", "tcp", GATEWAY, 22, False),
    "the server by its other address": ("exam", "tcp", "203.0.113.1", 80, False),
    "the server's resolver": ("exam", "udp", GATEWAY, 53, False),
    "a neighbour": ("exam", "tcp", ORDINARY, 80, False),
    "an ordinary server: a foreign resolver": ("ordinary", "udp", RESOLVER, 53, True),
    "an ordinary server: the outside": ("ordinary", "tcp", OTHER, 443, True),
    "an ordinary server: a network that is allowed": ("ordinary", "tcp", ALLOWED, 80, True),
    "an ordinary server: the hub": ("ordinary", "tcp", GATEWAY, 8081, True),
}  # fmt: skip


@pytest.mark.parametrize(("who", "kind", "host", "port", "expected"), REACHED.values(), ids=REACHED.keys())
def test_in_an_exam_the_list_is_reached_and_nothing_else(
    net: Net, who: str, kind: str, host: str, port: int, expected: bool
) -> None:
    net.load(elements({IN_EXAM: "key"}, HOSTS))
    assert net.reaches(who, kind, host, port) == expected


@pytest.mark.parametrize("hosts", [{}, {"another exam": {"canvas.example.edu": [LISTED]}}])
def test_before_anything_is_added_only_the_hub_is_reached(net: Net, hosts: dict[str, dict[str, list[str]]]) -> None:
    net.load(elements({IN_EXAM: "key"}, hosts))
    assert not net.reaches("exam", "tcp", LISTED, 443) and net.reaches("exam", "tcp", GATEWAY, 8081)


def test_a_server_that_is_to_end_reaches_the_hub_alone_until_it_has(net: Net) -> None:
    net.load(elements({}, {}, [ORDINARY]))
    assert not net.reaches("ordinary", "tcp", OTHER, 443) and net.reaches("ordinary", "tcp", GATEWAY, 8081)
    net.load(elements({}, {}))
    assert net.reaches("ordinary", "tcp", OTHER, 443)


def test_a_site_without_exams_has_the_rules_of_before() -> None:
    assert "exam" not in config.render("student-network.nft", build(SITE, "here"))


def test_addresses_for_exams_are_none_that_docker_gives_by_itself() -> None:
    assert str(exam_part("172.29.0.0/16")) == "172.29.192.0/18" and str(exam_part("10.1.2.0/24")) == "10.1.2.192/26"
    assert free("10.1.2.0/24", {"10.1.2.192"}) == "10.1.2.193"
