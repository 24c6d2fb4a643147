"""nginx in front of the hub: its two sites as text, for the nginx that is installed, and tests of what it does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from typing_extensions import override

from hubrun.desired.checks import Test
from hubrun.desired.resource import Action, Resource, facts
from hubrun.desired.server import Server
from hubrun.desired.supported_systems import system_of
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.certificate import WEBROOT
from hubrun.resources.files import Directory, File
from hubrun.resources.services import Service
from hubrun.sections.https import dns, other_sites, site_certificate
from hubrun.sections.https.other_sites import DEFAULT_SITE, HTTP_FILE, HTTPS_FILE, NoDistributionDefault, OtherSites
from hubrun.server_paths import AWAY
from hubrun.shell import one_line, quote

MAIN_FILE = "/etc/nginx/nginx.conf"
# nginx makes it, for its workers alone (0700).
GATE_CACHE = "/run/nginx-jupyterhub-gate"

# `nginx -t` whose last line names the fault, its file and its line.
VALID = """out=$(nginx -t 2>&1) || { printf '%s\\n' "$out" | sed '/ test failed$/d'; exit 1; }"""

# Debian's numbers, 768 and the system's 1024: each open websocket takes two connections, and so two files.
_NUMBERS = r"""sed -nE 's/^[^#]*\b(worker_connections|worker_rlimit_nofile)[[:space:]]+([0-9]+).*/\1=\2/p' {}"""
_LEAST = {"worker_connections": 8192, "worker_rlimit_nofile": 16384}
_RAISE = r"""
path={} connections={} files={}
cp -a "$path" "$path.hubrun"
trap 'rm -f "$path.hubrun"' EXIT
set_to() { # NAME NUMBER AFTER: the line there gets the number, or a new line comes after the one that AFTER finds
    if grep -qE "^[^#]*\b$1[[:space:]]" "$path"; then sed -i -E "s/^([^#]*\b$1[[:space:]]+)[0-9]+/\1$2/" "$path"
    else sed -i -E "0,/$3/s//&\n$1 $2;/" "$path"; fi
}
set_to worker_connections "$connections" '^[[:space:]]*events[[:space:]]*\{'
set_to worker_rlimit_nofile "$files" '^[[:space:]]*worker_processes[^;]*;'
out=$(nginx -t 2>&1) || { cat "$path.hubrun" > "$path"; printf '%s\n' "$out"; exit 1; }
"""

_DEAD = """
site={} certificate={} key={}
[ -e "$site" ] && ! systemctl is-active -q nginx || exit 0
a=$(openssl x509 -in "$certificate" -noout -pubkey) b=$(openssl pkey -in "$key" -passin pass: -pubout)
openssl crl2pkcs7 -nocrl -certfile "$certificate" > /dev/null && [ -n "$a" ] && [ "$a" = "$b" ] || echo dead=yes
"""

# nginx CHANGES: "Feature: the http2 directive" in 1.25.1, "Feature: the ssl_reject_handshake directive" in 1.19.4.
_HTTP2_DIRECTIVE = (1, 25, 1)
_REJECT_HANDSHAKE = (1, 19, 4)
# See the template for their source.
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
# In nginx's files, outside and inside of quotes (nginx.org, "Configuration File's Structure").
_MEANS_SOMETHING = re.compile(r"""["'$;{}\\#]""")
# What the hub answers to nginx's question about somebody without a cookie: 401.
GATE = "curl -sS -m 20 -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8000/hub/gate-check"
_TEMPLATES = Environment(
    loader=PackageLoader("hubrun.sections.hub"), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
)


@dataclass(frozen=True)
class Nginx:
    """The nginx of a server: its version, whether the server has IPv6 (else it cannot listen on [::]), and other sites."""

    version: tuple[int, int, int]
    ipv6: bool
    others: OtherSites = OtherSites()

    @classmethod
    def on(cls, server: Server) -> Nginx:
        """The nginx that is installed; before it is, the one that the server's system will bring.

        Raises HubrunError for a system that is not one of ours.
        """
        says, ipv6, sites = server.probe("nginx -v 2>&1", "grep -qs . /proc/net/if_inet6", other_sites.READ)
        found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", says.stdout)
        version = (int(found[1]), int(found[2]), int(found[3])) if found else system_of(server.facts).nginx
        return cls(version, ipv6.exit_code == 0, OtherSites.read(sites.stdout))

    def http_site(self, site: Site) -> str:
        """The site on port 80: challenges from the webroot, everything else sent to HTTPS."""
        port = site.url.removeprefix(f"https://{site.domain}")
        needs = other_sites.bucket_for(site.domain)
        bucket = (
            needs if needs > 64 and not self.others.bucket else 0
        )  # 64 is nginx's own, and it may be said once only
        return self._render(
            "nginx-http.conf.j2", names=_names(site), webroot=WEBROOT, port=port, bucket=bucket,
            **self._sockets(80),
        )  # fmt: skip

    def https_site(self, site: Site) -> str:
        """The site on port 443: TLS, and the way to the hub's proxy."""
        certificate, key = site_certificate.paths(site)
        directive = self.version >= _HTTP2_DIRECTIVE
        return self._render(
            "nginx-https.conf.j2", names=_names(site), domain=site.domain, subdomains=site.subdomains, certificate=certificate, key=key, ciphers=_CIPHERS,
            listen_http2="" if directive else " http2", http2_directive=directive,
            reject_handshake=self.version >= _REJECT_HANDSHAKE,
            hsts_seconds=site.hsts_seconds, upload_limit_mb=site.upload_limit_mb, url=site.url, gate_cache=GATE_CACHE, away=AWAY,
            **self._sockets(443),
        )  # fmt: skip

    def _sockets(self, port: int) -> dict[str, list[str]]:
        """Where ours listens, and where it is the default: an explicit one of another site stays that."""
        found = self.others.sockets(port, self.ipv6)
        return {"sockets": list(found), "defaults": [socket for socket, free in found.items() if free]}

    def _render(self, template: str, **values: Any) -> str:
        for name, value in values.items():
            if isinstance(value, str) and _MEANS_SOMETHING.search(one_line(value)):
                raise BadInput(f"{value!r} cannot be written into nginx's configuration", f"nginx, {name}")
        return _TEMPLATES.get_template(template).render(**values)


def _names(site: Site) -> str:
    """The names that nginx answers to. Each takes a place in a table by its length, and any other name gets no answer."""
    return f"{site.domain} *.{site.domain}" if site.subdomains else site.domain


@dataclass(frozen=True)
class WorkerLimits(Resource):
    """At least so many connections and open files for each worker of nginx. What is larger stays.

    Two numbers in Debian's own file: `events` may stand in it once only (ngx_events_module), so no file of ours can say
    it. A file for each connection, and as many for the rest. Both hold from a reload on.
    """

    label_format = f"limits in {MAIN_FILE}"
    event = MAIN_FILE

    @override
    def probe(self) -> str:
        return quote(_NUMBERS, MAIN_FILE)

    @override
    def plan(self, found: str) -> list[Action]:
        now = {name: int(number) for name, number in facts(found).items()}
        raised = {name: max(number, now.get(name, 0)) for name, number in _LEAST.items()}
        if raised == now:
            return []
        said = [f"{name} {now.get(name, 'not set')} → {to}" for name, to in raised.items() if to != now.get(name)]
        script = quote(_RAISE, MAIN_FILE, *raised.values())
        return [Action(f"raise limits of nginx ({', '.join(said)})", script, f"editor {MAIN_FILE}")]


@dataclass(frozen=True)
class NoDeadHttpsSite(Resource):
    """Where nginx is down and cannot load the certificate, the HTTPS site goes until there is a new one.

    nginx starts with all its sites or not at all, and without it nobody answers the challenge that brings the new
    certificate. A running nginx is left alone: it goes on with the certificate that it has read.
    certificate, key: paths on the server.
    """

    certificate: str
    key: str

    label_format = f"no {HTTPS_FILE} that keeps nginx from starting"
    event = HTTPS_FILE

    @override
    def probe(self) -> str:
        return quote(_DEAD, HTTPS_FILE, self.certificate, self.key)

    @override
    def plan(self, found: str) -> list[Action]:
        if "dead" not in facts(found):
            return []
        title = f"remove {HTTPS_FILE} until its certificate is repaired (see Port 443)"
        return [Action(title, quote("rm -f {}", HTTPS_FILE))]


def port_80(server: Server) -> list[Resource]:
    """The site on port 80, in place of the distribution's own, and nginx running with it."""
    site = server.site
    return [
        NoDeadHttpsSite(*site_certificate.paths(site)),
        NoDistributionDefault(),
        Directory(dns.FOLDER),
        dns.token(server),
        File(HTTP_FILE, Nginx.on(server).http_site(site), check=VALID),
        _service(DEFAULT_SITE),
    ]


def port_443(server: Server) -> list[Resource]:
    """The site on port 443, with room for a class's connections, and nginx running with it."""
    text = Nginx.on(server).https_site(server.site)
    return [WorkerLimits(), File(HTTPS_FILE, text, check=VALID), _service()]


def _service(*more: str) -> Service:
    return Service("nginx", watches=(MAIN_FILE, "/etc/nginx/conf.d", *more), reloads=True, check=VALID)


def http_tests(site: Site, of: Nginx | None = None) -> list[Test]:
    """Tests of port 80, made on the server itself. They hold as well while the certificate is still to be repaired.

    of: the server's nginx; another site that is the default there answers to other names.
    """
    here = f"{site.domain}:80:127.0.0.1"
    return [
        Test(
            f"http://{site.domain}/ leads to {site.url}/",
            quote("curl -sS -m 10 --noproxy '*' -o /dev/null -w '%{http_code} %{redirect_url}\n' --resolve {} {}", here, f"http://{site.domain}/hub/?a=b"),
            prints=re.escape(f"301 {site.url}/hub/?a=b"),
            remedy=f"See {HTTP_FILE}; another site in /etc/nginx may have the same name",
        ),
        *_where_default(of, 80, Test(
            "another name gets no answer on port 80",
            "curl -sS -m 10 --noproxy '*' -H 'Host: unknown.invalid' http://127.0.0.1/",
            fails=True, prints="Empty reply",
            remedy=f"Another site in /etc/nginx takes unknown names: is there a {DEFAULT_SITE}?",
        )),
    ]  # fmt: skip


def _where_default(of: Nginx | None, port: int, test: Test) -> list[Test]:
    """A test of what other names get, unless another site is the default there."""
    return [test] if of is None or all(of.others.sockets(port, of.ipv6).values()) else []


def gate_test() -> Test:
    """The hub answers nginx's question about the gate; without that, nobody would get to their server."""
    return Test(
        "the hub answers for the gate: without a cookie nobody gets through",
        GATE, prints="^401$", remedy="404: the hub is of an earlier version. Run 02_hub_lti first",
    )  # fmt: skip


def https_tests(site: Site, of: Nginx | None = None) -> list[Test]:
    """Tests of port 443, made on the server itself; of: as for port 80. Whether the chain is trusted is seen from outside."""
    curl = quote("curl -sS -k -m 20 --noproxy '*' --resolve {} ", f"{site.domain}:443:127.0.0.1")
    root = f"https://{site.domain}"
    fault = f"See {HTTPS_FILE} and /var/log/nginx/error.log"
    tests = [
        Test("the configuration of nginx is valid", VALID, remedy="Correct the file that is named, then: nginx -t"),
        Test(
            "nginx speaks HTTP/2", curl + quote("--http2 -o /dev/null -w 'HTTP/%{http_version}\n' {}", root),
            prints="^HTTP/2$", remedy=fault,
        ),
        Test(
            "TLS 1.1 is refused",
            quote("openssl s_client -tls1_1 -cipher 'ALL:@SECLEVEL=0' -connect 127.0.0.1:443 -servername {} < /dev/null", site.domain),
            fails=True, prints="alert protocol version", remedy=fault,
        ),
        *_where_default(of, 443, Test(
            "another name gets no certificate and no answer on port 443",
            "curl -sS -k -m 10 --noproxy '*' --resolve unknown.invalid:443:127.0.0.1 https://unknown.invalid/",
            # curl(1): 35 the handshake was refused, 52 no reply, 92 the HTTP/2 stream was cut
            fails=True, prints=r"^curl: \((35|52|92)\)", remedy="Another site in /etc/nginx takes unknown names",
        )),
        Test(
            "the hub answers through nginx: its launch URL says 405 to a GET",
            curl + quote("-o /dev/null -w '%{http_code}\n' {}", f"{root}/hub/lti/launch"),
            prints="^405$", remedy="502: the hub or its proxy is down (systemctl status jupyterhub jupyterhub-proxy)",
        ),
    ]  # fmt: skip
    if not site.subdomains:
        title = "a person who is not logged in is sent from anybody's server to the gate"
        shown = curl + quote("-o /dev/null -w '%{http_code} %{redirect_url}\n' {}", f"{root}/user/somebody/lab")
        gate = "^302 https://[^/]*/hub/gate/user/somebody/lab$"
        tests.append(Test(title, shown, gate, remedy="503: the hub does not know /hub/gate-check. Run 02_hub_lti"))
    if site.hsts_seconds:
        shown = curl + quote("-D - -o /dev/null {}", root)
        header = rf"(?i)^strict-transport-security: max-age={site.hsts_seconds}\s*$"
        tests.append(Test("browsers are told to use only HTTPS", shown, header, remedy=fault))
    return tests
