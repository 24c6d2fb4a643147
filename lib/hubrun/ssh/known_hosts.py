"""Which host keys are known: the lines of known_hosts files, as OpenSSH reads them (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

Paramiko's reader stops at a line with a marker, and knows no patterns and no host certificates.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    SSHCertPublicKeyTypes,
    load_ssh_public_identity,
)

AUTHORITY, REVOKED = "@cert-authority", "@revoked"


class Known(NamedTuple):
    """A line that is about the server. marker: AUTHORITY, REVOKED or "". kind: the type of its key."""

    marker: str
    kind: str
    blob: bytes


class Certificate(NamedTuple):
    """A host certificate as the server sent it."""

    kind: str
    blob: bytes


class Refused(Exception):
    """Why a host key is not believed: "unknown", "changed" or "revoked" (`kind`); `text`: what is wrong with a certificate.

    expected: the key that is known in its place.
    """

    def __init__(self, kind: str, text: str = "", expected: bytes = b"") -> None:
        super().__init__(kind, text, expected)
        self.kind, self.text, self.expected = kind, text, expected


def read(files: Iterable[Path], names: Iterable[str]) -> list[Known]:
    """The lines of the files that are about the server: plain keys of the first name that has any, markers of each name.

    Lines that say nothing are passed over. Raises OSError for a file that is there and cannot be read.
    """
    texts = [path.read_bytes().decode(errors="replace") for path in files if path.exists()]
    found: list[Known] = []
    for name in names:
        plain = any(not known.marker for known in found)
        lines = [known for text in texts for line in text.splitlines() if (known := _parse(line, name.lower()))]
        found += [known for known in lines if known.marker or not plain]
    return found


def _parse(line: str, name: str) -> Known | None:
    marker, words = "", line.split()
    if words and words[0].startswith("@"):
        marker, *words = words
    if len(words) < 3 or marker not in ("", AUTHORITY, REVOKED) or not _about(words[0], name):
        return None
    try:
        return Known(marker, words[1], base64.b64decode(words[2], validate=True))
    except binascii.Error:
        return None


def _about(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        try:
            salt, digest = map(base64.b64decode, hosts[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), hashlib.sha1), digest)
    patterns = hosts.lower().split(",")
    refused = any(matches(pattern[1:], name) for pattern in patterns if pattern.startswith("!"))
    return not refused and any(matches(pattern, name) for pattern in patterns)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern of OpenSSH's, in which * and ? stand for others, is the name: ssh_config(5), PATTERNS."""
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name))


def in_list(text: str, key: bytes) -> bool:
    """Whether a list of public keys, one a line, has this one: sshkey.c, sshkey_in_file."""
    words = (word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()[:2])
    return base64.b64encode(key).decode() in words


def algorithms(known: Iterable[Known], every: Iterable[str]) -> list[str]:
    """The host key algorithms in an order in which the server sends what is known of it, if it can (order_hostkeyalgs)."""
    authorities = any(each.marker == AUTHORITY for each in known)
    kinds = {each.kind for each in known if not each.marker}

    def last(name: str) -> bool:
        plain = "ssh-rsa" if name in ("rsa-sha2-512", "rsa-sha2-256") else name
        return not (authorities if "-cert-" in name else plain in kinds)

    return sorted(every, key=last)


def check(key: bytes, certificate: Certificate | None, known: Iterable[Known], name: str) -> None:
    """Raise Refused unless the host key (its blob) is one that is known, or `certificate`, in which it is, is good.

    name: what must be among the certificate's principals. As OpenSSH does it, a key whose certificate is from nobody who is
    known may still be known itself.
    """
    known = list(known)
    authority = authority_of(certificate)
    if any(each.marker == REVOKED and each.blob in (key, authority) for each in known):
        raise Refused("revoked")
    if certificate and any(each.marker == AUTHORITY and each.blob == authority for each in known):
        wrong = _wrong(certificate, name)
        if wrong:
            raise Refused("certificate", wrong)
        return
    plain = [each.blob for each in known if not each.marker]
    if key not in plain:
        raise Refused("changed", expected=plain[0]) if plain else Refused("unknown")


def blob(key: SSHCertPublicKeyTypes) -> bytes:
    """A public key as SSH has it: RFC 4253, 6.6."""
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def _load(certificate: Certificate) -> SSHCertificate | None:
    try:
        loaded = load_ssh_public_identity(f"{certificate.kind} {base64.b64encode(certificate.blob).decode()}".encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return loaded if isinstance(loaded, SSHCertificate) else None


def authority_of(certificate: Certificate | None) -> bytes:
    """The key that signed it; b"" for none, and for one that cannot be read."""
    loaded = _load(certificate) if certificate else None
    return blob(loaded.signature_key()) if loaded else b""


def _wrong(certificate: Certificate, name: str) -> str:
    """What is wrong with a host certificate, "" for nothing: OpenSSH, sshkey.c, sshkey_cert_check_host."""
    loaded = _load(certificate)
    assert loaded
    try:
        loaded.verify_cert_signature()
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return "its signature does not hold"
    # ssh_config(5), CASignatureAlgorithms: not with SHA-1. RFC 4253, 6.6: the signature, which comes last, begins with its name.
    signer = loaded.signature_key()
    if isinstance(signer, RSAPublicKey) and b"\0\0\0\x07ssh-rsa" in certificate.blob[-signer.key_size // 8 - 15 :]:
        return "it is signed with SHA-1, which is not safe any more"
    if loaded.type is not SSHCertificateType.HOST:
        return "it is not one of a host"
    if time.time() < loaded.valid_after:
        return "it is not valid yet, or the clock here is slow"
    if time.time() >= loaded.valid_before:
        return "it has expired, or the clock here is fast"
    principals = [each.decode(errors="replace") for each in loaded.valid_principals]
    if not any(matches(pattern.lower(), name.lower()) for pattern in principals):
        return f"it is for {', '.join(principals) or 'no host at all'}, not for {name}"
    return "it has critical options, which nobody understands" if loaded.critical_options else ""
