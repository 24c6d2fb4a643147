"""The hub is kept as it works and put back, with its shell run in a folder of its own."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from hubrun.resources.hub_copy import HubCopy


class Server:
    """Folders of a server below `root`; `systemctl` notes what it is asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.state, self.log = root, root / "state", root / "log"
        for folder in (self.state, root / "bin", root / "venv/bin", root / "etc"):
            folder.mkdir(parents=True)
        for program in ("systemctl", "docker"):
            (root / "bin" / program).write_text(f'#!/bin/sh\necho "{program} $*" >> {self.log}\n')
            (root / "bin" / program).chmod(0o755)
        (root / "venv/bin/jupyterhub").write_text("6.1.0")
        (root / "etc/secret").write_text("s")
        (root / "etc/secret").chmod(0o600)
        (root / "hub.service").write_text("old unit")
        self.database.write_text("as before")
        self.database.chmod(0o600)
        self.backup("2025-01-01-000000", "of last year")
        paths = tuple(str(root / name) for name in ("venv", "etc", "hub.service", "never-there"))
        self.copy = HubCopy(str(root / "kept/before-upgrade"), str(self.state), "class", "class:kept", paths)

    @property
    def database(self) -> Path:
        return self.state / "jupyterhub.sqlite"

    def backup(self, at: str, text: str) -> None:
        """What JupyterHub makes before it changes the tables."""
        time.sleep(0.02)  # file systems keep times so finely
        (self.state / f"jupyterhub.sqlite.{at}").write_text(text)

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
    server.database.write_text("with ben")
    server.sh(server.copy.put_back())
    assert (server.root / "venv/bin/jupyterhub").read_text() == "6.1.0"
    assert not (server.root / "venv/new").exists() and not [
        *server.root.glob("*.failed"),
        *server.root.glob("*.before"),
    ]
    assert (server.root / "hub.service").read_text() == "old unit"
    assert stat.S_IMODE((server.root / "etc/secret").stat().st_mode) == 0o600
    assert server.database.read_text() == "with ben"
    asked = server.log.read_text().splitlines()
    assert asked[:3] == [
        "docker tag class class:kept",
        "systemctl stop jupyterhub jupyterhub-proxy",
        "docker tag class:kept class",
    ]
    restarted = "systemctl restart hubrun-docker-filter jupyterhub-proxy jupyterhub"
    assert asked[-2:] == [restarted, "systemctl reload nginx"]


def test_a_database_whose_tables_were_changed_goes_back_to_what_it_was_at_the_first_try(server: Server) -> None:
    server.keep()
    server.backup("2026-11-26-100000", "before the first try")
    server.backup("2026-11-26-100005", "half migrated")
    server.database.write_text("migrated")
    (server.state / "jupyterhub.sqlite-journal").touch()
    server.sh(server.copy.put_back())
    assert server.database.read_text() == "before the first try"
    assert stat.S_IMODE(server.database.stat().st_mode) == 0o600
    assert not (server.state / "jupyterhub.sqlite-journal").exists()


def test_nothing_is_left_but_what_was_there_before(server: Server) -> None:
    server.keep()
    server.backup("2026-11-26-100000", "before the first try")
    server.sh(server.copy.forget())
    assert not Path(server.copy.folder).exists()
    assert sorted(path.name for path in server.state.iterdir()) == [
        "jupyterhub.sqlite",
        "jupyterhub.sqlite.2025-01-01-000000",
    ]
