"""The password of the backups is replaced, with the real restic: what opens the repository at each moment, and after a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from backup_server import PASSWORD, BackupServer, backup_server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="mounts are root's")]

ENV, NEXT = "/etc/jupyterhub/backup.env", "/etc/jupyterhub/backup-next.env"
GIVEN = "four plain words more"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackupServer]:
    with backup_server(tmp_path, str(tmp_path / "repository")) as made:
        made.backup("make")
        yield made


def keys(server: BackupServer, password: str) -> list[str]:
    """The repository's keys, as restic lists them with this password; none where it does not open it."""
    command = ["restic", "-r", server.repository, "--no-cache", "key", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RESTIC_PASSWORD": password})
    return [each["id"] for each in json.loads(done.stdout)] if done.returncode == 0 else []


def restic(server: BackupServer, password: str, *words: str, data: str = "") -> None:
    command = ["restic", "-r", server.repository, "--no-cache", *words]
    subprocess.run(command, input=data, text=True, check=True, env={**os.environ, "RESTIC_PASSWORD": password}, stdout=subprocess.DEVNULL)  # fmt: skip


def present(server: BackupServer) -> str:
    """The server's password."""
    found = re.search("^RESTIC_PASSWORD=(.+)$", server.shell(f"cat {ENV}"), re.MULTILINE)
    assert found
    return found[1]


def renew(server: BackupServer, given: str = "") -> None:
    done = subprocess.run(
        server.backup_command("password", *(["given"] if given else [])), input=f"{given}\n", capture_output=True,
        text=True, env=server.environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert present(server) not in done.stdout + done.stderr


def test_the_new_one_opens_the_repository_and_the_one_before_does_not(server: BackupServer) -> None:
    renew(server)
    new = present(server)
    assert re.fullmatch("[0-9a-f]{64}", new) and len(keys(server, new)) == 1 and keys(server, PASSWORD) == []
    assert re.fullmatch(rf"RESTIC_PASSWORD={new}\n# rotated \d+\n", server.shell(f"cat {ENV}"))
    assert server.shell(f"stat -c '%a %U' {ENV}; ls {NEXT} 2> /dev/null || true") == "600 root\n"
    assert "ready" in server.backup("look")


def test_one_that_was_given_is_kept_as_10_writes_it(server: BackupServer) -> None:
    renew(server, GIVEN)
    assert server.shell(f"cat {ENV}") == f"RESTIC_PASSWORD={GIVEN}\n"
    assert len(keys(server, GIVEN)) == 1 and keys(server, PASSWORD) == []


def test_a_key_of_the_operators_own_stays(server: BackupServer) -> None:
    restic(server, PASSWORD, "key", "add", "--new-password-file", "/dev/stdin", data="in the envelope")
    renew(server)
    assert len(keys(server, "in the envelope")) == 2 and keys(server, PASSWORD) == []


# What a run that was killed leaves, in its order.
def begun(server: BackupServer, state: str) -> str:
    (old,) = keys(server, PASSWORD)
    server.write(NEXT, f"RESTIC_PASSWORD=begun-before\n# instead of key {old}\n")
    if state != "noted":
        restic(server, PASSWORD, "key", "add", "--new-password-file", "/dev/stdin", data="begun-before")
    if state in ("in place", "removed"):
        server.shell(f"mv {NEXT} {ENV}")
    if state == "removed":
        restic(server, "begun-before", "key", "remove", old)
    return "begun-before"


@pytest.mark.parametrize("state", ["noted", "added", "in place", "removed"])
def test_a_run_that_was_killed_is_carried_on_and_no_third_one_is_made(server: BackupServer, state: str) -> None:
    new = begun(server, state)
    renew(server)
    assert present(server) == new and len(keys(server, new)) == 1 and keys(server, PASSWORD) == []


@pytest.mark.parametrize("state", ["noted", "added"])
def test_begun_with_another_than_is_given_now_it_is_this_one_that_counts(server: BackupServer, state: str) -> None:
    other = begun(server, state)
    renew(server, GIVEN)
    assert present(server) == GIVEN and len(keys(server, GIVEN)) == 1
    assert keys(server, other) == keys(server, PASSWORD) == []


def descendants(pid: int) -> list[int]:
    """The process and what it started: timeout(1) puts restic into a group of its own."""
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [pid, *(each for child in children.read().split() for each in descendants(int(child)))]


@pytest.mark.only_long
def test_killed_at_any_moment_a_password_of_the_server_opens_it(server: BackupServer) -> None:
    for wait in (0.5, 1.5, 3.0):
        before = present(server)
        process = subprocess.Popen(server.backup_command("password"), env=server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(wait)
        os.kill(process.pid, signal.SIGSTOP)  # it starts nothing more
        pids = descendants(process.pid)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        # restic takes a lock for alive as long as its process is seen, which here is until the machine's first one looks.
        for _ in range(200):
            if not any(os.path.exists(f"/proc/{pid}") for pid in pids):
                break
            time.sleep(0.1)
        assert keys(server, present(server)), "it opens the repository at every moment"
        renew(server)
        assert present(server) != before and len(keys(server, present(server))) == 1


def test_where_the_repository_cannot_be_used_nothing_is_touched(server: BackupServer) -> None:
    server.write(ENV, "RESTIC_PASSWORD=not-this-one\n")
    said = server.backup("password", fails=True)
    assert "the password is not this repository's" in said
    server.settings(repository="rest:http://127.0.0.1:9/")
    assert "it is not reached" in server.backup("password", fails=True)
    assert server.shell(f"cat {ENV}; ls {NEXT} 2> /dev/null || true") == "RESTIC_PASSWORD=not-this-one\n"


def test_a_backup_that_is_made_meanwhile_does_not_hold_the_new_one(server: BackupServer) -> None:
    server.write(NEXT, "RESTIC_PASSWORD=begun-before\n# instead of key 00000000\n")
    server.backup("run")
    command = ["restic", "-r", server.repository, "--no-cache", "ls", "latest"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "RESTIC_PASSWORD": PASSWORD}).stdout  # fmt: skip
    assert "/etc/jupyterhub/backup.json" in listed and "backup-next" not in listed
