"""What stands beside a practice server: ACME server (pebble), its DNS, and an image registry.

One container holds them all. pebble is Let's Encrypt's ACME server for tests; its configuration is described
in the README of letsencrypt/pebble. dnsmasq answers for the server and asks the world; knot keeps the zone of the
domain, and takes the updates (RFC 2136) by which a wildcard certificate is proven.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ETC = "/etc/practice"
ROOTS = "/var/lib/practice/roots.pem"
READY = "/run/practice-ready"
REGISTRY_DATA = "/var/lib/registry"
UPDATES_PORT = 5353
TSIG_NAME = "practice"

_KNOT = """
server:
    listen: 0.0.0.0@{port}
    rundir: /run/knot
log:
  - target: stderr
    any: warning
database:
    storage: /var/lib/practice/knot
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: challenge
    key: {key}
    action: update
    update-type: TXT
    update-owner: name
    update-owner-match: equal
    update-owner-name: _acme-challenge
zone:
  - domain: {domain}
    file: {etc}/zone
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    acl: challenge
""".replace("{etc}", ETC)
_ZONE = """$TTL 1
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
"""
_YEARS = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class Chain:
    """PEM of a CA certificate, and of a certificate with its key that the CA signed."""

    ca: str
    certificate: str
    key: str


def make_chain(common_name: str, names: list[str]) -> Chain:
    """Make a CA named `common_name` and one server certificate for the DNS `names`.

    The CA's key is not kept: nothing else can ever be signed by what a practice server is told to trust.
    """
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())

    def certificate(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + _YEARS)
        )

    ca = (
        certificate(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca_identifier, critical=False)
        # keyCertSign and cRLSign, nothing else
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in [*names, "localhost"]]
    alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    leaf = (
        certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Chain(ca.public_bytes(pem).decode(), leaf.public_bytes(pem).decode(), private.decode())


def credentials(server: str, tsig_key: str) -> str:
    """What certbot's plugin for RFC 2136 reads: where updates go, and what signs them."""
    values = {"server": server, "port": UPDATES_PORT, "name": TSIG_NAME, "secret": tsig_key, "algorithm": "HMAC-SHA256"}
    return "".join(f"dns_rfc2136_{name} = {value}\n" for name, value in values.items())


def configuration(chain: Chain, domain: str, addresses: dict[str, str], tsig_key: str) -> dict[str, tuple[str, int]]:
    """The files of the container: path → (text, mode). `addresses`: DNS name → IPv4 address.

    Below `domain`, the TXT record of the ACME challenge, and that alone, may be updated with `tsig_key`.
    """
    pebble = {
        "listenAddress": "0.0.0.0:14000",
        "managementListenAddress": "0.0.0.0:15000",
        "certificate": f"{ETC}/tls.pem",
        "privateKey": f"{ETC}/tls.key",
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "certificateValidityPeriod": 90 * 24 * 3600,  # as Let's Encrypt's; Debian 12's pebble gives five years
        "externalAccountBindingRequired": False,
    }
    # 127.0.0.11 is Docker's resolver, which passes on to this machine's. The server cannot use it directly:
    # the engine inside the server would find a loopback address, and give its containers 8.8.8.8 instead.
    dns = ["no-resolv", "no-hosts", "server=127.0.0.11", "user=root"]
    # An address holds for all names below it too; what pebble asks for is in knot's zone, and fresh each time.
    dns += [f"address=/{name}/{address}" for name, address in addresses.items()]
    dns += [f"server=/_acme-challenge.{domain}/127.0.0.1#{UPDATES_PORT}", "cache-size=0", "no-negcache"]
    registry = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": REGISTRY_DATA}},
        "http": {"addr": ":5000", "tls": {"certificate": f"{ETC}/tls.pem", "key": f"{ETC}/tls.key"}},
    }
    return {
        f"{ETC}/pebble.json": (json.dumps({"pebble": pebble}, indent=1), 0o600),
        f"{ETC}/dnsmasq.conf": ("\n".join(dns) + "\n", 0o644),
        f"{ETC}/knot.conf": (_KNOT.format(port=UPDATES_PORT, key=TSIG_NAME, secret=tsig_key, domain=domain), 0o600),
        f"{ETC}/zone": (_ZONE, 0o644),
        f"{ETC}/registry.yml": (json.dumps(registry, indent=1), 0o644),  # JSON is YAML
        f"{ETC}/ca.pem": (chain.ca, 0o644),
        f"{ETC}/tls.pem": (chain.certificate, 0o644),
        f"{ETC}/tls.key": (chain.key, 0o600),
    }
