"""Logging in and running things over a real SSH connection, with all that can be wrong on the way."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import SSHCertificateType
from paramiko import Ed25519Key

from hubrun.desired import server as server_module
from hubrun.desired.cards import MIME
from hubrun.desired.checks import Check, Test
from hubrun.desired.resource import Action, Resource
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CheckFailed, CommandFailed, ConnectionLost, HubrunError, Unreachable
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources.docker import DaemonSettings
from hubrun.resources.files import Directory, File
from hubrun.resources.packages import Packages
from hubrun.server_paths import BUILDS, LOCK
from hubrun.ssh import connection, openssh_config, session
from hubrun.ssh.connection import ShownKey, fingerprint
from hubrun.ssh.prefetch import EXPECTED, Question
from sshd import Sshd, authority_line, certify, make_key, serve


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def server(sshd: Sshd) -> Iterator[Server]:
    with Server.connect(Site(**sshd.parameters())) as connected:
        yield connected


def refusal(kind: type[HubrunError], parameters: dict[str, Any]) -> str:
    """What is said when the login fails; it must be of the class `kind`, and bad input for whoever ran the command."""
    with pytest.raises(HubrunError) as caught:
        Server.connect(Site(**parameters))
    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    return str(caught.value)


# -- logging in ------------------------------------------------------------------------------------------------


def test_a_server_whose_host_key_is_known_is_logged_in_to(sshd: Sshd, server: Server) -> None:
    assert server.fingerprint == sshd.host_key.fingerprint
    assert {"os", "version", "hostname", "arch", "memory_mb"} <= server.facts.keys()
    assert server.facts["uid"] == "0"


def test_a_pinned_fingerprint_is_enough(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    site = Site(
        **sshd.parameters(ssh_known_hosts_file=str(tmp_path / "empty"), ssh_host_fingerprint=sshd.host_key.fingerprint)
    )
    Server.connect(site).close()


def test_another_key_than_the_pinned_one_is_refused_even_when_known_hosts_has_it(sshd: Sshd) -> None:
    said = refusal(Unreachable, sshd.parameters(ssh_host_fingerprint="SHA256:" + "A" * 43))
    assert f"root@127.0.0.1:{sshd.port}" in said
    assert sshd.host_key.fingerprint in said and "SHA256:AAAA" in said


def test_a_changed_host_key_is_refused_before_anything_is_run(sshd: Sshd, tmp_path: Path) -> None:
    other = Ed25519Key.from_private_key_file(str(make_key(tmp_path / "other")))
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known(other))
    before = len(sshd.commands)
    said = refusal(Unreachable, sshd.parameters(ssh_known_hosts_file=str(known)))
    assert "host key has changed" in said and "Somebody may listen in" in said
    assert sshd.host_key.fingerprint in said and other.fingerprint in said
    assert len(sshd.commands) == before
    assert f"remove its line: ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {known}" in said


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "ssh-keygen -R 'hub.example.edu'"),
        ({"ssh_host": "10.0.0.5", "ssh_port": 2222}, "ssh-keygen -R '[10.0.0.5]:2222'"),
        ({"ssh_known_hosts_file": "k"}, "ssh-keygen -R 'hub.example.edu' -f k"),
    ],
)
def test_the_remedy_for_a_changed_key_names_the_line_as_known_hosts_does(changes: dict[str, Any], command: str) -> None:
    site = Site(site="x", domain="hub.example.edu", **changes)
    assert connection._forget(site, openssh_config.target(site)) == command


def test_an_unknown_host_key_is_refused_with_two_ways_on(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    said = refusal(Unreachable, sshd.parameters(ssh_known_hosts_file=str(tmp_path / "empty")))
    assert "host key is not known" in said
    assert "ssh_host_fingerprint" in said and "log in once with ssh" in said


def test_what_host_key_a_server_shows_is_read_without_a_login(sshd: Sshd, tmp_path: Path) -> None:
    offered, known = len(sshd.offered), tmp_path / "known"
    other = Ed25519Key.from_private_key_file(str(make_key(tmp_path / "other")))

    def shown(text: str) -> ShownKey:
        known.write_text(text)
        return connection.show_host_key(Site(**sshd.parameters(ssh_known_hosts_file=str(known))))

    key = ("ssh-ed25519", sshd.host_key.fingerprint)
    assert shown(sshd.known(sshd.host_key)) == ShownKey(*key)
    assert shown("") == ShownKey(*key, "the server's host key is not known")
    changed = shown(sshd.known(other))
    assert (changed.kind, changed.fingerprint, changed.another) == (*key, True)
    assert "has changed" in changed.refused
    assert len(sshd.offered) == offered


@pytest.mark.parametrize(
    ("changes", "kind", "pieces"),
    [
        ({"ssh_key_file": "/nowhere/key"}, BadInput, ["no key file /nowhere/key", "ssh_key_file"]),
        ({"ssh_known_hosts_file": "/nowhere/hosts"}, BadInput, ["no file /nowhere/hosts", "ssh_known_hosts_file"]),
        ({"ssh_key_file": "stranger"}, Unreachable, ["the server refused the login", "Check ssh_user and ssh_key_file"]),
        ({"ssh_key_file": "locked"}, Unreachable, ["the key file has a passphrase", "ssh-add"]),
        ({"ssh_key_file": "login.pub"}, BadInput, ["login.pub cannot be used: not a valid", "ssh_key_file"]),
        ({"ssh_port": 1}, Unreachable, ["root@127.0.0.1:1", "cannot connect: connection refused", "ssh_port right"]),
    ],
    ids=["no key", "no known_hosts", "another's key", "passphrase", "a public key", "closed port"],
)  # fmt: skip
def test_what_keeps_us_out_is_said_with_what_to_do(
    sshd: Sshd, tmp_path: Path, changes: dict[str, Any], kind: type[HubrunError], pieces: list[str]
) -> None:
    make_key(tmp_path / "stranger")
    make_key(tmp_path / "locked", b"passphrase")
    (tmp_path / "login.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI it@example.edu\n")
    if (tmp_path / str(changes.get("ssh_key_file"))).is_file():
        changes = {"ssh_key_file": str(tmp_path / changes["ssh_key_file"])}
    said = refusal(kind, sshd.parameters(**changes))
    assert all(piece in said for piece in pieces), said


def test_a_host_name_that_does_not_resolve(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    said = refusal(Unreachable, sshd.parameters(ssh_host="hub.example.invalid"))
    assert "root@hub.example.invalid" in said
    assert "no such host name" in said and "DNS record" in said


@pytest.mark.parametrize(
    "greeting", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "closes", "a web server"]
)
def test_a_port_on_which_something_else_than_ssh_answers(
    sshd: Sshd, greeting: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port, accepted = other.getsockname()[1], []

        def answer() -> None:
            client, _ = other.accept()
            accepted.append(client)
            if greeting is not None:
                client.sendall(greeting)
                client.close()

        threading.Thread(target=answer, daemon=True).start()
        said = refusal(Unreachable, sshd.parameters(ssh_port=port))
        accepted[0].close()
    assert said.startswith(f"root@127.0.0.1:{port}: something answers there, but not as an SSH server does")


# -- host certificates, and files that are not as one expects ----------------------------------------------------

AUTHORITY = Ed25519PrivateKey.generate()


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Sshd]:
    """A server whose host key an authority has signed; known_hosts knows the authority and not the key."""
    (tmp_path / "certified").mkdir()
    with serve(tmp_path / "certified") as running:
        running.certificate = certify(running.host_key, AUTHORITY, ["127.0.0.1"])
        running.known_hosts.write_text(
            f"@revoked * ssh-rsa AAAA\n\n@what is this\n{authority_line('127.0.0.*', AUTHORITY)}"
        )
        yield running


def test_a_host_certificate_of_a_known_authority_is_enough(certified: Sshd) -> None:
    with Server.connect(Site(**certified.parameters())) as server:
        assert server.run("echo in").stdout == "in\n"
        assert server.fingerprint == fingerprint(certified.host_key.asbytes())


@pytest.mark.parametrize(
    ("days", "lines", "says"),
    [
        ((-3, -1), "", ["signed by a known authority, and is not good: it has expired", "Renew it on the server"]),
        ((-1, 1), authority_line("*", AUTHORITY, "@revoked"), ["host key is revoked: SHA256:", "may listen in"]),
    ],
)
def test_a_host_certificate_that_is_not_good_is_refused(
    certified: Sshd, days: tuple[float, float], lines: str, says: list[str]
) -> None:
    certified.certificate = certify(certified.host_key, AUTHORITY, ["127.0.0.1"], days)
    with certified.known_hosts.open("a") as file:
        file.write(lines)
    said = refusal(Unreachable, certified.parameters())
    assert all(each in said for each in says), said


def test_a_revoked_host_key_is_refused_though_it_is_known(sshd: Sshd, tmp_path: Path) -> None:
    known = sshd.known(sshd.host_key)
    (tmp_path / "known").write_text(f"{known}@revoked * {known.partition(' ')[2]}")
    assert "host key is revoked" in refusal(Unreachable, sshd.parameters(ssh_known_hosts_file=str(tmp_path / "known")))


def test_a_known_hosts_file_that_cannot_be_read_is_named(sshd: Sshd, tmp_path: Path) -> None:
    said = refusal(BadInput, sshd.parameters(ssh_known_hosts_file=str(tmp_path)))
    assert f"{tmp_path} cannot be read: Is a directory" in said
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\n" + sshd.known(sshd.host_key).encode())
    Server.connect(Site(**sshd.parameters(ssh_known_hosts_file=str(tmp_path / "binary")))).close()


# -- ~/.ssh/config -----------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that ssh takes for the operator's configuration."""
    ssh, folder = shutil.which("ssh"), tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\nexec {ssh} -F {tmp_path}/config "$@"\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path / "config"


def asked(sshd: Sshd, **changes: Any) -> dict[str, Any]:
    """The parameters of a site that leaves everything to the configuration."""
    return {"site": "here", "domain": "hub.example.edu", "ssh_host": "lab", **changes}


def test_host_user_port_keys_and_known_hosts_come_from_the_configuration(sshd: Sshd, config: Path) -> None:
    config.write_text(
        f"Host lab\n HostName 127.0.0.1\n User root\n Port {sshd.port}\n IdentityFile {sshd.login}\n"
        f" UserKnownHostsFile {sshd.known_hosts}\nMatch final all\n Compression no\n"
    )
    with Server.connect(Site(**asked(sshd))) as server:
        assert server.run("echo in").stdout == "in\n"
        assert repr(server) == f"<Server root@127.0.0.1:{sshd.port}>"


def test_a_proxy_command_is_run_as_ssh_runs_it(sshd: Sshd, config: Path) -> None:
    through = "exec 3<>/dev/tcp/127.0.0.1/%p; cat <&3 & exec cat >&3 2>/dev/null"
    config.write_text(f"ProxyCommand bash -c '{through}'\n")
    with Server.connect(Site(**sshd.parameters(ssh_host="nowhere.invalid", ssh_known_hosts_file="") | {
        "ssh_host_fingerprint": sshd.host_key.fingerprint
    })) as server:  # fmt: skip
        assert server.run("cat", data=b"x" * 100_000).stdout == "x" * 100_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ProxyCommand echo 'no route to the proxy' >&2; false\n", "does not lead to it: no route to the proxy"),
        (
            "UserKnownHostsFile /dev/null\nHost 10.9.9.9\n ProxyJump 127.0.0.1:{port}\n",
            "does not lead to it: Host key verification failed.",
        ),
    ],
    ids=["a proxy that fails", "a jump host that nobody knows"],
)
def test_a_way_there_that_does_not_lead_there_says_why(sshd: Sshd, config: Path, text: str, says: str) -> None:
    config.write_text(text.format(port=sshd.port))
    said = refusal(Unreachable, sshd.parameters(ssh_host="10.9.9.9"))
    assert says in said and "Try it by hand: " in said


def test_keys_that_are_revoked_by_a_file_are_refused(sshd: Sshd, config: Path, tmp_path: Path) -> None:
    (tmp_path / "revoked").write_text(sshd.known(sshd.host_key).partition(" ")[2])
    config.write_text(f"RevokedHostKeys {tmp_path}/revoked\n")
    assert "host key is revoked" in refusal(Unreachable, sshd.parameters())
    (tmp_path / "revoked").write_text("# nothing\n")
    Server.connect(Site(**sshd.parameters())).close()
    (tmp_path / "host.pub").write_text(sshd.known(sshd.host_key).partition(" ")[2])
    make = ["ssh-keygen", "-q", "-k", "-f", tmp_path / "revoked"]
    subprocess.run([*make, tmp_path / "host.pub"], check=True)
    assert "host key is revoked" in refusal(Unreachable, sshd.parameters())
    subprocess.run(make, check=True)
    Server.connect(Site(**sshd.parameters())).close()
    (tmp_path / "revoked").unlink()
    assert "host key is revoked" in refusal(Unreachable, sshd.parameters()), "as ssh itself has it"


@pytest.mark.parametrize("serial", [False, True])
def test_a_certificate_that_is_revoked_by_a_file_is_refused(
    certified: Sshd, config: Path, tmp_path: Path, serial: bool
) -> None:
    """By its authority in a list, or its number in a KRL: seen with OpenSSH 9.2."""
    revoked, (_, _, public) = tmp_path / "revoked", authority_line("*", AUTHORITY).split(" ", 2)
    config.write_text(f"RevokedHostKeys {revoked}\n")
    revoked.write_text(public)
    if serial:
        (tmp_path / "ca.pub").write_text(public)
        (tmp_path / "numbers").write_text("serial: 1\n")
        make = ["ssh-keygen", "-q", "-k", "-f", revoked, "-s", tmp_path / "ca.pub", tmp_path / "numbers"]
        subprocess.run(make, check=True)
    assert "host key is revoked" in refusal(Unreachable, certified.parameters())


def test_a_key_of_the_agent_is_used_though_its_file_has_a_passphrase(
    sshd: Sshd, config: Path, tmp_path: Path, agent: dict[str, str]
) -> None:
    """And of an agent with many keys only that one is offered, where the configuration says so: servers count."""
    socket_path = agent["SSH_AUTH_SOCK"]
    strangers = [make_key(tmp_path / f"stranger{number}") for number in range(3)]
    for key in [*strangers, sshd.login]:
        subprocess.run(["ssh-add", "-q", key], env=agent, check=True)
    locked = make_key(tmp_path / "locked", b"passphrase")
    public = subprocess.run(["ssh-keygen", "-y", "-f", sshd.login], capture_output=True, check=True).stdout
    (tmp_path / "locked.pub").write_bytes(public)
    config.write_text(f"IdentityAgent {socket_path}\nIdentityFile {locked}\nIdentitiesOnly yes\n")
    sshd.offered.clear()
    Server.connect(Site(**sshd.parameters(ssh_key_file=""))).close()
    assert len(sshd.offered) == 1
    config.write_text(f"IdentityAgent {socket_path}\nIdentityFile /nowhere\nIdentitiesOnly yes\n")
    assert "no key to log in with" in refusal(Unreachable, sshd.parameters(ssh_key_file=""))
    config.write_text(f"IdentityAgent {socket_path}\n")
    Server.connect(Site(**sshd.parameters(ssh_key_file=""))).close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An SSH agent; what others need in their environment to use it."""
    running = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "agent").exists():
            time.sleep(0.02)
        yield os.environ | {"SSH_AUTH_SOCK": str(tmp_path / "agent")}
    finally:
        running.terminate()
        running.wait()


def certify_login(sshd: Sshd) -> str:
    """A certificate beside the login's key file; what the server notes when it is offered."""
    key = Ed25519Key.from_private_key_file(str(sshd.login))
    blob = base64.b64encode(certify(key, AUTHORITY, ["root"], kind=SSHCertificateType.USER)).decode()
    sshd.login.with_name("login.pub").write_text(f"{key.get_name()} {key.get_base64()}\n")
    sshd.login.with_name("login-cert.pub").write_text(f"ssh-ed25519-cert-v01@openssh.com {blob}\n")
    return f"{key.fingerprint} with a certificate"


@pytest.mark.parametrize("without", ["key", "certificate"])
def test_a_certificate_of_the_agents_or_for_one_of_its_keys_is_offered(
    certified: Sshd, config: Path, agent: dict[str, str], without: str
) -> None:
    """Seen with OpenSSH 9.2. Services that sign logins put a certificate into the agent, or beside a key that is there."""
    offer = certify_login(certified)
    identity = certified.login if without == "certificate" else "none"
    config.write_text(f"IdentityAgent {agent['SSH_AUTH_SOCK']}\nIdentityFile {identity}\n")
    only = ["-k"] if without == "certificate" else []
    subprocess.run(["ssh-add", "-q", *only, certified.login], env=agent, check=True)
    if without == "key":
        subprocess.run(["ssh-add", "-q", "-k", "-d", certified.login], env=agent, check=True)
    Server.connect(Site(**certified.parameters(ssh_key_file=""))).close()
    assert certified.offered == [offer]


def test_where_a_certificate_is_not_taken_the_key_itself_is_offered_too(certified: Sshd) -> None:
    offer = certify_login(certified)
    certified.takes_certificates = False
    Server.connect(Site(**certified.parameters())).close()
    assert certified.offered == [offer, offer.removesuffix(" with a certificate")]


def test_the_certificate_that_the_configuration_names_goes_with_its_key(
    sshd: Sshd, config: Path, tmp_path: Path
) -> None:
    key = Ed25519Key.from_private_key_file(str(sshd.login))
    for name, kind in (("other", sshd.host_key), ("own", key)):
        blob = base64.b64encode(certify(kind, AUTHORITY, ["root"], kind=SSHCertificateType.USER)).decode()
        (tmp_path / name).write_text(f"ssh-ed25519-cert-v01@openssh.com {blob}\n")
    config.write_text(
        f"IdentityFile {sshd.login}\n"
        + "".join(f"CertificateFile {tmp_path}/{name}\n" for name in ("no", "other", "own"))
    )
    sshd.offered.clear()
    Server.connect(Site(**sshd.parameters(ssh_key_file=""))).close()
    assert sshd.offered == [f"{key.fingerprint} with a certificate"]


# -- the login's shell -------------------------------------------------------------------------------------------


@pytest.fixture
def shell(sshd: Sshd) -> Iterator[Sshd]:
    before = sshd.login_shell
    yield sshd
    sshd.login_shell = before


# What csh, tcsh and fish make of a command is not what sh does. None of these is in the one that they get.
PICKY = """case $1 in *'!'*|*'\\'*|*'`'*|*'
'*) echo "Unmatched quote." >&2; exit 1;; esac
exec sh -c "$1"
"""


@pytest.mark.parametrize(
    "login",
    [
        'printf "Welcome to the lab"; printf oops >&2; exec sh -c "$1"',
        'echo Welcome; echo; echo oops >&2; exec sh -c "$1"',
        'seq 100000; exec sh -c "$1"',
        'PATH=/usr/bin:/bin LANG=de_DE.UTF-8; export PATH LANG; exec sh -c "$1"',
        PICKY,
    ],
    ids=["noise without a newline", "noise with one", "much noise", "another language", "a shell that is not sh"],
)
def test_what_the_logins_own_files_print_is_passed_over(shell: Sshd, login: str) -> None:
    shell.login_shell = login
    with Server.connect(Site(**shell.parameters())) as server:
        assert server.facts["uid"] == "0"
        output = server.run("cat; echo ours >&2; exit 3", data=b"a\n!'b", check=False)
        assert (output.exit_code, output.stdout, output.stderr) == (3, "a\n!'b", "ours\n")
        assert [each.stdout for each in server.probe("echo a", "echo b")] == ["a", "b"]


@pytest.mark.parametrize(
    ("login", "says"),
    [
        ("echo 'This account is currently not available.'; exit 1", "This account is currently not available."),
        ("""echo 'Please login as the user "debian" rather than the user "root".'; echo; exit 142""", 'user "debian" rather'),
        ("echo 'WARNING: expired' >&2; echo 'Password change required but no TTY available.' >&2; exit 1", "Password change"),
        ("exit 3", "it ends with 3"),
        ("exec cat", ""),
        ("echo 'sh: command not found' >&2; exit 127", "sh: command not found"),
    ],
    ids=["nologin", "a cloud's image", "an expired password", "nothing", "another program", "no sh"],
)  # fmt: skip
def test_a_login_that_runs_no_command_says_what_it_does(shell: Sshd, login: str, says: str) -> None:
    shell.login_shell = login
    said = refusal(Unreachable, shell.parameters())
    assert f"root@127.0.0.1:{shell.port}: the login runs no command: " in said and says in said
    assert "is ssh_user the right one?" in said


def test_any_shell_gets_one_plain_line(sshd: Sshd, server: Server) -> None:
    """So that the rules of csh, tcsh, fish, zsh and rbash do not matter; scripts are not in the list of processes either."""
    server.run('echo "it\'s" `true` \\\\ !x\n')
    plain = re.compile(r"timeout -k 10 \d+ (flock -s -o \S+ )?sh -c '[^'!`\\\n]+'")
    assert all(plain.fullmatch(command) for command in sshd.commands)


# -- sudo ------------------------------------------------------------------------------------------------------

PASSWORD = "correct horse' $battery"
SUDO = r"""#!/bin/sh
# sudo as far as it matters: -n fails when a password is needed; -S reads one line, with -k each time.
[ "$1" = -n ] && { [ -e {nopasswd} ] || { echo "sudo: a password is required" >&2; exit 1; }; shift; [ "$1" = -- ] && shift; exec "$@"; }
[ "$1 $2 $3 $4" = "-k -S -p " ] || { echo "usage: $*" >&2; exit 1; }
IFS= read -r word
echo >> {tries}
[ "$word" = {password} ] || { echo "Sorry, try again." >&2; exit 1; }
shift 5
exec "$@"
"""


@pytest.fixture
def sudoer(tmp_path: Path) -> Iterator[Sshd]:
    """A server on which the login is not root."""
    with serve(tmp_path) as running:
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "id").write_text("#!/bin/sh\necho 1000\n")
        script = (
            SUDO.replace("{nopasswd}", f"{tmp_path}/nopasswd")
            .replace("{password}", shlex.quote(PASSWORD))
            .replace("{tries}", f"{tmp_path}/tries")
        )
        (programs / "sudo").write_text(script)
        for program in programs.iterdir():
            program.chmod(0o755)
        running.path = f"{programs}:{running.path}"
        yield running


def test_a_user_with_sudo_without_a_password(sudoer: Sshd, tmp_path: Path) -> None:
    (tmp_path / "nopasswd").touch()
    with Server.connect(Site(**sudoer.parameters(ssh_user="teacher"))) as server:
        assert server.run("cat", data=b"x\n").stdout == "x\n"
    assert sudoer.commands[-1].startswith("sudo -n -- timeout ")


def test_the_sudo_password_reaches_sudo_and_nothing_else(
    sudoer: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUBRUN_TEST_SUDO", PASSWORD)
    with Server.connect(Site(**sudoer.parameters(ssh_user="teacher", sudo_password_env="HUBRUN_TEST_SUDO"))) as server:
        assert server.run("cat", data=b"first line\nsecond").stdout == "first line\nsecond"
        assert [output.stdout for output in server.probe("echo a", "cat")] == ["a", ""]
        path = tmp_path / "f"
        server.ensure(File(str(path), "text\n"))
        assert path.read_text() == "text\n"
        with pytest.raises(CommandFailed) as caught:
            server.run("echo {}; exit 3", PASSWORD)
    assert not any("correct horse" in command for command in sudoer.commands)
    assert "correct horse" not in str(caught.value) + caught.value.detail


def test_a_wrong_sudo_password_is_tried_once_however_many_questions_wait(
    sudoer: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Accounts are locked after three (pam_faillock(8)).
    monkeypatch.setenv("HUBRUN_TEST_SUDO", "wrong")
    monkeypatch.setattr(EXPECTED, "headless", True)
    monkeypatch.setattr(EXPECTED, "runbooks", [[Question("echo 1")], [Question("echo 2")], [Question("echo 3")]])
    with pytest.raises(Unreachable, match="sudo refused the password"):
        Server.connect(Site(**sudoer.parameters(ssh_user="teacher", sudo_password_env="HUBRUN_TEST_SUDO")))
    assert len((tmp_path / "tries").read_text()) == 1


@pytest.mark.parametrize(
    ("says", "pieces"),
    [
        ("sudo: sorry, you must have a tty to run sudo", ["wants a terminal (requiretty", "Defaults:teacher !requiretty"]),
        ("/etc/sudoers.d/lab:3:9: syntax error\nteacher ALL=(ALL NOPASSWD: ALL\n        ^~\nsudo: a password is required",
         ["sudoers have a mistake", "/etc/sudoers.d/lab:3:9: syntax error", "visudo -c"]),
        (">>> /etc/sudoers: syntax error near line 3 <<<\nsudo: parse error in /etc/sudoers near line 3\n"
         "sudo: no valid sudoers sources found, quitting\nsudo: unable to initialize policy plugin",
         ["sudoers have a mistake", "no valid sudoers sources found"]),
        ("sudo: /etc/sudoers is world writable", ["sudoers have a mistake", "world writable"]),
        ("teacher is not in the sudoers file.", ["may not become root by sudo", "not in the sudoers file"]),
        ("Sorry, user teacher may not run sudo on hub.", ["may not become root by sudo", "may not run sudo"]),
        ("sh: 1: sudo: not found", ["teacher is not root, and there is no sudo on the server"]),
        ("sudo: unable to resolve host hub: Name or service not known\nsudo: a password is required",
         ["sudo asks for a password", "sudo_password_env or sudo_password_file"]),
        ("sudo: interactive authentication is required", ["sudo asks for a password"]),
        ("sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.",
         ["sudo refuses: sudo: The \"no new privileges\" flag is set"]),
        ("sudo: effective uid is not 0, is sudo installed setuid root?", ["sudo refuses: sudo: effective uid is not 0"]),
        ("", ["sudo refuses: it does not say why"]),
    ],
)  # fmt: skip
def test_what_sudo_says_against_it_has_its_own_words(
    sudoer: Sshd, tmp_path: Path, says: str, pieces: list[str]
) -> None:
    (tmp_path / "bin/sudo").write_text(f"#!/bin/sh\ncat >&2 <<'EOF'\n{says}\nEOF\nexit 1\n")
    said = refusal(Unreachable, sudoer.parameters(ssh_user="teacher"))
    assert all(piece in said for piece in pieces), said


@pytest.mark.parametrize(
    ("says", "piece"),
    [
        (
            "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt",
            "sudo refused the password",
        ),
        (
            "teacher is not in the sudoers file.\nThis incident has been reported to the administrator.",
            "may not become root",
        ),
        ("sudo: sorry, you must have a tty to run sudo", "wants a terminal"),
        ("sudo: Account or password is expired, reset your password and try again", "password is expired"),
    ],
)
def test_with_a_password_sudo_may_refuse_for_other_reasons(sudoer: Sshd, tmp_path: Path, says: str, piece: str) -> None:
    lecture = "We trust you have received the usual lecture from the local System Administrator.\n\n    #1) Respect"
    (tmp_path / "bin/sudo").write_text(f"#!/bin/sh\ncat >&2 <<'EOF'\n{lecture}\n{says}\nEOF\nexit 1\n")
    (tmp_path / "password").write_text("tr0ub4dor\n")
    said = refusal(Unreachable, sudoer.parameters(ssh_user="teacher", sudo_password_file=str(tmp_path / "password")))
    assert piece in said and "tr0ub4dor" not in said and "lecture" not in said


def test_sudos_lecture_is_no_answer(sudoer: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUBRUN_TEST_SUDO", PASSWORD)
    sudo = tmp_path / "bin/sudo"
    talks = sudo.read_text().replace(
        "#!/bin/sh\n", "#!/bin/sh\necho 'We trust you have received' >&2; printf 'Lab'\n", 1
    )
    sudo.write_text(talks)
    with Server.connect(Site(**sudoer.parameters(ssh_user="teacher", sudo_password_env="HUBRUN_TEST_SUDO"))) as server:
        output = server.run("cat; echo ours >&2", data=b"x")
        assert (output.stdout, output.stderr) == ("x", "ours\n")
        with pytest.raises(CommandFailed, match="127.0.0.1: false: exit code 1"):
            server.run("false")


def test_without_its_password_sudo_is_bad_input_that_says_where_to_put_it(sudoer: Sshd) -> None:
    said = refusal(Unreachable, sudoer.parameters(ssh_user="teacher"))
    assert "teacher is not root and sudo asks for a password" in said
    assert "sudo_password_env or sudo_password_file" in said


def test_a_wrong_sudo_password_is_bad_input_and_is_not_shown(sudoer: Sshd, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("tr0ub4dor\n")
    said = refusal(Unreachable, sudoer.parameters(ssh_user="teacher", sudo_password_file=str(tmp_path / "password")))
    assert "sudo refused the password" in said and "sudo_password_file" in said
    assert "tr0ub4dor" not in said


# -- running ---------------------------------------------------------------------------------------------------


def test_arguments_are_quoted_and_output_errors_and_exit_code_come_back(server: Server) -> None:
    output = server.run("printf '%s|' {} {}; echo bad >&2; exit 4", "a b; rm -rf /", ["c'd", "$HOME"], check=False)
    assert (output.exit_code, output.stdout, output.stderr) == (4, "a b; rm -rf /|c'd|$HOME|", "bad\n")


def test_a_failed_command_says_what_where_and_what_to_do(server: Server) -> None:
    with pytest.raises(CommandFailed) as caught:
        server.run("echo one\necho 'tar: No space left on device' >&2\nexit 2")
    assert str(caught.value).startswith("127.0.0.1: echo one: tar: No space left on device. The disk is full")
    assert caught.value.exit_code == 1
    assert "tar: No space" in caught.value.detail


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo '/etc/sudoers.d/x:1:5: syntax error' >&2; echo '/etc/sudoers: parsed OK'", "/etc/sudoers.d/x:1:5: syntax error"),
        ("echo '/etc/sudoers.d/x: bad permissions, should be mode 0440'; echo '/etc/sudoers: parsed OK'", "bad permissions"),
        ("echo 'nginx: [emerg] unknown directive'; echo 'nginx: configuration file: syntax is ok'", "unknown directive"),
        ("echo 'E: it is held'; echo 'Reading package lists... Done'", "E: it is held"),
        ("echo good; echo 'the file is not ok'", "the file is not ok"),
        ("echo 'it is done'", "it is done"),
        ("echo one; echo two", "two"),
    ],
)  # fmt: skip
def test_the_reason_is_the_line_that_does_not_say_that_all_is_well(server: Server, script: str, reason: str) -> None:
    class Fails(Stubborn):
        def plan(self, found: str) -> list[Action]:
            return [Action("try", f"{script}; exit 1")]

    with pytest.raises(CommandFailed, match=f"^stubborn: try: .*{re.escape(reason)}"):
        server.ensure(Fails())
    with pytest.raises(CheckFailed, match=f"came exit code 1, .*{re.escape(reason)}"):
        server.check(Test("it holds", f"{script}; exit 1"))


def test_the_servers_own_locale_and_path_do_not_matter(server: Server) -> None:
    assert server.run("umask; echo $LC_ALL; echo $PATH").stdout.splitlines()[:2] == ["0022", "C.UTF-8"]
    assert server.run("echo $PATH").stdout.startswith("/usr/local/sbin:")


def test_megabytes_of_data_arrive_whole_and_soon(server: Server) -> None:
    data = os.urandom(1 << 20) * 3
    began = time.monotonic()
    output = server.run("sha256sum | cut -c1-64; head -c 3000000 /dev/zero | wc -c", data=data)
    assert time.monotonic() - began < 10, "at 100 bytes a second it would take hours"
    expected = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.decode()[:64]
    assert output.stdout.split() == [expected, "3000000"]


def test_a_command_that_reads_nothing_does_not_hang_on_its_data(server: Server) -> None:
    assert server.run("echo done", data=b"x" * (1 << 22)).stdout == "done\n"


def test_a_command_is_ended_at_its_time_limit_on_the_server_too(server: Server, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed) as caught:
        server.run("echo $$ > {}; echo waiting for a lock; sleep 60", tmp_path / "pid", seconds=0.2)
    assert time.monotonic() - began < 10
    assert "timed out after 0 s" in str(caught.value) and "Run it again" in str(caught.value)
    process = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    assert not process.exists() or process.read_text().split()[2] == "Z", "it ended; nobody need have asked how"


def test_a_run_waits_for_what_a_killed_one_had_begun(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, done = tmp_path / "held", tmp_path / "done"
    monkeypatch.setattr("hubrun.desired.server.IS_BUSY", session.IS_BUSY.replace(LOCK, str(lock)))
    monkeypatch.setattr(session, "IS_BUSY", session.IS_BUSY.replace(LOCK, str(lock)))
    monkeypatch.setattr(session, "_HOLD", f"flock -s -o {lock} ")
    first = Server.connect(Site(**sshd.parameters()))
    thread = threading.Thread(target=lambda: first.run("sleep 3; touch {}", done))
    thread.start()
    while not lock.exists():
        time.sleep(0.05)
    with Server.connect(Site(**sshd.parameters()), check_mode=True):
        assert not done.exists(), "a plan changes nothing, and waits for nobody"
    with Server.connect(Site(**sshd.parameters())) as second:
        assert done.exists()
        second.run("sleep 5 > /dev/null 2>&1 &")
        assert not second.session.ask([session.IS_BUSY], fresh=True)[0].stdout.strip(), (
            "what was left running holds nothing"
        )
    thread.join()
    first.close()


def test_a_connection_that_is_cut_in_the_middle_is_told_from_a_failed_command(tmp_path: Path) -> None:
    with serve(tmp_path) as sshd, Server.connect(Site(**sshd.parameters())) as server:
        threading.Timer(0.5, sshd.drop).start()
        with pytest.raises(ConnectionLost) as caught:
            server.ensure(File(str(tmp_path / "f"), "x", check="sleep 5"))
        assert server.results[0].status == "interrupted"
        assert f"127.0.0.1:{sshd.port}: the SSH connection was lost" in str(caught.value)
        assert "carries on from what is there" in str(caught.value)
        with pytest.raises(ConnectionLost):
            server.run("true")
    assert caught.value.exit_code == 1


def test_probes_share_one_round_trip_and_cannot_disturb_each_other(sshd: Sshd, server: Server) -> None:
    before = len(sshd.commands)
    outputs = server.probe(
        "echo a; exit 7", "printf 'no newline'", "cd /; x=1", "pwd; echo ${x:-unset} >&2", "echo ')'"
    )
    assert len(sshd.commands) == before + 1
    assert [output.exit_code for output in outputs] == [7, 0, 0, 0, 0]
    assert outputs[0].stdout == "a"
    assert outputs[1].stdout == "no newline"
    assert outputs[3].stdout != "/"
    assert outputs[4].stdout == ")"


def test_a_probe_that_is_no_shell_is_an_error_and_not_an_empty_answer(server: Server) -> None:
    with pytest.raises(CommandFailed, match="a probe ended early"):
        server.probe("echo a", "echo 'never closed")


# -- desired state ---------------------------------------------------------------------------------------------


class Stubborn(Resource):
    """Something that another program changes back."""

    label = "stubborn"

    def probe(self) -> str:
        return "echo wrong"

    def plan(self, found: str) -> list[Action]:
        return [Action("put it right", "echo 'it is right now'", diff="-wrong\n+right\n")]


def test_what_differs_is_changed_once(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resources = Directory(str(tmp_path / "d"), 0o700), File(str(tmp_path / "d/f"), "a\n", 0o600)
    server.ensure(*resources)
    shown = capsys.readouterr().out
    assert shown.startswith("2 changed in ") and "+a" in shown and "editor" in shown
    assert stat.S_IMODE((tmp_path / "d/f").stat().st_mode) == 0o600
    server.ensure(*resources)
    assert capsys.readouterr().out.startswith("2 ok in ")
    assert server.summary()["counts"] == {"ok": 2, "changed": 2, "would change": 0}
    assert [change["resource"] for change in server.summary()["changes"]] == [resource.label for resource in resources]


def test_check_mode_shows_and_touches_nothing(sshd: Sshd, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server.connect(Site(**sshd.parameters()), check_mode=True) as server:
        server.ensure(File(str(tmp_path / "f"), "a\n"), Packages("dpkg"))
        server.check(Test("the file is read", "false"))
    shown = capsys.readouterr().out
    assert shown.startswith("1 ok, 1 would change in ") and "+a" in shown
    assert "not checked  the file is read" in shown
    assert not (tmp_path / "f").exists()
    assert server.pending == [f"file {tmp_path}/f"]


def test_what_two_steps_ask_for_is_planned_once(sshd: Sshd, tmp_path: Path) -> None:
    here = [File(str(tmp_path / "a"), "a\n"), Packages("no-such-package", "nor-this"), DaemonSettings((("x", 1),))]
    with Server.connect(Site(**sshd.parameters()), check_mode=True) as server:
        server.ensure(*here)
        server.ensure(here[0], Packages("nor-this"), here[2], File(str(tmp_path / "b"), "b\n"))
    assert [each.status for each in server.results] == ["would change"] * 3 + ["ok"] * 3 + ["would change"]


def test_a_build_in_the_background_that_failed_is_said_once_by_the_next_step_and_stops_nothing(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_module, "_FAILED_BUILDS", server_module._FAILED_BUILDS.replace(BUILDS, str(tmp_path)))
    with Server.connect(Site(**sshd.parameters())) as server:
        (tmp_path / "one").mkdir()
        (tmp_path / "one/log").write_text("#9 1.2 ERROR: No matching distribution found for cowsay==99\n")
        server.ensure(Directory(str(tmp_path / "first")))
        assert "in the background" not in capsys.readouterr().out
        (tmp_path / "one/failed").touch()
        server.ensure(Directory(str(tmp_path / "second")))
        said = capsys.readouterr().out
        assert "1 changed" in said and "No matching distribution found for cowsay==99" in said
        assert "extra_pip_packages" in said, "and what to do"
        server.ensure(Directory(str(tmp_path / "third")))
        assert "cowsay" not in capsys.readouterr().out
    with Server.connect(Site(**sshd.parameters())) as server:
        target = server._repr_mimebundle_()
    assert "cowsay" in str(target["text/plain"]) and "cowsay" in str(target[MIME])


def test_check_mode_still_checks_when_there_is_nothing_to_change_and_goes_on_behind_what_does_not_hold(
    sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server.connect(Site(**sshd.parameters()), check_mode=True) as server:
        server.ensure(Packages("dpkg"))
        server.check(Test("no", "false", remedy="repair it"))
        server.check(Test("yes", "true"))
    shown = capsys.readouterr().out
    assert "1 of 1 checks failed\n  failed  no" in shown and "repair it" in shown
    assert "1 check passed\n  ok  yes" in shown


def test_an_action_that_fails_ends_the_step_with_its_reason(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text("good\n")
    broken = File(str(tmp_path / "f"), "bad\n", check="echo 'f: syntax error in line 1' >&2; false")
    with pytest.raises(CommandFailed) as caught:
        server.ensure(broken, File(str(tmp_path / "g"), "never\n"))
    assert str(caught.value).startswith(f"file {tmp_path}/f: write {tmp_path}/f: f: syntax error in line 1. ")
    assert (tmp_path / "f").read_text() == "good\n"
    assert not (tmp_path / "g").exists()
    shown = capsys.readouterr().out
    assert shown.startswith("1 failed, 1 not run in ") and "syntax error in line 1" in shown
    assert [result.status for result in server.results] == ["failed", "not run"]


def test_an_answer_of_its_own_comes_before_the_general_remedy(server: Server) -> None:
    class Refuses(Stubborn):
        def plan(self, found: str) -> list[Action]:
            return [
                Action("try", "echo 'No space left on device'; exit 66", exit_codes={66: ("the key is another", "Ask")})
            ]

    with pytest.raises(CommandFailed, match=r"^stubborn: the key is another\. Ask$"):
        server.ensure(Refuses())


def test_what_is_changed_back_at_once_is_a_failure(server: Server) -> None:
    with pytest.raises(CommandFailed) as caught:
        server.ensure(Stubborn())
    assert "stubborn: still differs after it was changed: put it right" in str(caught.value)
    assert "+right" in caught.value.detail
    assert server.results[0].status == "failed"


def test_a_secret_in_a_commands_output_is_shown_by_its_name(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    secret = Secret("hunter2-hunter2", "LTI secret")

    class Talks(Stubborn):
        def plan(self, found: str) -> list[Action]:
            return [Action("talk", f"echo {secret.reveal()}; exit 1", shown="talk")]

    with pytest.raises(CommandFailed) as caught:
        server.ensure(Talks())
    everything = str(caught.value) + caught.value.detail + capsys.readouterr().out + server.results[0].log
    assert "hunter2" not in everything and "<LTI secret>" in everything


def test_checks_on_the_server_fail_together_with_expected_came_and_remedy(server: Server) -> None:
    with pytest.raises(CheckFailed) as caught:
        server.check(
            Test("true is true", "true"),
            Test("nginx answers", "echo 404; exit 1", remedy="Start nginx"),
            Test("the port is closed", "echo open", prints="refused", fails=True),
        )
    said = str(caught.value)
    assert "true is true" not in said
    assert "nginx answers: expected exit code 0, came exit code 1, 404" in said
    assert "the port is closed: expected an error and output with refused, came exit code 0, open" in said
    assert said.startswith("127.0.0.1: ") and said.endswith("Start nginx")


def test_a_step_that_tested_nothing_has_not_passed(server: Server) -> None:
    with pytest.raises(CheckFailed, match="left out"):
        server.require()
    server.require(Check("one", True, "1", "1"))
