"""What a practice server takes from this machine: package mirror, proxies, certificates of its own."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Mirror:
    """Base addresses of Debian's archive and of its security archive; empty: those that mmdebstrap or an image brings."""

    main: str = ""
    security: str = ""

    def sources(self, release: str) -> str:
        """The deb822 source entries (sources.list(5)) for a release such as "bookworm"."""
        parts = ((self.main, f"{release} {release}-updates"), (self.security, f"{release}-security"))
        return "\n".join(
            f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
            for uri, suites in parts
            if uri
        )


def mirror(etc_apt: Path = Path("/etc/apt")) -> Mirror:
    """The Debian mirror in this machine's apt sources; empty addresses where they name none.

    Only Debian's archive has suites named `…-updates` and `…-security`: other repositories that call their
    suites after a Debian release are passed over that way. Ubuntu's are told apart by their addresses.
    """
    found: dict[str, str] = {}
    targets = ["indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    for line in _asked("apt-get", "-o", f"Dir::Etc={etc_apt}", *targets).splitlines():
        uri, _, suite = line.partition(" ")
        kind = suite.rpartition("-")[2]
        if kind in ("updates", "security") and uri.startswith("http") and "ubuntu" not in uri:
            found.setdefault(kind, uri.rstrip("/"))
    return Mirror(found.get("updates", ""), found.get("security", ""))


def _asked(*command: str) -> str:
    """What one of apt's programs prints; nothing where there is no apt."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def proxies(environ: Mapping[str, str] = os.environ, apt_config: str | None = None) -> dict[str, str]:
    """The proxies for `http` and `https` that apt uses here: apt's configuration, else the environment."""
    apt_config = _asked("apt-config", "dump") if apt_config is None else apt_config
    found = {}
    for scheme in ("http", "https"):
        match = re.search(rf'^Acquire::{scheme}::proxy "([^"]+)";', apt_config, re.MULTILINE | re.IGNORECASE)
        name = f"{scheme}_proxy"
        value = match[1] if match else environ.get(name, environ.get(name.upper(), ""))
        if value and value != "DIRECT":
            found[scheme] = value
    return found


def apt_files(release: str, debian: Mirror, via: Mapping[str, str], certificates: list[str]) -> dict[str, str]:
    """The files under /etc/apt of a practice server: sources, and proxy and CA if this machine needs them."""
    files = {"sources.list.d/debian.sources": debian.sources(release)} if debian.main else {}
    lines = [f'Acquire::{scheme}::Proxy "{address}";' for scheme, address in via.items()]
    if certificates and debian.main.startswith("https:"):
        files["mirror-ca.pem"] = "".join(certificates)
        lines.append('Acquire::https::CAInfo "/etc/apt/mirror-ca.pem";')
    if lines:
        files["apt.conf.d/80provider"] = "\n".join(lines) + "\n"
    return files


def certificates(
    bundle: Path | None = None,
    mozilla: Path = Path("/usr/share/ca-certificates/mozilla"),
    local: Path = Path("/usr/local/share/ca-certificates"),
) -> list[str]:
    """PEM of each CA certificate that this machine trusts and Mozilla's collection does not hold.

    Behind a proxy that opens TLS, downloads on the server need them too. Where Debian's package
    ca-certificates is not there to compare with, only the administrator's own folder counts.
    """
    bundle = bundle or Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    known = {_der(pem) for path in mozilla.glob("*.crt") for pem in split_pem(path.read_text())}
    candidates = [bundle] if known and bundle.exists() else sorted(local.glob("*.crt"))
    found = {_der(pem): pem for path in candidates for pem in split_pem(path.read_text())}
    return [pem for fingerprint, pem in found.items() if fingerprint not in known]


def split_pem(text: str) -> list[str]:
    """The certificates in a PEM text, one by one, without what stands between them."""
    return [pem.rstrip() + "\n" for pem in _CERTIFICATE.findall(text)]


def _der(pem: str) -> bytes:
    # Not parsed: some CA certificates in use break rules that a parser insists on.
    return ssl.PEM_cert_to_DER_cert(pem)
