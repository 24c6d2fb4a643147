"""Logging in and running things over a real SSH connection, with all that can be wrong on the way."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paramiko import Ed25519Key

from hubrun.desired.checks import Check, Test
from hubrun.desired.resource import Action, Resource
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CheckFailed, CommandFailed, ConnectionLost, HubrunError, Unreachable
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources.files import Directory, File
from hubrun.resources.packages import Packages
from hubrun.ssh import connection
from sshd import Sshd, make_key, serve


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
    assert connection._forget(Site(site="x", domain="hub.example.edu", **changes)) == command


def test_an_unknown_host_key_is_refused_with_two_ways_on(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    said = refusal(Unreachable, sshd.parameters(ssh_known_hosts_file=str(tmp_path / "empty")))
    assert "host key is not known" in said
    assert "ssh_host_fingerprint" in said and "log in once with ssh" in said


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
    assert said.startswith(f"root@127.0.0.1:{port}: the SSH connection failed: ")


# -- sudo ------------------------------------------------------------------------------------------------------

PASSWORD = "correct horse' $battery"
SUDO = r"""#!/bin/sh
# sudo as far as it matters: -n fails when a password is needed; -S reads one line, with -k each time.
[ "$1" = -n ] && { [ -e {nopasswd} ] || { echo "sudo: a password is required" >&2; exit 1; }; shift; [ "$1" = -- ] && shift; exec "$@"; }
[ "$1 $2 $3 $4" = "-k -S -p " ] || { echo "usage: $*" >&2; exit 1; }
IFS= read -r word
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
        script = SUDO.replace("{nopasswd}", f"{tmp_path}/nopasswd").replace("{password}", shlex.quote(PASSWORD))
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
    assert not any("correct horse" in command for command in sudoer.commands if "exit 3" not in command)
    assert "correct horse" not in str(caught.value) + caught.value.detail


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
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


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


def test_check_mode_still_checks_when_there_is_nothing_to_change_and_goes_on_behind_what_does_not_hold(
    sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server.connect(Site(**sshd.parameters()), check_mode=True) as server:
        server.ensure(Packages("dpkg"))
        server.check(Test("no", "false", remedy="mend it"))
        server.check(Test("yes", "true"))
    shown = capsys.readouterr().out
    assert "1 of 1 checks failed\n  failed  no" in shown and "mend it" in shown
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
