"""A home at its limit, on a real btrfs: what Jupyter answers, and that its server starts and deletes."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import homes_disk
from homes_disk import mounted, real
from hubrun.lms import kernel_client
from hubrun.lms.connect_to import Route
from hubrun_hub.homes import serve
from hubrun_hub.homes.places import Homes
from hubrun_student.programs import new_home

LIB = Path(__file__).resolve().parents[2] / "lib"
SETTINGS = LIB / "hubrun_student/disk/jupyter_server_config.d/hubrun_disk.json"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of 40 MB, as a container has it."""
    with homes_disk.made(tmp_path) as root:
        homes = Homes(root, tmp_path / "locks")
        serve.make(homes, "ada", 40 * 2**20)
        with mounted(homes, "ada", tmp_path / "home") as place:
            new_home.make(place)  # as in the image's home, which Docker copies
            yield place


@contextmanager
def server(home: Path, folder: Path, **environment: str) -> Iterator[httpx.Client]:
    """A person's server, with the extension as the image has it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(8)
    config = folder / "config"
    (config / "jupyter_server_config.d").mkdir(parents=True, exist_ok=True)
    (config / "jupyter_server_config.d" / SETTINGS.name).write_text(SETTINGS.read_text())
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(LIB),
        "HOME": str(home),
        "JUPYTER_CONFIG_PATH": str(config),
        **environment,
    }
    command = [
        sys.executable,
        "-m",
        "jupyter_server",
        f"--port={port}",
        "--no-browser",
        "--allow-root",
        f"--IdentityProvider.token={token}",
    ]
    url = f"http://127.0.0.1:{port}"
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(command, cwd=home, env=variables, stdout=log, stderr=log) as process,
    ):
        client = httpx.Client(base_url=url, headers={"Authorization": f"token {token}", "Origin": url}, timeout=30)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    if client.get("/api").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            yield client
        finally:
            client.close()
            process.terminate()
            process.wait(30)
            print((folder / "log").read_text()[-3000:])


def save(client: httpx.Client, name: str, size: int) -> httpx.Response:
    model = {"type": "file", "format": "text", "content": "x" * size}
    return client.put(f"/api/contents/{name}", json=model)


def fill(home: Path) -> None:
    with pytest.raises(OSError) as full, (home / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(os.urandom(2**16))
            os.fsync(file.fileno())
    assert full.value.errno == errno.EDQUOT


@real
@pytest.mark.slow
def test_at_the_limit_jupyter_says_why_starts_and_deletes(home: Path, tmp_path: Path) -> None:
    limited = {"HUBRUN_USER_DISK": "limited", "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    with server(home, tmp_path, **limited) as client:
        assert save(client, "note.txt", 1000).status_code == 201
        fill(home)
        refused = save(client, "more.txt", 3_000_000)
        assert refused.status_code == 507 and "Your files have reached their limit" in refused.json()["message"]
        assert (home / "note.txt").read_text() == "x" * 1000
    with server(home, tmp_path, **limited) as client:
        kernel = client.post("/api/kernels", json={}).raise_for_status().json()["id"]
        url = f"ws{str(client.base_url).removeprefix('http')}/api/kernels/{kernel}/channels"
        headers = {name: client.headers[name] for name in ("Authorization", "Origin")}
        assert kernel_client.execute(Route(str(client.base_url)), url, headers, "6*7", 60) == "42"
        assert client.delete("/api/contents/fill").status_code == 204, "and not into a trash that there is no room for"
        assert save(client, "more.txt", 3_000_000).status_code == 201
    assert not (home / ".local/share/Trash").exists()


@real
@pytest.mark.slow
def test_where_homes_have_no_limit_jupyter_is_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "plain"
    home.mkdir()
    with server(home, tmp_path) as client:
        assert save(client, "note.txt", 10).status_code == 201
        assert client.delete("/api/contents/note.txt").status_code == 204
    assert list((home / ".local/share/Trash/files").iterdir())


def test_the_message_says_how_much_there_was(tmp_path: Path) -> None:
    full = pytest.importorskip("hubrun_student.disk.full")
    readme = tmp_path / "README.txt"
    assert "hub, so nothing more can be saved. Delete something" in full.message(readme)
    readme.write_text("4.9 GB of 5.0 GB are used (on 2026-11-26 at 12:00).\n\nThe folders\n")
    assert "can be saved. 4.9 GB of 5.0 GB are used (on 2026-11-26 at 12:00). Delete" in full.message(readme)
    try:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as error:
            raise RuntimeError("not saved") from error
    except RuntimeError as error:
        assert full.is_full(error)
    assert not full.is_full(OSError(errno.ENOSPC, "No space left"))


def test_the_extension_is_enabled_by_its_file() -> None:
    assert json.loads(SETTINGS.read_text())["ServerApp"]["jpserver_extensions"] == {"hubrun_student.disk": True}
