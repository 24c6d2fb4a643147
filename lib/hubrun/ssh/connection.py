"""Opening the SSH connection: Fabric's, to where OpenSSH would go, the host key verified as it does, and dead links noticed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import shlex
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity
from fabric import Config, Connection
from paramiko import Agent, AgentKey, PKey, SSHClient, SSHConfig, Transport
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import AuthenticationException, SSHException
from typing_extensions import override

from hubrun.errors import BadInput, Unreachable
from hubrun.params import Site
from hubrun.ssh import known_hosts, openssh_config
from hubrun.ssh.known_hosts import Certificate, Known, Refused
from hubrun.ssh.openssh_config import Target

CONNECT_SECONDS = 10
LOGIN_SECONDS = 20
# Linux closes a connection whose data stays unacknowledged this long: tcp(7), TCP_USER_TIMEOUT.
DEAD_AFTER_MS = 30_000
# Paramiko logs a traceback of what it also raises; without a handler, logging would print it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass
class Login:
    """A login on a server. connection: Fabric's, open. host_key: its type and the key itself, as known_hosts has them."""

    connection: Any
    target: Target
    fingerprint: str
    host_key: str


@dataclass(frozen=True)
class ShownKey:
    """A host key that a server showed. kind: such as ssh-ed25519. refused: why it is not believed, "" when it is.

    another: something is known of the server already, and this is not it.
    """

    kind: str
    fingerprint: str
    refused: str = ""
    another: bool = False


class _Client(SSHClient):
    """What Fabric connects with: goes where ssh would. Paramiko's own knows no `Match`, and no host certificates."""

    fingerprint = host_key = ""

    def __init__(self, site: Site, target: Target) -> None:
        super().__init__()
        self._site, self._target = site, target

    @override
    def connect(self, *_: Any, **__: Any) -> None:
        self._transport, self.fingerprint = _log_in_to(self._site, self._target)
        key = self._transport.get_remote_server_key()
        self.host_key = f"{key.get_name()} {base64.b64encode(key.asbytes()).decode()}"


def fingerprint(key: bytes) -> str:
    """The fingerprint of a key's blob as `ssh-keygen -l` prints it: SHA256 and unpadded base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def open(site: Site) -> Login:
    """Log in to the site's server.

    Raises Unreachable for a server that cannot be logged in to, BadInput for files that are not there.
    """
    target = openssh_config.target(site)
    if site.ssh_key_file and not target.identities[0].is_file():
        raise BadInput(f"there is no key file {target.identities[0]}", "parameter ssh_key_file")
    # Fabric would read ssh's configuration too, in Paramiko's way.
    config = Config(ssh_config=SSHConfig())
    connection = Connection(target.host, user=target.user, port=target.port, config=config)
    client = connection.client = _Client(site, target)
    connection.open()
    return Login(connection, target, client.fingerprint, client.host_key)


def _log_in_to(site: Site, target: Target) -> tuple[Transport, str]:
    known = _known(site, target)
    transport, key = _exchange_keys(target, known)
    try:
        host_key = _verified(key, site, target, known)
        _log_in(transport, site, target)
    except BaseException:
        transport.close()
        raise
    _tune(transport)
    return transport, host_key


def show_host_key(site: Site) -> ShownKey:
    """The host key that the site's server shows to whoever asks. No login is tried. Raises Unreachable, BadInput."""
    target = openssh_config.target(site)
    known = _known(site, target)
    transport, key = _exchange_keys(target, known)
    transport.close()
    try:
        _verified(key, site, target, known)
    except Unreachable as refused:
        return ShownKey(key.get_name(), fingerprint(key.asbytes()), refused.what, another=bool(known))
    return ShownKey(key.get_name(), fingerprint(key.asbytes()))


def _exchange_keys(target: Target, known: list[Known]) -> tuple[Transport, PKey]:
    """A connection, and the host key that the server has proved to have. Nobody has verified it. Raises Unreachable."""
    with tempfile.TemporaryFile() as errors:
        try:
            transport = Transport(_socket(target, errors))
        except socket.gaierror:
            remedy = "Check ssh_host, or the domain's DNS record"
            raise Unreachable("there is no such host name", str(target), remedy) from None
        except (OSError, SSHException) as error:
            raise _no_connection(error, target, errors) from None
        try:
            transport.banner_timeout, transport.channel_timeout = CONNECT_SECONDS, LOGIN_SECONDS
            transport.auth_timeout = LOGIN_SECONDS
            security = transport.get_security_options()
            certified = [f"{name}-cert-v01@openssh.com" for name in security.key_types]
            security.key_types = known_hosts.algorithms(known, [*security.key_types, *certified])
            transport.start_client(timeout=CONNECT_SECONDS)
            return transport, transport.get_remote_server_key()
        except BaseException as error:
            transport.close()
            if isinstance(error, (OSError, EOFError, SSHException)):
                raise _no_connection(error, target, errors) from None
            raise


# -- the way there


def _socket(target: Target, errors: IO[bytes]) -> socket.socket:
    if not target.proxy:
        return socket.create_connection((target.host, target.port), CONNECT_SECONDS)
    ours, its = socket.socketpair()
    # As OpenSSH does it: sshconnect.c, ssh_proxy_connect. It ends with the connection.
    shell = os.environ.get("SHELL") or "/bin/sh"
    with its:
        subprocess.Popen(
            [shell, "-c", f"exec {target.proxy}"],
            stdin=its.fileno(),
            stdout=its.fileno(),
            stderr=errors,
            start_new_session=True,
        )
    return ours


def _no_connection(error: Exception, target: Target, errors: IO[bytes]) -> Unreachable:
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().splitlines()
    if target.proxy:
        reason = f": {said[-1].strip()}" if said else ""
        what = f"the way there, `{shlex.split(target.proxy)[0]} …`, does not lead to it{reason}"
        return Unreachable(what, str(target), f"Try it by hand: {target.proxy}")
    if isinstance(error, OSError):
        reason = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
        return Unreachable(
            f"cannot connect: {reason}", str(target), "Is the server on, ssh_port right, the firewall open?"
        )
    if str(error) == "No existing session" or "banner" in str(error):  # nothing came in time, or something else
        what = "something answers there, but not as an SSH server does"
        return Unreachable(what, str(target), "Are ssh_host and ssh_port right?")
    return Unreachable(f"the SSH connection failed: {error}", str(target))


def _tune(transport: Transport) -> None:
    transport.set_keepalive(10)
    assert isinstance(transport.sock, socket.socket)
    with contextlib.suppress(OSError, AttributeError):  # a proxy command in place of a connection, or not Linux
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_MS)


# -- the host key


def _known(site: Site, target: Target) -> list[Known]:
    if site.ssh_host_fingerprint:
        return []
    if site.ssh_known_hosts_file and not target.known_hosts[0].exists():
        raise BadInput(f"there is no file {target.known_hosts[0]}", "parameter ssh_known_hosts_file")
    try:
        return known_hosts.read(target.known_hosts, target.names)
    except OSError as error:
        raise BadInput(
            f"{error.filename} cannot be read: {error.strerror}", "known_hosts", "Let your account read it"
        ) from None


def _verified(key: PKey, site: Site, target: Target, known: list[Known]) -> str:
    """The fingerprint of the server's host key. Raises Unreachable unless it is one that may be believed."""
    blob = key.asbytes()
    shown = fingerprint(blob)
    if site.ssh_host_fingerprint:
        if shown != site.ssh_host_fingerprint:
            what = f"its host key is {shown}, the pinned one {site.ssh_host_fingerprint}"
            raise Unreachable(what, str(target), "Somebody may listen in, or ssh_host_fingerprint is of another key")
        return shown
    sent = key.public_blob
    try:
        certificate = Certificate(sent.key_type, sent.key_blob) if sent else None
        known_hosts.check(blob, certificate, known, target.principal)
        if target.revoked and _is_revoked(key, certificate, Path(target.revoked).expanduser()):
            raise Refused("revoked")
    except Refused as refused:
        raise _refusal(refused, shown, site, target) from None
    return shown


def _is_revoked(key: PKey, certificate: Certificate | None, file: Path) -> bool:
    """Whether RevokedHostKeys names it, or cannot be read: ssh_config(5). A KRL is for ssh-keygen to read (its PROTOCOL)."""
    try:
        content = file.read_bytes()
    except OSError:
        return True
    if not content.startswith(b"SSHKRL\n"):
        keys = (key.asbytes(), known_hosts.authority_of(certificate))
        return any(known_hosts.in_list(content.decode(errors="replace"), each) for each in keys)
    kind, blob = certificate or Certificate(key.get_name(), key.asbytes())
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as public:
        public.write(f"{kind} {base64.b64encode(blob).decode()}\n")
        public.flush()
        asked = subprocess.run(["ssh-keygen", "-Q", "-f", file, public.name], capture_output=True, check=False)
    return asked.returncode != 0


def _refusal(refused: Refused, shown: str, site: Site, target: Target) -> Unreachable:
    what, remedy = {
        "unknown": (
            "the server's host key is not known",
            "Pin the one your provider shows with ssh_host_fingerprint, or log in once with ssh and compare it",
        ),
        "changed": (
            f"the server's host key has changed: it is {shown}, known is {fingerprint(refused.expected)}",
            "Somebody may listen in. If the server was installed again, remove its line: " + _forget(site, target),
        ),
        "revoked": (
            f"the server's host key is revoked: {shown}",
            "Whoever has this key may listen in: the server needs a new one before anybody logs in",
        ),
        "certificate": (
            f"the server's host certificate is signed by a known authority, and is not good: {refused.text}",
            "Renew it on the server, or connect by a name that is in it",
        ),
    }[refused.kind]
    return Unreachable(what, str(target), remedy)


def _forget(site: Site, target: Target) -> str:
    """The command that takes the server's line out of known_hosts: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    file = f" -f {shlex.quote(site.ssh_known_hosts_file)}" if site.ssh_known_hosts_file else ""
    return f"ssh-keygen -R '{target.names[0]}'{file}"


# -- the login


def _log_in(transport: Transport, site: Site, target: Target) -> None:
    locked: list[Path] = []
    tried = 0
    for key in _keys(site, target, locked):
        tried += 1
        with contextlib.suppress(AuthenticationException, SSHException):
            if not transport.auth_publickey(target.user, key):
                return
            what = "the server wants a second proof besides the key, such as a code"
            raise Unreachable(what, str(target), "Let this login in by its key alone")
        if not transport.is_active():
            what = f"the server ended the connection after {tried} keys that it does not take"
            raise Unreachable(what, str(target), "Say which is the right one: ssh_key_file")
    if locked and not tried:
        what = (
            f"the key file {locked[0]} has a passphrase" if not site.ssh_key_file else "the key file has a passphrase"
        )
        raise Unreachable(what, str(target), "Load it into an agent (ssh-add), leave ssh_key_file empty")
    if not tried:
        raise Unreachable(
            "there is no key to log in with", str(target), "Set ssh_key_file, or load one into an SSH agent"
        )
    raise Unreachable("the server refused the login", str(target), "Check ssh_user and ssh_key_file; try ssh by hand")


def _keys(site: Site, target: Target, locked: list[Path]) -> Iterator[PKey]:
    """The keys to try: those of the key files, out of the agent where it has them, then what else the agent has."""
    agent = _agent_keys(target.agent)
    for path in target.identities:
        public = _public_part(path)
        held = [key for key in agent if public and public in (key.asbytes(), key.blob)]
        agent = [key for key in agent if key not in held]
        certificates = [Path(f"{path}-cert.pub"), *target.certificates]
        for key in held:
            yield from _offered(key, certificates)
        if not held and path.is_file():
            try:
                yield from _offered(PKey.from_path(path), certificates)
            except TypeError:  # cryptography's, for a key that needs a passphrase
                locked.append(path)
            except (ValueError, UnsupportedAlgorithm, UnknownKeyType, SSHException, OSError) as error:
                if site.ssh_key_file:
                    reason = error.strerror if isinstance(error, OSError) else "not a valid private key"
                    raise BadInput(f"{site.ssh_key_file} cannot be used: {reason}", "parameter ssh_key_file") from None
    yield from () if target.only_identities else agent


def _offered(key: PKey, certificates: list[Path]) -> Iterator[PKey]:
    """The key with each certificate that is for it, then by itself: OpenSSH, sshconnect2.c, pubkey_prepare."""
    for path in certificates:
        with contextlib.suppress(OSError, ValueError, UnsupportedAlgorithm, SSHException):
            found = load_ssh_public_identity(path.read_bytes())
            if isinstance(found, SSHCertificate) and known_hosts.blob(found.public_key()) == key.asbytes():
                key.load_certificate(str(path))
                yield key
    key.public_blob = None
    yield key


# Several logins may go on at once, and Paramiko knows the agent by the environment alone.
_AGENT = threading.Lock()


def _agent_keys(agent: str) -> list[AgentKey]:
    with _AGENT:
        before = os.environ.get("SSH_AUTH_SOCK")
        try:
            os.environ["SSH_AUTH_SOCK"] = os.path.expanduser(agent)
            return list(Agent().get_keys())  # type: ignore[arg-type]
        except (SSHException, OSError):
            return []
        finally:
            os.environ.pop("SSH_AUTH_SOCK", None)
            if before is not None:
                os.environ["SSH_AUTH_SOCK"] = before


def _public_part(path: Path) -> bytes:
    """The blob of the public key that is beside a private one, or is the file itself; b"" for none."""
    for file in (path.with_name(path.name + ".pub"), path):
        with contextlib.suppress(OSError, ValueError, IndexError):
            return base64.b64decode(file.read_text().split()[1], validate=True)
    return b""
