"""A new site's params file, as it follows from what was given and found out; and what is left to fill in. All of it is pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from hubrun.cli.discovery import Answer, Findings
from hubrun.errors import BadInput
from hubrun.params import Site, build, documentation


@dataclass
class Draft:
    """notes: what was found out, in lines by the parameter that it is about. left: what a person has to do, in lines."""

    values: dict[str, str]
    proposed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def note(self, parameter: str, text: str) -> None:
        """Say something at a parameter."""
        self.notes.setdefault(parameter, []).append(text)

    def text(self, head: Sequence[str]) -> str:
        """The params file."""
        notes = {name: [f"Found: {line}" for line in lines] for name, lines in self.notes.items()}
        return documentation.params_file(head, self.values, self.proposed, notes)


def draft(site: Site, has_domain: bool, found: Findings) -> Draft:
    """What is written for the site. has_domain: whether its domain is known; `site` has one in any case."""
    values = {"site": site.site} | ({"domain": site.domain} if has_domain else {})
    made = Draft(values | ({"ssh_host": site.ssh_host} if site.ssh_host else {}))
    if not has_domain:
        made.left.append("domain: the host name of the hub, such as hub.example.edu")
    _dns(made, site, found.addresses)
    for number, answer in found.ports.items():
        made.note("http_port" if number == 80 else "https_port", f"port {number} {_port(answer)}")
    _ssh(made, site, found)
    if found.proxy and _fits(site, http_proxy=found.proxy):
        made.proposed["http_proxy"] = found.proxy
        made.note("http_proxy", "this machine uses this proxy; if the server needs it too, take away the #")
    return made


def _dns(made: Draft, site: Site, answer: Answer | None) -> None:
    if answer is None:
        return
    if answer.value is None:
        made.note("domain", f"DNS could not be asked: {answer.why}")
        return
    if not answer.value:
        made.note("domain", "DNS has no address for it yet")
        where = "" if site.ssh_host else "; until it is there, set ssh_host to the server's address"
        made.left.append(f"DNS: a record for {site.domain} with the server's address{where}")
        return
    inner = [each for each in answer.value if not ipaddress.ip_address(each.partition("%")[0]).is_global]
    made.note("domain", f"DNS says {', '.join(each + ' (private)' * (each in inner) for each in answer.value)}")
    if len(inner) == len(answer.value):
        made.note("tls", "the domain has a private address, where no certificate authority on the internet reaches it")
        made.left.append("a certificate: set acme_dns, or tls: files; the domain has no address on the internet")


def _port(answer: Answer) -> str:
    said = {
        "open": "answers: something is there already",
        "closed": "is closed: nothing listens there yet, or a firewall refuses",
    }
    return said.get(answer.value, f"cannot be reached from here: {answer.why}")


def _ssh(made: Draft, site: Site, found: Findings) -> None:
    if found.login and found.login.value:
        made.note("ssh_host", f"ssh goes to {found.login.value}")
    elif found.login:
        made.note("ssh_host", f"where ssh goes is not known: {found.login.why}")
    if found.host_key is None:
        return
    key = found.host_key.value
    if key is None:
        made.note("ssh_host_fingerprint", f"the server's host key could not be read: {found.host_key.why}")
        if site.ssh_host or not (found.addresses and found.addresses.value == []):  # else DNS is what is missing
            made.left.append("SSH: make the login work, then log in once with ssh and compare the server's host key")
        return
    shown = f"{key.fingerprint} ({key.kind})"
    if not key.refused:
        made.note("ssh_host_fingerprint", f"the server showed {shown}, which your known_hosts knows")
    elif key.another:
        made.note("ssh_host_fingerprint", f"{key.refused}. The server showed {shown}")
        made.left.append(f"SSH: {key.refused}: find out why before you go on")
    else:
        made.proposed["ssh_host_fingerprint"] = key.fingerprint
        made.note(
            "ssh_host_fingerprint",
            f"the server showed {shown}. Somebody between here and there could show another one: compare it with what "
            "your provider shows, or the server's own console, and take away the # only if it is the same",
        )
        made.left.append(f"ssh_host_fingerprint: compare {shown} with what your provider shows; then take away the #")
    if found.server and found.server.value:
        size = found.server.value
        made.note(
            "ssh_user",
            f"the login works: {size['name']}, {size['cpus']} CPUs, {size['memory_mb']} MB of memory, {size['disk_gb']} GB free",
        )
    elif found.server and not key.refused:
        made.note("ssh_user", f"no login yet: {found.server.why}")
        made.left.append("SSH: make the login work; ./hubrun plan says what keeps it out")


def _fits(site: Site, **values: str) -> bool:
    try:
        build({"site": site.site, "domain": site.domain, **values}, "")
    except BadInput:
        return False
    return True
