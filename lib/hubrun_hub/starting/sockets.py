"""The hub's sockets outlive it: while it restarts, whoever comes waits in the socket, and nobody is turned away.

systemd keeps them for the next start (systemd.service(5), FileDescriptorStoreMax; sd_notify(3), FDSTORE) and drops them
when the unit is stopped. Without systemd they are ordinary ones.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import array
import os
import socket
from ipaddress import IPv4Address
from typing import Any, ClassVar

from tornado.httpserver import HTTPServer

# ip(7). An address that is not there yet, or for the moment, is no reason not to start: Docker may bring it later.
_IP_FREEBIND = 15
# A class that comes while the hub restarts.
_BACKLOG = 1024
_FIRST_FD = 3


class KeptServer(HTTPServer):
    """`also`: further addresses, at the same port."""

    also: ClassVar[list[str]] = []

    def listen(self, port: int, address: str | None = None, *more: Any, **options: Any) -> None:
        kept, wanted = inherited(), places(port, address, *self.also)
        for place in kept.keys() - set(wanted):
            kept[place].close()
            _notify(f"FDSTOREREMOVE=1\nFDNAME={place[0]}-{place[1]}")
        if not wanted:
            super().listen(port, address, *more, **options)
        for place in wanted:
            self.add_socket(kept[place] if place in kept else listening(*place))


def places(port: int, *hosts: str | None) -> list[tuple[str, int]]:
    """The addresses; none where the first is a name, IPv6, or all of this machine: the operator's own choice."""
    try:
        found = [IPv4Address(host or "") for host in hosts]
    except ValueError:
        return []
    return [] if found[0].is_unspecified else [(str(host), port) for host in found]


def inherited() -> dict[tuple[str, int], socket.socket]:
    """The sockets that systemd kept, by their addresses: sd_listen_fds(3)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    found = {}
    for number in range(_FIRST_FD, _FIRST_FD + int(os.environ.pop("LISTEN_FDS", "0"))):
        os.set_inheritable(number, False)
        each = socket.socket(fileno=number)
        each.setblocking(False)
        host, port = each.getsockname()[:2]
        found[str(host), int(port)] = each
    return found


def listening(host: str, port: int) -> socket.socket:
    """A new socket, which systemd is given to keep."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
    made.bind((host, port))
    made.listen(_BACKLOG)
    made.setblocking(False)
    _notify(f"FDSTORE=1\nFDNAME={host}-{port}", made)
    return made


def _notify(text: str, *kept: socket.socket) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    numbers = array.array("i", [each.fileno() for each in kept])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect("\0" + path[1:] if path.startswith("@") else path)
        to.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if kept else [])
