"""Answering a certificate authority in DNS (dns-01, RFC 8555, 8.4), which alone brings wildcard certificates."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from dataclasses import dataclass

from hubrun.errors import BadInput
from hubrun.redaction.secret import Secret

CREDENTIALS = "/etc/letsencrypt/hubrun-dns-credentials"
DROP_IN = "/etc/systemd/system/certbot.service.d/hubrun-acme-dns.conf"
# boto3, which certbot's plugin uses, reads this variable; the plugin has no option for it.
AWS = f"AWS_SHARED_CREDENTIALS_FILE={CREDENTIALS}"

# Who answers updates: host and port. RFC 2136 names its own in the credentials.
_APIS = {
    "digitalocean": ["api.digitalocean.com"],
    "cloudflare": ["api.cloudflare.com"],
    "route53": ["route53.amazonaws.com"],
    "google": ["dns.googleapis.com", "oauth2.googleapis.com"],
}
# What the plugin's documentation calls a token, which may be given alone (certbot-dns-*.readthedocs.io).
_TOKENS = {"digitalocean": "dns_digitalocean_token", "cloudflare": "dns_cloudflare_api_token"}
_NEEDED = {
    "rfc2136": ("dns_rfc2136_server", "dns_rfc2136_name", "dns_rfc2136_secret"),
    "route53": ("aws_access_key_id", "aws_secret_access_key"),
    "google": ("client_email", "private_key"),
}
_LINE = re.compile(r"^\s*(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class DnsChallenge:
    """The DNS service, the text of its credentials file for certbot's plugin, and how many seconds it takes to show a record."""

    service: str
    credentials: Secret
    seconds: int = 60

    @property
    def package(self) -> str:
        """The Debian package of certbot's plugin for this service."""
        return f"python3-certbot-dns-{self.service}"

    @property
    def plugin(self) -> str:
        """The plugin's name, as certbot's options have it."""
        return f"dns-{self.service}"

    @property
    def options(self) -> tuple[str, ...]:
        """certbot's, for this plugin. Route 53 says by itself when a record is seen everywhere."""
        if self.service == "route53":
            return (f"--{self.plugin}",)
        return (
            f"--{self.plugin}", f"--{self.plugin}-credentials", CREDENTIALS,
            f"--{self.plugin}-propagation-seconds", str(self.seconds),
        )  # fmt: skip

    @property
    def renewal(self) -> dict[str, str]:
        """What certbot notes of them for the renewal."""
        prefix = self.plugin.replace("-", "_")
        noted = {} if self.service == "route53" else {
            f"{prefix}_credentials": CREDENTIALS, f"{prefix}_propagation_seconds": str(self.seconds),
        }  # fmt: skip
        return {"authenticator": self.plugin, **noted}

    @property
    def environment(self) -> str:
        """What certbot's environment must have, as NAME=VALUE; empty where the plugin has an option for its credentials."""
        return AWS if self.service == "route53" else ""

    @property
    def line(self) -> bytes:
        """The credentials on one line, for a script's standard input."""
        return base64.b64encode(self.credentials.reveal().encode()) + b"\n"

    @property
    def apis(self) -> list[tuple[str, int]]:
        """Hosts and ports that the server must reach."""
        if self.service == "rfc2136":
            values = dict(_LINE.findall(self.credentials.reveal()))
            return [(values["dns_rfc2136_server"], int(values.get("dns_rfc2136_port") or 53))]
        return [(host, 443) for host in _APIS[self.service]]


def challenge(service: str, given: Secret, seconds: int = 60) -> DnsChallenge:
    """The challenge from what the operator gave: a token alone, where the service has one, or the plugin's whole file.

    Raises BadInput for a file that the plugin would not understand, without showing any of it.
    """
    text = given.reveal().strip()
    if service in _TOKENS and re.fullmatch(r"[\w.-]+", text):
        text = f"{_TOKENS[service]} = {text}"
    if service == "route53" and not text.startswith("["):
        text = f"[default]\n{text}"
    values = _google(text) if service == "google" else dict(_LINE.findall(text))
    # What a program says of a line that it does not understand must not show it.
    for name, value in values.items():
        if re.search("token|secret|key", name) and len(value) >= 8:
            Secret(value, f"acme_dns {name}")
    missing = [name for name in _NEEDED.get(service, ()) if not values.get(name)]
    if service in _TOKENS and not any(name.startswith(f"dns_{service}_") for name in values):
        missing = [_TOKENS[service]]
    if missing:
        raise BadInput(
            f"the credentials for {service} lack {', '.join(missing)}",
            "parameter acme_dns_file or acme_dns_env",
            f"Runbook 03 shows what belongs there; see also certbot-dns-{service}.readthedocs.io",
        )
    if service == "rfc2136":
        _check_server(values)
    return DnsChallenge(service, Secret(text + "\n", "acme_dns credentials"), seconds)


def _google(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _check_server(values: dict[str, str]) -> None:
    try:
        ipaddress.ip_address(values["dns_rfc2136_server"])
        int(values.get("dns_rfc2136_port") or 53)
    except ValueError:
        raise BadInput(
            "dns_rfc2136_server must be an address and dns_rfc2136_port a number",
            "parameter acme_dns_file or acme_dns_env",
        ) from None
