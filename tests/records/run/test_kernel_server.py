"""The server as a run's kernel reaches it: one login, the same errors, and no waiting for a kernel that is not free."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from books import forget
from hubrun.desired.server import Server
from hubrun.environment import MESSAGE
from hubrun.errors import BadInput, CommandFailed, HubrunError
from hubrun.params import Site
from hubrun.records.ledger import inventory
from hubrun.records.run.kernel_server import KernelServer
from hubrun.records.run.kernels import SharedKernel
from hubrun.redaction.redact import HERE
from hubrun.ssh.prefetch import Question
from hubrun.ssh.prefetch_store import ProbeStore
from sshd import Sshd, serve

pytestmark = pytest.mark.slow


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with serve(tmp_path) as running:
        yield running


@pytest.fixture
def kernel() -> Iterator[SharedKernel]:
    with SharedKernel() as running:
        yield running


def connect(site: Site, kernel: SharedKernel, *books: str) -> KernelServer:
    return KernelServer.connect(site, kernel, books, print)


def test_one_login_says_what_the_server_is_and_what_is_installed(sshd: Sshd, kernel: SharedKernel) -> None:
    site = Site(**sshd.parameters())
    with Server.connect(site) as plain:
        logins = len(sshd.offered)
        server = connect(site, kernel)
        assert server.identity() == plain.identity()
        asked = len(sshd.commands)
        assert inventory.packages(server) == inventory.packages(plain)
        assert len(sshd.commands) == asked + 1, "the plain one's: the kernel had asked with the login"
    (now,) = server.probe("echo $((6 * 7))")
    assert (now.stdout, len(sshd.offered)) == ("42", logins + 1)


def test_what_is_installed_is_looked_at_again_at_the_end(sshd: Sshd, kernel: SharedKernel) -> None:
    server = connect(Site(**sshd.parameters()), kernel)
    inventory.packages(server)
    asked = len(sshd.commands)
    assert inventory.packages_again(server, Site(**sshd.parameters())) is not None
    assert len(sshd.commands) == asked + 1


@pytest.mark.parametrize(
    "wrong",
    [{"ssh_port": 1}, {"ssh_key_file": "/nowhere"}, {"ssh_host_fingerprint": "SHA256:" + "x" * 43}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_keeps_us_out_is_the_error_of_a_plain_login(
    wrong: dict[str, object], sshd: Sshd, kernel: SharedKernel
) -> None:
    site = Site(**sshd.parameters(**wrong))
    with pytest.raises(HubrunError) as plain:
        Server.connect(site)
    with pytest.raises(BadInput) as told:
        connect(site, kernel)
    assert (type(told.value), str(told.value)) == (type(plain.value), str(plain.value))
    assert told.value.exit_code == plain.value.exit_code == 2


def test_what_the_run_before_asked_is_asked_with_the_login_but_not_where_it_leaves_traces(
    sshd: Sshd, kernel: SharedKernel
) -> None:
    site = Site(**sshd.parameters())
    with Server.connect(site) as plain:
        memory = ProbeStore(site.site, plain.fingerprint)
    memory.learn("01_look", [Question("echo asked early")], everything=True)
    memory.learn("02_try", [Question("echo in its turn"), Question("echo traces", traces=True)], everything=True)
    memory.learn("03_other", [Question("echo of another run")], everything=True)
    memory.save()
    connect(site, kernel, "01_look", "02_try").probe("true")
    said = b"".join(sshd.inputs)
    assert b"echo asked early" in said
    assert not any(text in said for text in (b"in its turn", b"traces", b"of another run"))


def test_what_the_kernel_says_while_it_logs_in_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    forget(monkeypatch)
    server = KernelServer(SharedKernel(), said.append)
    server._hear({"msg_type": MESSAGE, "content": {"kind": "value", "what": ["s3cret-of-the-server", "password"]}})
    server._hear({"msg_type": "display_data", "content": {"data": {"text/plain": "waiting for an earlier run"}}})
    server._hear({"msg_type": "status", "content": {"execution_state": "busy"}})
    assert (HERE.text("it is s3cret-of-the-server"), said) == ("it is <password>", ["waiting for an earlier run"])


def test_a_kernel_that_is_not_free_is_not_asked(sshd: Sshd, kernel: SharedKernel) -> None:
    site = Site(**sshd.parameters())
    server = connect(site, kernel)
    inventory.packages(server)
    logins = len(sshd.offered)
    kernel.free = False
    with pytest.raises(CommandFailed, match="not free"):
        server.probe("true")
    assert inventory.packages_again(server, site) is not None and len(sshd.offered) == logins + 1


def test_a_kernel_that_died_is_an_error_and_no_wait(sshd: Sshd, kernel: SharedKernel) -> None:
    server = connect(Site(**sshd.parameters()), kernel)
    os.kill(kernel.take().provisioner.process.pid, signal.SIGKILL)
    with pytest.raises(CommandFailed, match="gave no answer"):
        server.probe("sleep 5; echo late")
