"""The line that is run in a kernel of a new image's server, with a real Jupyter server; and which server that is."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hubrun_hub.programs import running_servers, try_start

TOKEN = "a-token-of-the-test"


def test_the_server_is_found_by_what_docker_says_of_the_container() -> None:
    container: Any = {
        "Config": {"Image": "class:candidate", "Env": ["PATH=/bin", "JUPYTERHUB_SERVICE_URL=http://0.0.0.0:8888/user/hubruntest1/"]},
        "NetworkSettings": {"Networks": {"jupyterhub": {"IPAddress": "172.29.0.9"}}},
    }  # fmt: skip
    assert try_start.server_of(container) == ("class:candidate", "http://172.29.0.9:8888/user/hubruntest1/")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a Jupyter server, and the folder where its kernels are described."""
    folder = tmp_path_factory.mktemp("jupyter")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kernels = folder / "kernels" / "python3"
    kernels.mkdir(parents=True)
    options = [f"--port={port}", "--no-browser", "--ServerApp.base_url=/user/hubruntest1/", "--allow-root", "--ServerApp.port_retries=0"]  # fmt: skip
    environment = os.environ | {
        "JUPYTER_TOKEN": TOKEN, "JUPYTER_PREFER_ENV_PATH": "0", "JUPYTER_DATA_DIR": str(folder), "JUPYTER_CONFIG_DIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/user/hubruntest1/"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}api", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield address, kernels
    finally:
        process.kill()  # its kernels end by themselves
        process.wait(60)


def describe(kernels: Path, *command: str) -> None:
    """Let these words start the kernel python3."""
    text = json.dumps({"argv": [*command, "-f", "{connection_file}"], "display_name": "Python", "language": "python"})
    (kernels / "kernel.json").write_text(text)


@pytest.mark.slow
def test_a_server_whose_kernel_runs_a_line_is_good(server: tuple[str, Path]) -> None:
    describe(server[1], sys.executable, "-m", "ipykernel_launcher")
    asyncio.run(asyncio.wait_for(try_start.run_line(server[0], TOKEN), 60))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "token", "says"),
    [
        (("/nowhere/python",), TOKEN, "it starts no kernel: HTTP 500"),
        ((sys.executable, "-m", "ipykernel_launcher"), "another", "it starts no kernel: HTTP 403"),
    ],
    ids=["no kernel", "no access"],
)
def test_a_server_without_a_kernel_is_not(
    server: tuple[str, Path], command: tuple[str, ...], token: str, says: str
) -> None:
    describe(server[1], *command)
    with pytest.raises(try_start.NoKernel, match=says):
        asyncio.run(asyncio.wait_for(try_start.run_line(server[0], token), 60))


def test_where_nobody_listens_there_is_no_kernel() -> None:
    with pytest.raises(try_start.NoKernel, match="it starts no kernel"):
        asyncio.run(try_start.run_line("http://127.0.0.1:1/user/hubruntest1/", TOKEN))


def test_how_long_a_server_was_idle_is_read_from_the_hubs_database(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "jupyterhub.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript("""CREATE TABLE users (id INTEGER, name TEXT);
            CREATE TABLE spawners (user_id INTEGER, server_id INTEGER, last_activity DATETIME);
            INSERT INTO users VALUES (1, 'ada'), (2, 'ben'), (3, 'cy');
            INSERT INTO spawners VALUES (1, 6, '2026-11-26 09:00:00'), (1, 7, '2026-11-26 10:00:00.500000'), (2, NULL, '2026-11-26 09:00:00'), (3, 8, NULL);""")
    assert running_servers.idle_minutes(str(path), datetime(2026, 11, 26, 10, 42)) == {"ada": 41}
    assert running_servers.idle_minutes(str(tmp_path / "none"), datetime(2026, 11, 26)) == {}
    assert not (tmp_path / "none").exists()
