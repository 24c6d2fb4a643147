"""Addresses of containers in exams, and of the hosts that they may reach. Pure, but for `find`."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

# What programs/exam.py found: exam → host → its addresses. Root's.
HOSTS = Path("/run/hubrun-exam/hosts.json")
_MOST = 16


class NoAddress(Exception):
    """All addresses for exams are in use."""


def exam_part(subnet: str) -> IPv4Network:
    """The last quarter of the students' network. Docker gives the lowest address that is free, so none of these."""
    return list(IPv4Network(subnet).subnets(2))[3]


def free(subnet: str, used: Collection[str]) -> str:
    """The first address for a container in an exam that is not in use. Raises NoAddress."""
    last = IPv4Network(subnet).broadcast_address
    for each in exam_part(subnet):
        if str(each) not in used and each != last:
            return str(each)
    raise NoAddress(f"all addresses of {exam_part(subnet)} are in use")


def find(host: str) -> list[str]:
    """The IPv4 addresses of a host by this server's own name servers; [] where there are none."""
    try:
        found = socket.getaddrinfo(host, 443, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    return usable(str(place[0]) for *_, place in found)


def usable(addresses: Iterable[str]) -> list[str]:
    """Without those that a name leads to by a mistake, or by malice: this server, a neighbour on the wire, nobody."""
    found = sorted({IPv4Address(each) for each in addresses})
    wrong = ("is_loopback", "is_link_local", "is_multicast", "is_unspecified", "is_reserved")
    return [str(each) for each in found if not any(getattr(each, what) for what in wrong)][:_MOST]


def joined(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Host → its addresses, those of before too: a container keeps what it was told at its start."""
    return {host: sorted({*before.get(host, ()), *found}) for host, found in now.items()}


def elements(
    containers: Mapping[str, str], hosts: Mapping[str, Mapping[str, list[str]]], cut: Iterable[str] = ()
) -> str:
    """What nft(8) reads: the pairs of a container and a host, in place of those that are there, all at once.

    containers: address → the exam that it is in. cut: addresses of servers that go on, and reach the hub alone.
    """
    pairs = [
        f"{container} . {address}"
        for container, exam in sorted(containers.items())
        for address in sorted({each for found in hosts.get(exam, {}).values() for each in found})
    ]
    lines = []
    for name, found in (("exam_hosts", pairs), ("exam_cut", sorted(cut))):
        lines.append(f"flush set inet hubrun {name}\n")
        lines += [f"add element inet hubrun {name} {{ {', '.join(found)} }}\n"] if found else []
    return "".join(lines)
