"""A small SSH server on loopback that runs what it is told with this machine's shell: a stand-in for a server."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_key,
)
from paramiko import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED, Channel, Ed25519Key, PKey, ServerInterface, Transport

from hubrun.server_paths import LOCK


def make_key(path: Path, passphrase: bytes = b"") -> Path:
    """A new private key in the file `path`, in the form that ssh-keygen writes."""
    encryption: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption))
    path.chmod(0o600)
    return path


def certify(
    host: Ed25519Key, authority: Ed25519PrivateKey, names: list[str], days: tuple[float, float] = (-1, 1),
    kind: SSHCertificateType = SSHCertificateType.HOST, critical: bool = False,
) -> bytes:  # fmt: skip
    """A certificate's blob: `authority` says that `host` is the key of a server with these names, between these days."""
    public = load_ssh_public_key(f"{host.get_name()} {host.get_base64()}".encode())
    assert isinstance(public, Ed25519PublicKey)
    builder = (
        SSHCertificateBuilder().public_key(public).type(kind).key_id(b"test").serial(1)
        .valid_after(int(time.time() + days[0] * 86400)).valid_before(int(time.time() + days[1] * 86400))
    )  # fmt: skip
    principals = [name.encode() for name in names]
    builder = builder.valid_principals(principals) if names else builder.valid_for_all_principals()
    if critical:
        builder = builder.add_critical_option(b"force-command", b"")
    return base64.b64decode(builder.sign(authority).public_bytes().split()[1])


def authority_line(pattern: str, authority: Ed25519PrivateKey, marker: str = "@cert-authority") -> str:
    """The line of a known_hosts file with which keys that `authority` signs are believed of the hosts of `pattern`."""
    public = authority.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{marker} {pattern} {public} the authority\n"


class Sshd:
    """The server: it lets in whoever has the key `login`, and keeps in `commands` what it was asked to run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.login = make_key(folder / "login")
        self.host_key = Ed25519Key.from_private_key_file(str(make_key(folder / "host")))
        self.commands: list[str] = []
        self.inputs: list[bytes] = []  # what came on their standard input, in pieces: the scripts, and their data
        self.offered: list[str] = []  # fingerprints of the keys with which somebody wanted in
        # Its lock is its own: another test's server, on this same machine, waits for nobody.
        (folder / "flock").write_text(
            f'#!/bin/sh\n[ "$3" = {LOCK} ] && {{ shift 3; set -- -s -o {folder}/lock "$@"; }}\nexec {shutil.which("flock")} "$@"\n'
        )
        (folder / "flock").chmod(0o755)
        self.path = f"{folder}:{os.environ['PATH']}"
        # What the login's shell is given besides the command: `sh -c LOGIN login COMMAND`.
        self.login_shell = 'exec sh -c "$1"'
        self.certificate = b""  # the host key with a certificate around it, in place of the plain one
        self.takes_certificates = (
            True  # of the login's key; an sshd without TrustedUserCAKeys takes the plain one alone
        )
        self._transports: list[Transport] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(self.known(self.host_key))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def known(self, key: PKey) -> str:
        """The line of a known_hosts file that says that this server has `key`."""
        return f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n"

    def parameters(self, **changes: Any) -> dict[str, Any]:
        """Parameters of a site that is set up on this server."""
        return {
            "site": "here", "domain": "hub.example.edu", "ssh_host": "127.0.0.1", "ssh_port": self.port,
            "ssh_key_file": str(self.login), "ssh_known_hosts_file": str(self.known_hosts),
        } | changes  # fmt: skip

    def scripts(self) -> list[bytes]:
        """What was run on it that is no question (hubrun/ssh/session.py, _ask)."""
        return [each for each in self.inputs if b"exec 2>/dev/null\n" not in each]

    def drop(self) -> None:
        """Cut every connection."""
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        # The thread ends before the descriptor is free: it accepted the next server's connections otherwise.
        self._socket.shutdown(socket.SHUT_RDWR)
        self.drop()
        self._accepting.join(10)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                transport = Transport(client)
                transport.add_server_key(self.host_key)
                if self.certificate:
                    transport.server_key_dict = {"ssh-ed25519-cert-v01@openssh.com": _Certified(self)}
                self._transports.append(transport)
                with contextlib.suppress(Exception):  # a client that turns away at the host key
                    transport.start_server(server=_Session(self))


class _Certified(Ed25519Key):
    """The host key as a server sends it that has a certificate for it."""

    def __init__(self, sshd: Sshd) -> None:
        super().__init__(filename=str(sshd.folder / "host"))
        self.certificate = sshd.certificate

    def asbytes(self) -> bytes:
        return self.certificate


class _Session(ServerInterface):
    def __init__(self, sshd: Sshd) -> None:
        self.sshd = sshd
        self.key = Ed25519Key.from_private_key_file(str(sshd.login))

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: PKey) -> int:
        self.sshd.offered.append(key.fingerprint + (" with a certificate" if key.public_blob else ""))
        taken = key == self.key and (self.sshd.takes_certificates or not key.public_blob)
        return AUTH_SUCCESSFUL if taken else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Channel, command: bytes) -> bool:
        self.sshd.commands.append(command.decode())
        threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True).start()
        return True

    def _run(self, channel: Channel, command: str) -> None:
        environment = {"PATH": self.sshd.path, "HOME": str(self.sshd.folder)}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            ["sh", "-c", self.sshd.login_shell, "login", command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            start_new_session=True,
        )
        assert process.stdin and process.stdout and process.stderr
        threading.Thread(target=_feed, args=(channel, process.stdin, self.sshd.inputs), daemon=True).start()
        errors = threading.Thread(target=_pump, args=(process.stderr, channel.sendall_stderr), daemon=True)
        errors.start()
        _pump(process.stdout, channel.sendall)
        if channel.closed:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        errors.join()
        with contextlib.suppress(OSError, EOFError):
            channel.send_exit_status(process.wait())
            channel.close()


def _feed(channel: Channel, into: Any, kept: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        while chunk := channel.recv(1 << 15):
            kept.append(chunk)
            into.write(chunk)
            into.flush()
    with contextlib.suppress(OSError):
        into.close()


def _pump(source: Any, send: Any) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.read1(1 << 15):
            send(chunk)


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Sshd]:
    """A running server that keeps its keys in `folder`."""
    server = Sshd(folder)
    try:
        yield server
    finally:
        server.close()
