"""The hub is kept as it works and put back, with its shell run in a folder of its own."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from hubrun.resources.hub_copy import HubCopy


class Server:
    """Folders of a server below `root`; `systemctl` notes what it is asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.state, self.log = root, root / "state", root / "log"
        for folder in (self.state, root / "bin", root / "venv/bin", root / "etc"):
            folder.mkdir(parents=True)
        (root / "bin/systemctl").write_text(f'#!/bin/sh\necho "$*" >> {self.log}\n')
        (root / "bin/systemctl").chmod(0o755)
        (root / "venv/bin/jupyterhub").write_text("6.1.0")
        (root / "etc/secret").write_text("s")
        (root / "etc/secret").chmod(0o600)
        (root / "hub.service").write_text("old unit")
        self.sql("CREATE TABLE users (name TEXT)", "INSERT INTO users VALUES ('ada')")
        paths = tuple(str(root / name) for name in ("venv", "etc", "hub.service", "never-there"))
        self.copy = HubCopy(str(root / "kept/before-upgrade"), str(self.state), paths)

    def sql(self, *statements: str) -> list[tuple[str, ...]]:
        with sqlite3.connect(self.state / "jupyterhub.sqlite") as database:
            return [row for statement in statements for row in database.execute(statement)]

    def sh(self, script: str) -> None:
        environment = os.environ | {"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr

    def keep(self) -> int:
        probe = subprocess.run(["sh", "-c", self.copy.probe()], capture_output=True, text=True, check=True)
        actions = self.copy.plan(probe.stdout)
        for action in actions:
            self.sh(action.script)
        return len(actions)

    def put_back(self) -> None:
        self.sh(self.copy.put_back(f"{os.getuid()}:{os.getgid()}"))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_the_copy_is_roots_alone_and_one_that_is_there_stays(server: Server) -> None:
    assert server.keep() == 1
    folder = Path(server.copy.folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (server.root / "venv/bin/jupyterhub").write_text("half installed")
    assert server.keep() == 0
    assert Path(f"{folder}{server.root}/venv/bin/jupyterhub").read_text() == "6.1.0"
    server.sh(server.copy.forget())
    assert not folder.exists()


def test_a_copy_that_was_killed_is_begun_again(server: Server) -> None:
    (server.root / "kept/before-upgrade.new").mkdir(parents=True)
    (server.root / "kept/before-upgrade.new/half").touch()
    assert server.keep() == 1
    assert not (server.root / "kept/before-upgrade/half").exists()


def test_all_is_put_back_but_what_people_did_meanwhile_stays(server: Server) -> None:
    server.keep()
    (server.root / "venv/bin/jupyterhub").write_text("6.2.0")
    (server.root / "venv/new").touch()
    (server.root / "hub.service").write_text("new unit")
    (server.root / "etc/secret").unlink()
    server.sql("INSERT INTO users VALUES ('ben')")
    server.put_back()
    assert (server.root / "venv/bin/jupyterhub").read_text() == "6.1.0"
    assert not (server.root / "venv/new").exists() and not list(server.root.glob("*.failed"))
    assert (server.root / "hub.service").read_text() == "old unit"
    assert stat.S_IMODE((server.root / "etc/secret").stat().st_mode) == 0o600
    assert server.sql("SELECT name FROM users") == [("ada",), ("ben",)], "its tables are the same: it stays"
    asked = server.log.read_text().splitlines()
    assert asked[0] == "stop jupyterhub jupyterhub-proxy"
    assert asked[-1] == "restart hubrun-docker-filter jupyterhub-proxy jupyterhub"


@pytest.mark.parametrize(
    "migration",
    [
        ("ALTER TABLE users ADD COLUMN admin",),
        ("UPDATE alembic_version SET version_num = 'b'",),
    ],
    ids=["other tables", "another version of them"],
)
def test_a_database_that_was_migrated_goes_back_to_what_the_hub_of_before_reads(
    server: Server, migration: tuple[str, ...]
) -> None:
    server.sql("CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('a')")
    server.keep()
    server.sql(*migration, "INSERT INTO users (name) VALUES ('ben')")
    (server.state / "jupyterhub.sqlite-journal").write_bytes(b"")
    server.put_back()
    assert server.sql("SELECT * FROM users") == [("ada",)]
    assert not (server.state / "jupyterhub.sqlite-journal").exists()
    assert stat.S_IMODE((server.state / "jupyterhub.sqlite").stat().st_mode) == 0o600


def test_a_database_that_is_gone_or_damaged_comes_back(server: Server) -> None:
    server.keep()
    (server.state / "jupyterhub.sqlite").write_bytes(b"no database")
    server.put_back()
    assert server.sql("SELECT name FROM users") == [("ada",)]
