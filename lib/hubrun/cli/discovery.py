"""What can be found out about a site before its params file is written: DNS, ports, SSH, the server's size.

Nothing is changed anywhere and nobody is asked. Each question has a thread of its own, and all have the same time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from hubrun.control_characters import in_one_line
from hubrun.params import Site
from hubrun.ssh import connection, openssh_config

# All answers that have not come by then are done without, in seconds.
SECONDS = 8.0
# How long a port is waited for, in seconds: two lost packets (RFC 6298: the first is sent again after 1 s, then 2 s).
PORT_SECONDS = 4.0
WEB_PORTS = (80, 443)


@dataclass(frozen=True)
class Answer:
    """What a question was answered with; or None, and why there is no answer."""

    value: Any = None
    why: str = ""


@dataclass(frozen=True)
class Findings:
    """What was found out. An answer is None where the question was not asked.

    addresses: list of the domain's addresses in DNS, none where there are none. ports: for each of WEB_PORTS "open" or
    "closed". login: where ssh would go, such as root@hub.example.edu:22. host_key: connection.ShownKey. server: what it is, when
    this account can log in already: name, cpus, memory_mb, disk_gb. proxy: that of this machine, without a password.
    """

    addresses: Answer | None = None
    ports: dict[int, Answer] = field(default_factory=dict)
    login: Answer | None = None
    host_key: Answer | None = None
    server: Answer | None = None
    proxy: str = ""


def discover(site: Site, has_domain: bool, has_host: bool, seconds: float = SECONDS) -> Findings:
    """Find out what can be, within so many seconds. has_domain, has_host: whether the site's own is known."""
    questions: dict[str, Callable[[], Any]] = {}
    hosts = [site.domain] * has_domain + [site.host] * has_host
    if has_domain:
        questions["addresses"] = partial(addresses, site.domain)
    if hosts:
        questions |= {f"port {number}": partial(port, hosts, number) for number in WEB_PORTS}
        questions["login"] = lambda: str(openssh_config.target(site))
        questions["host_key"] = partial(connection.show_host_key, site)
        questions["server"] = partial(server, site)
    found = answers(questions, seconds)
    ports = {number: found.pop(f"port {number}") for number in WEB_PORTS if f"port {number}" in found}
    return Findings(ports=ports, proxy=proxy(os.environ), **found)


def answers(questions: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Answer]:
    """Ask all at once. Nothing that goes wrong is raised: it is why there is no answer."""
    found: dict[str, Answer] = {}

    def ask(name: str, question: Callable[[], Any]) -> None:
        try:
            found[name] = Answer(question())
        except Exception as error:  # whatever it is: the file can be written without it
            why = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
            found[name] = Answer(why=in_one_line(why))

    # Not waited for when the command ends: a resolver can take minutes, and cannot be interrupted.
    threads = [threading.Thread(target=ask, args=each, daemon=True) for each in questions.items()]
    until = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))
    late = Answer(why=f"no answer within {seconds:.0f} seconds")
    return {name: found.get(name, late) for name in questions}


def addresses(domain: str) -> list[str]:
    """The addresses that DNS has for the domain, IPv4 first; none for a domain that it does not know. Raises OSError."""
    try:
        found = socket.getaddrinfo(domain, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return []
        raise
    return sorted({str(each[4][0]) for each in found}, key=lambda address: (":" in address, address))


def port(hosts: Sequence[str], number: int) -> str:
    """ "open" when something answers there, "closed" when the host says that nothing does: the first that DNS knows.

    Raises OSError.
    """
    for host in hosts[:-1]:
        with contextlib.suppress(socket.gaierror):
            return port([host], number)
    try:
        socket.create_connection((hosts[-1], number), PORT_SECONDS).close()
    except ConnectionRefusedError:
        return "closed"
    return "open"


def server(site: Site) -> dict[str, str]:
    """What the server is, by a login with this account's own keys. Raises HubrunError, also for a key that is unknown."""
    from hubrun.desired.server import Server

    with Server.connect(site, check_mode=True) as found:
        disk = found.probe("df -BG --output=avail / | tail -n1 | tr -dc 0-9")[0].stdout
        facts = {name: found.facts.get(name, "") for name in ("name", "cpus", "memory_mb")}
    return {name: in_one_line(value)[:100] for name, value in (facts | {"disk_gb": disk}).items()}


def proxy(environment: Mapping[str, str]) -> str:
    """The proxy of an environment, as http://HOST:PORT; "" for none. A password in it is left out."""
    names = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
    given = next((environment[name] for name in names if environment.get(name)), "")
    try:
        url = urlsplit(given if "://" in given else f"http://{given}")
        host, number = url.hostname, url.port
    except ValueError:
        return ""
    if url.scheme != "http" or not host:  # another kind is no http_proxy
        return ""
    return f"http://{f'[{host}]' if ':' in host else host}:{number or 80}"
