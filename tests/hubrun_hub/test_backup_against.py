"""hubrun-backup against people who want it to fail for everybody, or to fill the server's disk."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backup_server import STUDENT, BackupServer, a_site, backup_server
from hubrun_hub.backup import access, databases
from hubrun_hub.backup.repository import READY, Repository, load
from hubrun_hub.joining.confined import as_owner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts are root's"),
]
COURSE = "/srv/nbgrader/course-1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackupServer]:
    with backup_server(tmp_path, str(tmp_path / "repository")) as made:
        a_site(made)
        made.backup("make")
        yield made


def test_a_hollow_file_that_is_handed_in_keeps_nobody_from_being_backed_up(server: BackupServer) -> None:
    server.shell(f"truncate -s 8T {COURSE}/inbound/ada/huge")
    server.backup("run")
    assert server.state["last_error"] == ""
    assert list(server.state["left_out"]) == ["courses/course-1/inbound/ada"]  # type: ignore[call-overload]
    server.backup("restore", "course", "course-1", "latest")


@pytest.mark.parametrize(
    "name", ["..hubrun-copy", "....hubrun-copy", ".source.hubrun-copy", ".gradebook.db.hubrun-copy"]
)
def test_what_an_instructor_calls_like_a_copy_of_a_database_ends_no_restore(
    server: BackupServer, tmp_path: Path, name: str
) -> None:
    server.shell(f"cd {COURSE}/course; mkdir -p source '{name}/full'; echo x > {name}/full/x")
    if name != ".gradebook.db.hubrun-copy":
        server.shell(f"cd {COURSE}/course; rm -r {name}; echo x > {name}")
    server.backup("run")
    with backup_server(tmp_path, server.repository) as fresh:
        fresh.backup("restore", "site", "latest")
        assert fresh.rows(f"{COURSE}/course/gradebook.db", "SELECT score FROM grade") == [(9.5,)]


def test_a_gradebook_that_could_not_be_copied_comes_back_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(as_owner.__kwdefaults__, "seconds", 2)
    book = tmp_path / "gradebook.db"
    with closing(sqlite3.connect(book, isolation_level=None)) as db:
        db.executescript("CREATE TABLE grade (score); INSERT INTO grade VALUES (9.5)")
        os.chown(tmp_path, STUDENT, STUDENT)
        os.chown(book, STUDENT, STUDENT)
        db.execute("BEGIN EXCLUSIVE")
        assert list(databases.copy([book])) == [book]
    assert os.listdir(tmp_path) == ["gradebook.db"]  # what is backed up
    assert databases.put_back([book]) == {}
    with closing(sqlite3.connect(book)) as db:
        assert db.execute("SELECT score FROM grade").fetchall() == [(9.5,)]


def test_a_name_that_reads_like_an_error_of_the_servers_own_files_ends_no_restore(server: BackupServer) -> None:
    name = "$'a\\nignoring error for /server/etc/x: '"
    server.shell(f"cd {server.home('ada')}; mkdir -p {name}; rmdir {name}; echo x > {name}")
    server.backup("run")
    server.shell(f"cd {server.home('ada')}; rm {name}; mkdir {name}; touch {name}/x")
    said = server.backup("restore", "site", "latest", "over")
    assert said.startswith("2 files or folders of people could not be written")


def test_a_repository_that_goes_away_is_no_fault_of_peoples_files(server: BackupServer, tmp_path: Path) -> None:
    server.write(f"{server.home('ada')}/big", os.urandom(1 << 20).hex(), STUDENT)
    server.backup("run")
    kept = Path(server.repository)
    real = subprocess.run(["which", "restic"], capture_output=True, text=True, check=True).stdout.strip()
    with backup_server(tmp_path, server.repository) as fresh:
        # It goes away after the server's own files, as a line that breaks.
        fresh.tool(
            "restic",
            f"""case "$*" in
            *"restore "*exclude=/server) mv {kept} {kept}.away
                echo 'ignoring error for /homes/ada/big: StreamPack: connection refused'
                echo 'Fatal: There were 1 errors' >&2; exit 1;;
            esac
            exec {real} "$@" """,
        )
        assert "there is no repository" in fresh.backup("restore", "site", "latest", fails=True)


def test_a_pipe_in_the_place_of_a_file_that_was_handed_in_ends_no_restore(server: BackupServer) -> None:
    server.backup("run")
    server.shell(f"cd {COURSE}/inbound/ada; rm task.ipynb; mkfifo task.ipynb")
    server.backup("restore", "site", "latest", "over")


def test_holes_that_come_back_as_zeros_do_not_fill_the_disk(server: BackupServer) -> None:
    home = server.home("eve")
    server.shell(
        f"mount -t tmpfs -o size=30m,mode=777 tmpfs {home}; truncate -s 40M {home}/huge; echo x > {home}/small"
    )
    server.backup("run")
    assert "it takes 40 MB, and the disk has" in server.backup("restore", "person", "eve", "latest", fails=True)
    assert server.shell(f"ls {home}") == "huge\nsmall\n"
    server.backup("restore", "person", "eve", "latest", "small")


def test_a_home_of_more_files_than_the_disk_can_take_is_not_restored_for_a_test(server: BackupServer) -> None:
    server.shell(
        f"rm -rf {server.home('ada')}/* {server.home('bob-2eb')}/* {server.home('ada')}/.config {server.home('bob-2eb')}/.config"
    )
    server.shell(f"cd {server.home('eve')}; echo x > x; touch $(seq 300)")
    server.shell("mount -t tmpfs -o nr_inodes=400 tmpfs /var/lib/hubrun")
    server.backup("run")
    assert server.state["test_restore"]["home"] == ""  # type: ignore[index]


def test_a_password_that_was_made_for_a_new_repository_survives_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    settings = {"site": "bio", "repository": str(tmp_path / "new"), "image": "students", "hub_user": "hub"}
    given = json.dumps({"backup.json": json.dumps(settings)})
    child = os.fork()
    if child == 0:
        os.replace = lambda *_: os._exit(9)  # type: ignore[assignment]
        access.accept(given, True, folder)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    access.accept(given, True, folder)
    assert Repository(load(folder), folder).look() == READY and not (folder / "backup-tried").exists()
