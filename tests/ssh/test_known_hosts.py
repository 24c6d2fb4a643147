"""Which host keys are believed: the lines of known_hosts as OpenSSH reads them, host certificates among them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import SSHCertificateType
from paramiko import Ed25519Key

from hubrun.ssh import known_hosts
from hubrun.ssh.known_hosts import Certificate, Known, Refused
from sshd import authority_line, certify, make_key

CERTIFIED = "ssh-ed25519-cert-v01@openssh.com"
NAME = "hub.example.edu"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Ed25519Key:
    return Ed25519Key.from_private_key_file(str(make_key(tmp_path_factory.mktemp("key") / "host")))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Ed25519Key:
    return Ed25519Key.from_private_key_file(str(make_key(tmp_path_factory.mktemp("key") / "other")))


AUTHORITY, NOBODY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def hashed(name: str) -> str:
    """As `HashKnownHosts yes` writes it."""
    salt = b"0123456789abcdefghij"
    digest = hmac.digest(salt, name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def read(tmp_path: Path, text: str | bytes, *names: str) -> list[Known]:
    file = tmp_path / "known_hosts"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return known_hosts.read([tmp_path / "not there", file], names or (NAME,))


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        (NAME, True), ("other.example.edu", False), (f"other,{NAME}", True), ("HUB.example.edu", True),
        ("*.example.edu", True), ("hub?.example.edu", False), ("h?b.example.edu", True), ("*", True),
        (f"*.example.edu,!{NAME}", False), ("!other.example.edu,*.edu", True), (hashed(NAME), True), (hashed("other"), False),
        ("[hub.example.edu]:22", False), ("|1|broken", False), ("|1|###|###", False), ("[a-z]*.example.edu", False),
    ],
)  # fmt: skip
def test_a_line_is_about_the_hosts_that_it_names(tmp_path: Path, key: Ed25519Key, hosts: str, found: bool) -> None:
    lines = read(tmp_path, f"{hosts} {key.get_name()} {key.get_base64()} a comment\n")
    assert [line.blob for line in lines] == ([key.asbytes()] if found else [])


def test_other_lines_are_passed_over(tmp_path: Path, key: Ed25519Key) -> None:
    good = f"{NAME} {key.get_name()} {key.get_base64()}\n"
    noise = (
        f"# a comment\n\n{NAME}\n{NAME} ssh-rsa\n{NAME} ssh-rsa ~~~\n@other-marker {good}@revoked\n@cert-authority {NAME}\n"
        f"{NAME} 1024 35 12345\n\x00\x01\n"
    )
    assert [line.blob for line in read(tmp_path, b"\xff\xfe\n" + noise.encode() + good.encode())] == [key.asbytes()]


def test_a_line_without_a_port_counts_where_there_is_none_with_it(
    tmp_path: Path, key: Ed25519Key, other: Ed25519Key
) -> None:
    plain = f"{NAME} {key.get_name()} {key.get_base64()}\n"
    with_port = f"[{NAME}]:2222 {key.get_name()} {other.get_base64()}\n"
    names = (f"[{NAME}]:2222", NAME)
    assert [line.blob for line in read(tmp_path, plain, *names)] == [key.asbytes()]
    assert [line.blob for line in read(tmp_path, plain + with_port, *names)] == [other.asbytes()]


def test_an_authority_for_all_ports_does_not_hide_the_key_that_is_known_without_one(
    tmp_path: Path, key: Ed25519Key
) -> None:
    """Seen with OpenSSH 9.2: it asks for the host with its port, and where nothing of it holds, without."""
    plain, names = f"{NAME} {key.get_name()} {key.get_base64()}\n", (f"[{NAME}]:2222", NAME)
    assert verdict(key, read(tmp_path, authority_line("*", NOBODY) + plain, *names)) == "ok"
    certificate, both = certify(key, AUTHORITY, [NAME]), authority_line("*", NOBODY) + authority_line(NAME, AUTHORITY)
    assert verdict(key, read(tmp_path, both, *names), certificate) == "ok"


def test_a_file_that_cannot_be_read_is_an_error_and_none_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        known_hosts.read([tmp_path], [NAME])
    assert known_hosts.read([tmp_path / "not there"], [NAME]) == []


def verdict(key: Ed25519Key, lines: list[Known], certificate: bytes = b"") -> str:
    try:
        known_hosts.check(key.asbytes(), Certificate(CERTIFIED, certificate) if certificate else None, lines, NAME)
    except Refused as refused:
        return refused.text or refused.kind
    return "ok"


def test_a_plain_key_is_known_changed_unknown_or_revoked(tmp_path: Path, key: Ed25519Key, other: Ed25519Key) -> None:
    ours, theirs = (f"{NAME} {each.get_name()} {each.get_base64()}\n" for each in (key, other))
    assert verdict(key, read(tmp_path, ours)) == "ok"
    assert verdict(key, read(tmp_path, theirs + ours)) == "ok", "a second key of the same type, while it is changed"
    assert verdict(key, read(tmp_path, theirs)) == "changed"
    assert verdict(key, read(tmp_path, "")) == "unknown"
    assert verdict(key, read(tmp_path, f"{ours}@revoked * {ours.partition(' ')[2]}")) == "revoked"
    assert verdict(key, read(tmp_path, f"{ours}@revoked elsewhere {ours.partition(' ')[2]}")) == "ok"
    assert verdict(key, read(tmp_path, f"@cert-authority {ours}")) == "unknown", "an authority's own key is no host's"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "ok"),
        ({"names": ["*.example.edu", "x"]}, "ok"),
        ({"names": ["other.example.edu"]}, "it is for other.example.edu, not for hub.example.edu"),
        ({"names": []}, "it is for no host at all, not for hub.example.edu"),
        ({"days": (-3, -1)}, "it has expired, or the clock here is fast"),
        ({"days": (1, 3)}, "it is not valid yet, or the clock here is slow"),
        ({"kind": SSHCertificateType.USER}, "it is not one of a host"),
        ({"critical": True}, "it has critical options, which nobody understands"),
        ({"authority": NOBODY}, "unknown"),
    ],
)
def test_a_host_certificate_is_believed_when_a_known_authority_signed_it_for_this_host(
    tmp_path: Path, key: Ed25519Key, changes: dict[str, Any], says: str
) -> None:
    certificate = certify(key, **({"authority": AUTHORITY, "names": [NAME]} | changes))
    assert verdict(key, read(tmp_path, authority_line("*.example.edu", AUTHORITY)), certificate) == says


def test_an_authority_counts_for_its_hosts_and_until_it_is_revoked(tmp_path: Path, key: Ed25519Key) -> None:
    certificate = certify(key, AUTHORITY, [NAME])
    assert verdict(key, read(tmp_path, authority_line("*.example.org", AUTHORITY)), certificate) == "unknown"
    revoked = authority_line("*", AUTHORITY) + authority_line("*", AUTHORITY, "@revoked")
    assert verdict(key, read(tmp_path, revoked), certificate) == "revoked"
    plain = f"{NAME} {key.get_name()} {key.get_base64()}\n"
    assert verdict(key, read(tmp_path, plain), certificate) == "ok", "its key is known, the authority is not"


def test_a_forged_certificate_is_refused(tmp_path: Path, key: Ed25519Key) -> None:
    good = certify(key, AUTHORITY, [NAME])
    forged = good[:-1] + bytes([good[-1] ^ 1])
    lines = read(tmp_path, authority_line("*", AUTHORITY))
    assert verdict(key, lines, forged) == "its signature does not hold"
    assert verdict(key, lines, b"\x00\x00") == "unknown"


def test_the_server_is_asked_first_for_what_is_known_of_it() -> None:
    every = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-512-cert-v01@openssh.com", CERTIFIED]
    assert known_hosts.algorithms([], every)[:3] == every[:3]
    assert known_hosts.algorithms([Known("", "ssh-rsa", b"")], every)[0] == "rsa-sha2-512"
    assert known_hosts.algorithms([Known("@cert-authority", "ssh-ed25519", b"")], every)[:2] == every[3:]
    assert known_hosts.algorithms([Known("@revoked", "ssh-rsa", b"")], every)[0] == "ssh-ed25519"


@pytest.mark.parametrize(
    ("algorithm", "says"),
    [
        ("rsa-sha2-512", "ok"),
        ("rsa-sha2-256", "ok"),
        ("ssh-rsa", "it is signed with SHA-1, which is not safe any more"),
    ],
)
def test_an_authority_with_an_rsa_key_signs_with_sha_2(
    tmp_path: Path, key: Ed25519Key, algorithm: str, says: str
) -> None:
    """A certificate that ssh-keygen made."""
    make = ["ssh-keygen", "-q"]
    subprocess.run([*make, "-t", "rsa", "-N", "", "-f", tmp_path / "ca"], check=True)
    (tmp_path / "host.pub").write_text(f"{key.get_name()} {key.get_base64()}\n")
    subprocess.run(
        [*make, "-s", tmp_path / "ca", "-t", algorithm, "-I", "id", "-h", "-n", NAME, tmp_path / "host.pub"], check=True
    )
    certificate = base64.b64decode((tmp_path / "host-cert.pub").read_text().split()[1])
    lines = read(tmp_path, f"@cert-authority * {(tmp_path / 'ca.pub').read_text()}")
    assert verdict(key, lines, certificate) == says
