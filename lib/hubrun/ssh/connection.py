"""Opening the SSH connection: Fabric's, with the host key verified and dead links noticed.

Fabric accepts any host key, changed ones too, and loads no known_hosts; Paramiko waits an hour on a dead link.
Both are corrected here, before the connection is used.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
import socket
from pathlib import Path
from typing import Any

from fabric import Connection
from paramiko import PKey, RejectPolicy, SSHClient
from paramiko.client import MissingHostKeyPolicy
from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    NoValidConnectionsError,
    PasswordRequiredException,
    SSHException,
)
from typing_extensions import override

from hubrun.errors import BadInput, Unreachable
from hubrun.params import Site

CONNECT_SECONDS = 10
# Linux closes a connection whose data stays unacknowledged this long: tcp(7), TCP_USER_TIMEOUT.
DEAD_AFTER_MS = 30_000


class _Pinned(MissingHostKeyPolicy):
    """Accepts the one host key with the given fingerprint."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    @override
    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        if fingerprint(key) != self.fingerprint:
            raise SSHException(f"its key is {fingerprint(key)}, the pinned one {self.fingerprint}")


def fingerprint(key: PKey) -> str:
    """The key's fingerprint as `ssh-keygen -l` prints it: SHA256 and unpadded base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def open(site: Site) -> tuple[Any, str]:
    """A live Fabric connection to the site's server, and the fingerprint of its host key.

    Raises Unreachable for a server that cannot be logged in to, BadInput for files that are not there.
    """
    where = f"{site.ssh_user}@{site.host}:{site.ssh_port}"
    kwargs: dict[str, Any] = {"channel_timeout": 20, "banner_timeout": CONNECT_SECONDS, "auth_timeout": 20}
    if site.ssh_key_file:
        key = Path(site.ssh_key_file).expanduser()
        if not key.is_file():
            raise BadInput(f"there is no key file {key}", "parameter ssh_key_file")
        kwargs |= {"key_filename": str(key), "look_for_keys": False, "allow_agent": False}
    connection = Connection(
        site.host, user=site.ssh_user, port=site.ssh_port, connect_timeout=CONNECT_SECONDS, connect_kwargs=kwargs
    )
    _trust(connection.client, site)
    try:
        connection.open()
    except BadHostKeyException as error:
        raise Unreachable(
            f"the server's host key has changed: it is {fingerprint(error.key)}, known is {fingerprint(error.expected_key)}",
            where,
            f"Somebody may listen in. If the server was installed again, remove its line: {_forget(site)}",
        ) from None
    except PasswordRequiredException:
        raise Unreachable(
            "the key file has a passphrase", where, "Load it into an agent (ssh-add), leave ssh_key_file empty"
        ) from None
    except AuthenticationException:
        raise Unreachable(
            "the server refused the login", where, "Check ssh_user and ssh_key_file; try ssh by hand"
        ) from None
    except socket.gaierror:
        raise Unreachable("there is no such host name", where, "Check ssh_host, or the domain's DNS record") from None
    except (NoValidConnectionsError, TimeoutError, OSError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else _reason(error)
        raise Unreachable(
            f"cannot connect: {reason}", where, "Is the server on, ssh_port right, the firewall open?"
        ) from None
    except SSHException as error:
        if "not found in known_hosts" in str(error):
            raise Unreachable(
                "the server's host key is not known",
                where,
                "Pin the one your provider shows with ssh_host_fingerprint, or log in once with ssh and compare it",
            ) from None
        if "private key" in str(error):
            raise BadInput(f"{site.ssh_key_file} cannot be used: {error}", "parameter ssh_key_file") from None
        raise Unreachable(f"the SSH connection failed: {error}", where) from None
    _tune(connection.transport)
    return connection, fingerprint(connection.transport.get_remote_server_key())


def _trust(client: SSHClient, site: Site) -> None:
    if site.ssh_host_fingerprint:
        client.set_missing_host_key_policy(_Pinned(site.ssh_host_fingerprint))
        return
    known_hosts = Path(site.ssh_known_hosts_file or "~/.ssh/known_hosts").expanduser()
    if known_hosts.is_file():
        client.load_host_keys(str(known_hosts))
    elif site.ssh_known_hosts_file:
        raise BadInput(f"there is no file {known_hosts}", "parameter ssh_known_hosts_file")
    client.set_missing_host_key_policy(RejectPolicy())


def _forget(site: Site) -> str:
    """The command that takes the server's line out of known_hosts: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    name = site.host if site.ssh_port == 22 else f"[{site.host}]:{site.ssh_port}"
    file = f" -f {shlex.quote(site.ssh_known_hosts_file)}" if site.ssh_known_hosts_file else ""
    return f"ssh-keygen -R '{name}'{file}"


def _tune(transport: Any) -> None:
    transport.set_keepalive(10)
    with contextlib.suppress(OSError, AttributeError):  # a proxy command in place of a socket, or not Linux
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_MS)


def _reason(error: OSError) -> str:
    cause = next(iter(error.errors.values())) if isinstance(error, NoValidConnectionsError) else error
    return (getattr(cause, "strerror", None) or str(cause)).lower()
