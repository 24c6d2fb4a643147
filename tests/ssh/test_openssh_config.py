"""Where OpenSSH would log in: its configuration is its own to explain."""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.ssh import openssh_config
from hubrun.ssh.openssh_config import Target

Find = Callable[..., Target]


@pytest.fixture
def find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Find:
    """The target of a site, with a text for the operator's ~/.ssh/config, which the real ssh reads."""
    ssh, config, folder = shutil.which("ssh"), tmp_path / "config", tmp_path / "bin"
    assert ssh
    folder.mkdir()
    program = folder / "ssh"
    # A question that brings a file of its own has it read in the same way as ~/.ssh/config is.
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *" -F "*) sed -i "s,~/.ssh/config,{config}," "$3"; exec {ssh} "$@";; esac\n'
        f'exec {ssh} -F {config} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/the/agent")

    def target(text: str = "", **changes: Any) -> Target:
        config.write_text(text)
        config.chmod(0o600)
        return openssh_config.target(Site(site="x", domain="hub.example.edu", **changes))

    return target


def test_without_a_configuration_the_parameters_and_roots_login_hold(find: Find) -> None:
    found = find()
    assert (found.user, found.host, found.port, found.proxy) == ("root", "hub.example.edu", 22, "")
    assert (found.agent, found.only_identities, found.revoked) == ("/the/agent", False, "")
    assert found.known_hosts[0] == Path("~/.ssh/known_hosts").expanduser()
    assert Path("~/.ssh/id_ed25519").expanduser() in found.identities
    assert (found.names, found.principal) == (["hub.example.edu"], "hub.example.edu")


CONFIG = """
Host hub hub.example.edu
  HostName 10.1.2.3
  User anna
  Port 2222
  UserKnownHostsFile ~/.ssh/lab_%h /etc/lab
  IdentityFile ~/.ssh/%r_lab
  IdentitiesOnly yes
  IdentityAgent ~/.agent
  RevokedHostKeys /etc/revoked
Host *
  User nobody
  Port 99
"""


def test_what_the_configuration_says_of_the_host_is_taken(find: Find) -> None:
    found = find(CONFIG)
    assert str(found) == "anna@10.1.2.3:2222"
    assert found.known_hosts[:2] == [Path("~/.ssh/lab_10.1.2.3").expanduser(), Path("/etc/lab")]
    assert found.identities == [Path("~/.ssh/anna_lab").expanduser()] and found.only_identities
    assert found.agent == str(Path("~/.agent").expanduser()) and found.revoked == "/etc/revoked"
    assert found.names == ["[10.1.2.3]:2222", "10.1.2.3"]
    assert str(find(CONFIG, ssh_host="hub")) == "anna@10.1.2.3:2222"
    assert str(find(CONFIG, ssh_host="elsewhere")) == "nobody@elsewhere:99"


def test_variables_of_the_environment_are_expanded_where_ssh_leaves_it_to_the_login(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYS", "/keys")
    found = find(
        "IdentityFile ${KEYS}/%r\nIdentityFile /plain/$KEYS\nCertificateFile ${KEYS}/c\nUserKnownHostsFile ${KEYS}/k\n"
    )
    assert found.identities == [Path("/keys/root"), Path("/plain/$KEYS")]
    assert (found.certificates, found.known_hosts[0]) == ([Path("/keys/c")], Path("/keys/k"))


def test_a_parameter_that_is_given_goes_before_the_configuration(find: Find) -> None:
    found = find(CONFIG, ssh_user="root", ssh_port=22, ssh_known_hosts_file="/k", ssh_key_file="/i")
    assert str(found) == "root@10.1.2.3:22"
    assert (found.known_hosts, found.identities, found.only_identities) == ([Path("/k")], [Path("/i")], True)


def test_a_login_that_is_named_like_the_account_here_is_told_from_none(find: Find) -> None:
    assert find(f"Host hub.example.edu\n User {getpass.getuser()}\n").user == getpass.getuser()
    assert find("Host elsewhere\n User anna\n").user == "root"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("Match final all\n User anna\n", "anna"),
        ("Match user bob\n User anna\n", "root"),
        ("Match exec false\n User anna\n", "root"),
        ("Match exec true\n User anna\n", "anna"),
        ("Match host *.example.edu !exec true\n User anna\n", "root"),
        ("Match host *.example.edu\n User anna\n", "anna"),
        ("Host * !hub.example.edu\n User anna\n", "root"),
        ("User=anna\n", "anna"),
    ],
)
def test_a_block_counts_where_it_applies(find: Find, text: str, user: str) -> None:
    assert find(text).user == user


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("ProxyJump none\n", ""),
        ("ProxyCommand none\n", ""),
        ("ProxyJump gate\n", "ssh -o BatchMode=yes -W '[hub.example.edu]:22' -- ssh://gate"),
        ("ProxyJump bob@gate:2200,inner\n", "ssh -o BatchMode=yes -J bob@gate:2200 -W '[hub.example.edu]:22' -- ssh://inner"),
        ("ProxyCommand nc -x p:1 %h %p 2>/dev/null\n", "nc -x p:1 hub.example.edu 22 2>/dev/null"),
        ("ProxyCommand a %r 100%% %n\n", "a root 100% hub.example.edu"),
    ],
)  # fmt: skip
def test_the_way_there_is_the_one_that_openssh_would_take(find: Find, text: str, proxy: str) -> None:
    assert find(text).proxy == proxy


def test_an_alias_is_what_known_hosts_and_certificates_know(find: Find) -> None:
    found = find("HostKeyAlias lab\nPort 2222\nUserKnownHostsFile /k/%k\n")
    assert (found.names, found.principal, found.known_hosts[0]) == (["lab"], "lab", Path("/k/lab"))


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("IdentityAgent none\n", ""),
        ("IdentityAgent SSH_AUTH_SOCK\n", "/the/agent"),
        ("IdentityAgent $OTHER\n", "/another"),
        ("IdentityAgent /run/%u\n", f"/run/{getpass.getuser()}"),
        ("", "/the/agent"),
    ],
)
def test_the_agent_is_the_one_that_the_configuration_names(
    find: Find, monkeypatch: pytest.MonkeyPatch, text: str, agent: str
) -> None:
    monkeypatch.setenv("OTHER", "/another")
    assert find(text).agent == agent


def test_no_known_hosts_file_at_all(find: Find) -> None:
    found = find("UserKnownHostsFile none\nGlobalKnownHostsFile none\n")
    assert found.known_hosts == []


@pytest.mark.parametrize("text", ["Nonsense yes\n", "Port lots\n", "Match nonsense\n", "Host\n"])
def test_a_configuration_that_ssh_refuses_is_bad_input_with_its_own_words(find: Find, text: str) -> None:
    with pytest.raises(
        BadInput, match=r"^ssh -G hub.example.edu: ssh cannot use its own configuration: .*config.* line 1"
    ):
        find(text)


def test_where_no_ssh_is_installed_the_parameters_and_its_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = openssh_config.target(Site(site="x", domain="hub.example.edu", ssh_port=2222))
    assert str(found) == "root@hub.example.edu:2222"
    assert Path("/etc/ssh/ssh_known_hosts") in found.known_hosts and found.known_hosts[0].name == "known_hosts"
