"""The site's certificate, with `tls: files`, replaced by another that a person got."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.params import Site, read_local
from hubrun.resources.exchanged_certificate import NEW, ExchangedCertificate
from hubrun.sections.https import site_certificate
from hubrun.shell import quote

# openssl-verify(1): the first certificate of the file is the one that is verified. With `trust_ca_file` that CA counts
# besides the server's own. Where the server does not know the CA of what nginx serves either, nothing can be said.
_TRUSTED = """
new={} domain={} ca=$(mktemp)
trap 'rm -f "$ca"' EXIT
cat /etc/ssl/certs/ca-certificates.crt > "$ca" 2> /dev/null || true
printf '%s' {} >> "$ca"
said=$(openssl verify -CAfile "$ca" -untrusted "$new" "$new" 2>&1) && { echo 'its CA is known'; exit 0; }
openssl s_client -connect 127.0.0.1:443 -servername "$domain" -CAfile "$ca" -verify_return_error < /dev/null > /dev/null 2>&1 ||
    { echo 'as little known as that of the present one'; exit 0; }
printf '%s\\n' "$said"
exit 1
"""


def test(server: Server) -> None:
    """Test what lies beside certificate and key on the server, or, where nothing does, those that are there.

    Raises CheckFailed; nothing was touched then. Nothing is tested where `rotate` does not ask for it.
    """
    site = server.site
    if "certificate" in site.rotate:
        server.check(*_tests(site, *_found(server)))


def exchanged(site: Site) -> list[Resource]:
    """The new certificate and key in place, and nginx serving what is there."""
    if "certificate" not in site.rotate:
        return []
    return [ExchangedCertificate(*site_certificate.paths(site)), site_certificate.served(site)]


def _found(server: Server) -> tuple[str, str]:
    """The paths of certificate and key as they would be: the new one of each, where there is one."""
    present = site_certificate.paths(server.site)
    there = server.probe(
        quote('for path in {}; do [ ! -e "$path" ] || echo "$path"; done', [path + NEW for path in present])
    )
    new = there[0].stdout.splitlines()
    certificate, key = (path + NEW if path + NEW in new else path for path in present)
    return certificate, key


def _tests(site: Site, certificate: str, key: str) -> list[Test]:
    ca = read_local("trust_ca_file", site.trust_ca_file) if site.trust_ca_file else ""
    trusted = Test(
        f"browsers trust the CA of {certificate}", quote(_TRUSTED, certificate, site.domain, ca),
        prints="^(its CA is known|as little)",
        remedy="Put the intermediate certificates into the file, behind the site's; for a private CA, set trust_ca_file",
    )  # fmt: skip
    return [*site_certificate.tests(site, certificate, key), trusted]
