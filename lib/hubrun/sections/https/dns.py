"""Whether the domain leads to the server: what DNS says, and whether a file put there arrives."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Mapping, Sequence, Set

import httpx
from IPython.display import Markdown

from hubrun.desired.checks import Check
from hubrun.desired.server import Server
from hubrun.lms.connect_to import Route
from hubrun.params import Site
from hubrun.resources.certificate import WEBROOT
from hubrun.resources.files import File
from hubrun.sections.https.student_addresses import ANYBODY
from hubrun.shell import quote

_PATH = "/.well-known/acme-challenge/hubrun-token"
FOLDER = f"{WEBROOT}/.well-known/acme-challenge"
# They serve pages from machines of their own: a name below them cannot lead to this server.
PAGE_HOSTS = ("netlify.app", "vercel.app", "github.io", "pages.dev", "gitlab.io")
SUBDOMAIN_SERVICES = {
    "duckdns.org": "www.duckdns.org (log in, put the address into `current ip`, press `update ip`)",
    "dynu.net": "www.dynu.com (Control Panel, DDNS Services)",
    "freeddns.org": "www.dynu.com (Control Panel, DDNS Services)",
}

# Addresses of containers' bridges are nobody's outside.
_OWN = "ip -o addr show scope global 2>/dev/null | awk '$2 !~ /^(docker|br-|veth|virbr)/ {sub(/\\/.*/, \"\", $4); print $4}'"
_RESOLVED = "getent ahosts {} | awk '{print $1}' | sort -u"
# A server whose host name is the domain finds it in its own /etc/hosts, as a loopback address: that is no DNS.
_FETCH = """
for address in $({resolved}); do
    case $address in 127.*|::1) continue;; *:*) to="[$address]";; *) to=$address;; esac
    body=$(curl -sS -m 8 --noproxy '*' --resolve {}"$to" {} 2>/dev/null | head -c 200 | tr -d '\\n') && :
    printf '%s %s\\n' "$address" "$body"
done
"""


def resolve_checks(server: Server) -> list[Check]:
    """What the domain, and with subdomains a name below it, resolves to, beside the server's own addresses.

    Asked from the server and from here. Only a name that leads nowhere fails: behind a cloud's NAT the public address is not one of the server's own.
    """
    site = server.site
    below = f"{ANYBODY}.{site.domain}"
    own, there, wildcard = server.probe(_OWN, quote(_RESOLVED, site.domain), quote(_RESOLVED, below))
    known, here = there.stdout.split(), _resolve_here(site, site.domain)
    checks = [resolved(site, own.stdout.split(), known, here)]
    if site.subdomains and checks[0].ok:
        found = {*wildcard.stdout.split(), *(_resolve_here(site, below) or ())}
        checks.append(resolved_below(site, {*known, *(here or ())}, found))
    return checks


def resolved_below(site: Site, domain: Set[str], below: Set[str]) -> Check:
    """Judge the addresses of the domain, and of a name below it that nobody has: only a wildcard record finds that."""
    name, expected = f"*.{site.domain} has a DNS record", f"the address of {site.domain}"
    found = {address for address in below if not ipaddress.ip_address(address).is_loopback}
    came = ", ".join(sorted(found)) or "no address"
    zone = site.domain.split(".", 1)[1]
    record = f"a record for *.{site.domain}, with the same addresses as the domain's"
    cause = f"Set {record}, where the DNS of {zone} is kept; or set subdomains: false"
    return Check(name, bool(found & domain), expected, came, cause)


def resolved(site: Site, own: Sequence[str], there: Sequence[str], here: Sequence[str] | None) -> Check:
    """Judge: the server's own addresses, what the domain is on the server, and what it is here (None: not asked)."""
    found = sorted({a for a in there if not ipaddress.ip_address(a).is_loopback} | set(here or ()))
    name, expected = f"{site.domain} has a DNS record", "an address, seen from the server or from here"
    if not found:
        return Check(name, False, expected, "no address", record_to_set(site.domain, own))
    nat = f"not one of this server's own ({', '.join(own) or 'none known'}): this is right behind a provider's NAT"
    whose = "this server's own" if set(found) & set(own) else nat
    return Check(name, True, expected, f"it is {', '.join(found)}, {whose}")


def token(server: Server) -> File:
    """A small file below the challenge's address that says which server this is."""
    return File(WEBROOT + _PATH, _token(server) + "\n")


def require_reached(server: Server) -> Markdown | None:
    """Require `reach_checks` where the certificate authority will fetch a file from port 80; elsewhere say why not.

    Raises CheckFailed.
    """
    site = server.site
    if site.tls != "acme":
        return Markdown("*Not asked: with `tls: files` no certificate authority comes to port 80.*")
    if site.acme_dns != "none":
        return Markdown(
            "*Not asked: with `acme_dns` the certificate authority asks DNS, and does not come to port 80.*"
        )
    server.require(*([] if server.pending else reach_checks(server)))
    return None


def reach_checks(server: Server) -> list[Check]:
    """Whether that file arrives over http://DOMAIN, for each address that the domain has, from the server and from here.

    Either will do: some networks let a machine not reach its own public address, and some offices let nothing out.
    """
    site, wanted = server.site, _token(server)
    here = [site.public_address] if site.public_address else _resolve_here(site, site.domain) or []
    seen = {f"{address} from here": _fetch(site, address) for address in here}
    fetch = _FETCH.replace("{resolved}", _RESOLVED)
    own, there = server.probe(_OWN, quote(fetch, site.domain, f"{site.domain}:80:", f"http://{site.domain}{_PATH}"))
    for line in there.stdout.splitlines():
        address, _, body = line.partition(" ")
        seen[f"{address} from the server"] = body
    return [reached(site, wanted, seen, own.stdout.split())]


def reached(site: Site, wanted: str, seen: Mapping[str, str], own: Sequence[str]) -> Check:
    """Judge what came for "ADDRESS from WHERE": the token `wanted`, another text, or "" for no answer."""
    name, expected = f"http://{site.domain} leads to this server", "the file that was put there"
    says = {wanted: "the file", "": "no answer"}
    came = "; ".join(f"{where}: {says.get(body, 'something else')}" for where, body in seen.items())
    right = {where.split()[0] for where, body in seen.items() if body == wanted}
    wrong = sorted({where.split()[0] for where, body in seen.items() if body not in says} - right)
    if wrong:
        cause = f"{', '.join(wrong)} is another machine, or another program has port 80."
    else:
        cause = "Open TCP port 80 in the provider's firewall (security group)."
    ok = bool(right) and not wrong
    return Check(name, ok, expected, came or "no address to ask", f"{cause} {record_to_set(site.domain, own)}")


def record_to_set(domain: str, own: Sequence[str]) -> str:
    """Which record the domain needs and where it is set, for a person; `own` are the server's addresses."""
    for host in PAGE_HOSTS:
        if domain.endswith(f".{host}"):
            return f"Use another domain: names below {host} lead to its own machines and cannot lead to this server"
    public = [ipaddress.ip_address(a) for a in own if ipaddress.ip_address(a).is_global]
    records = [f"{'A' if a.version == 4 else 'AAAA'} record to {a}" for a in public]
    if not any(a.version == 4 for a in public):
        records.insert(0, "A record to this server's public IPv4 address (the provider's console shows it)")
    for suffix, where in SUBDOMAIN_SERVICES.items():
        if domain.endswith(f".{suffix}"):
            return f"Set the {' and '.join(records)}, for {domain}, at {where}; it takes minutes"
    zone = domain.split(".", 1)[1]
    return (
        f"Set the {' and '.join(records)}, for {domain}, where the DNS of {zone} is kept "
        "(registrar or your institution's IT); it takes minutes to hours. Remove records that lead elsewhere"
    )


def _token(server: Server) -> str:
    return "hubrun " + hashlib.sha256(f"{server.site.domain} {server.fingerprint}".encode()).hexdigest()


def _resolve_here(site: Site, name: str) -> list[str] | None:
    if site.public_address:
        return None
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})
    except OSError:
        return []


def _fetch(site: Site, address: str) -> str:
    try:
        with Route(f"http://{site.domain}", address, site.http_port).client(8) as client:
            return client.get(f"http://{site.domain}{_PATH}").text.strip()[:200] or "an empty page"
    except httpx.HTTPError:
        return ""
