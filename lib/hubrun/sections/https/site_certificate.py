"""The site's certificate: where it is on the server, what must hold of it, and whether browsers accept it."""

from __future__ import annotations

from pathlib import PurePosixPath

import httpx

from hubrun.desired.checks import Check, Test
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.lms.connect_to import Route
from hubrun.params import Site, read_local
from hubrun.resources import acme_dns
from hubrun.resources.acme_dns import DnsChallenge
from hubrun.resources.certificate import AcmeCertificate, AcmeTrust
from hubrun.resources.files import Directory, File
from hubrun.resources.packages import Packages
from hubrun.resources.renewal import HOOK, HOOK_TEXT, RenewalProof, ServedCertificate
from hubrun.resources.services import Service
from hubrun.resources.unit_environment import UnitEnvironment
from hubrun.sections.hub import config
from hubrun.shell import quote

# What is added to the distribution's unit: systemd.unit(5), "drop-in".
NGINX_UNIT = "/etc/systemd/system/nginx.service.d/hubrun.conf"

# A certificate that a person must replace is asked for this many days before its end; one that renews by itself is not.
FILES_DAYS = 14


def paths(site: Site) -> tuple[str, str]:
    """Paths on the server of the certificate with its chain, and of its private key."""
    if site.tls == "files":
        return site.tls_certificate, site.tls_key
    live = f"/etc/letsencrypt/live/{site.domain}"
    return f"{live}/fullchain.pem", f"{live}/privkey.pem"


def dns_challenge(site: Site) -> DnsChallenge | None:
    """How the certificate authority is answered in DNS; None: it is answered by port 80. Raises BadInput."""
    given = site.acme_dns_credentials() if site.acme_dns != "none" else None
    return acme_dns.challenge(site.acme_dns, given, site.acme_dns_seconds) if given else None


def acme(site: Site) -> list[Resource]:
    """What gets the certificate by ACME; nothing with `tls: files`.

    Raises BadInput when a file or variable that a parameter names is not there.
    """
    if site.tls != "acme":
        return []
    dns = dns_challenge(site)
    ca = read_local("acme_ca_file", site.acme_ca_file) if site.acme_ca_file else ""
    certificate = AcmeCertificate(
        site.domain, site.acme_directory, email=site.acme_email, trusted=bool(ca),
        eab_kid=site.acme_eab_kid, eab_hmac=site.acme_eab_hmac(),
        dns=dns, wildcard=site.subdomains,
    )  # fmt: skip
    packages = ("certbot", dns.package) if dns else ("certbot",)
    return [Packages(*packages), AcmeTrust(ca, aws=site.acme_dns == "route53"), certificate]


def nginx_unit(site: Site) -> list[Resource]:
    """What is added to the unit of nginx, and nginx running with it: a reload would leave the process as it was."""
    return [
        Directory(str(PurePosixPath(NGINX_UNIT).parent)),
        File(NGINX_UNIT, config.render("nginx-unit.conf", site), check="systemd-analyze verify --man=no nginx.service"),
        Service("nginx", watches=(NGINX_UNIT,), check="nginx -t", notice=config.PROXY_NOTICE),
    ]


def renewal(site: Site) -> list[Resource]:
    """What renews it, and lets nginx serve the new one; nothing with `tls: files`."""
    if site.tls != "acme":
        return []
    return [
        Directory(str(PurePosixPath(HOOK).parent)),
        File(HOOK, HOOK_TEXT, mode=0o755),
        UnitEnvironment("proxy", ("certbot.service",), site.proxy_environment),
        Service("certbot.timer"),
    ]


def renewal_proof(site: Site) -> list[Resource]:
    """The proof that the renewal works, once it is set up; nothing with `tls: files`."""
    if site.tls != "acme":
        return []
    return [RenewalProof(site.domain, site.acme_directory, dns=site.acme_dns != "none")]


def served(site: Site) -> Resource:
    """nginx serving the certificate that is on the disk."""
    return ServedCertificate(site.domain, paths(site)[0])


def tests(site: Site, certificate: str = "", key: str = "") -> list[Test]:
    """Tests of the certificate and its key as they are on the server's disk, at these paths; else, of the site's."""
    certificate, key = certificate or paths(site)[0], key or paths(site)[1]
    days = FILES_DAYS if site.tls == "files" else 0
    below = [
        Test(
            f"the certificate is for *.{site.domain}", quote("openssl x509 -in {} -noout -checkhost {}", certificate, f"any.{site.domain}"),
            prints="does match certificate", remedy="With subdomains, the site's certificate must name the domain and *.DOMAIN",
        ),
    ] if site.subdomains else []  # fmt: skip
    return [
        Test(
            "certificate and key are on the server", quote("ls -lL {} {}", certificate, key),
            remedy="Put them there, or correct tls_certificate and tls_key",
        ),
        Test(
            "the key has no passphrase", quote("openssl pkey -in {} -passin pass: -noout && echo none", key),
            prints="^none$", remedy="nginx starts without a person who could type it: openssl pkey -in WITH.key -out WITHOUT.key",
        ),
        Test(
            "nobody but root and the key's group may read the key",
            quote('mode=$(stat -Lc %a {})\necho "mode $mode"\n[ "${mode#"${mode%?}"}" = 0 ]', key),
            remedy=f"chmod 0600 {key}",
        ),
        Test(
            "the key is the certificate's",
            quote('a=$(openssl x509 -in {} -noout -pubkey) b=$(openssl pkey -in {} -passin pass: -pubout)\n[ -n "$a" ] && [ "$a" = "$b" ] && echo "they match"', certificate, key),
            prints="they match", remedy="The certificate was made for another key, or the first certificate in the file is not the site's own",
        ),
        Test(
            f"the certificate is for {site.domain}", quote("openssl x509 -in {} -noout -checkhost {}", certificate, site.domain),
            prints="does match certificate", remedy="Ask for a certificate with this name; the site's certificate must be the first in the file",
        ),
        *below,
        Test(
            "the chain is in order: the site's certificate first, then the issuer of each",
            quote(_CHAIN, certificate), prints="in order",
            remedy="cat SITE.pem INTERMEDIATE.pem > fullchain.pem, in this order, without the root",
        ),
        Test(
            "the certificate is valid now" + (f" and for {days} days more" if days else ""),
            quote(_VALID, certificate, days), prints="^valid until",
            remedy="Ask for a new one, and replace the old one with it" if days else "certbot renew; see /var/log/letsencrypt",
        ),
    ]  # fmt: skip


# print_certs gives "subject=…" and "issuer=…" of each certificate in the file's order.
_CHAIN = """
openssl crl2pkcs7 -nocrl -certfile {} | openssl pkcs7 -print_certs -noout | awk '
    sub(/^subject=/, "") { if (n++ && $0 != issuer) { print "certificate " n " (" $0 ") did not sign the one before it, " issuer " did"; bad = 1 } }
    sub(/^issuer=/, "") { issuer = $0 }
    END { if (!n) { print "no certificate in it"; bad = 1 } if (!bad) print n " in order, issued by " issuer; exit bad }'
"""
_VALID = """
path={} days={}
part() { openssl x509 -in "$path" -noout "-$1" | cut -d= -f2; }
start=$(part startdate) end=$(part enddate)
[ "$(date -d "$start" +%s)" -le "$(date +%s)" ] || { echo "not before $start"; exit 1; }
left=$(( ($(date -d "$end" +%s) - $(date +%s)) / 86400 ))
openssl x509 -in "$path" -noout -checkend $((days * 86400)) > /dev/null || { echo "ends $end, in $left days"; exit 1; }
echo "valid until $end, $left days"
"""


def browser_checks(server: Server) -> list[Check]:
    """See `accepted`; nothing in a plan while something is still to be changed."""
    return [] if server.pending else [accepted(server.site)]


def accepted(site: Site) -> Check:
    """Whether a browser here accepts the site's certificate: chain and name, with `trust_ca_file` or the usual CAs."""
    name, expected = f"a browser accepts the certificate of {site.url}", "an answer over verified HTTPS"
    try:
        with Route.to(site).client(15) as client:
            response = client.get(site.url)
        return Check(name, True, expected, f"HTTP status {response.status_code}")
    except httpx.HTTPError as error:
        text = str(error) or type(error).__name__
        cause = (
            "The chain lacks an intermediate, or the CA is a test or private one: set trust_ca_file to its certificate"
            if "CERTIFICATE_VERIFY_FAILED" in text
            else f"Port {site.https_port} must be reachable from here: check the provider's firewall and the DNS record"
        )
        return Check(name, False, expected, text, cause)
