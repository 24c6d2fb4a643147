"""Kernels that start while the processor and the disk are busy: each of them answers on its first connection.

A kernel was seen that never did, four times in some hundred, which is why kernel_client opens a second connection, as
JupyterLab does. Here a second one counts as a failure. `./hubrun test --long` starts a thousand.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hubrun.lms import kernel_client
from hubrun.lms.connect_to import Route
from student_server import student_python

LONG = bool(os.environ.get("HUBRUN_LONG"))
STARTS, AT_ONCE, OF_ONE_SERVER = (1000 if LONG else 8), 4, 40
pytestmark = [pytest.mark.hub, pytest.mark.long, pytest.mark.timeout(7200 if LONG else 300)]

_BURN = "while True: pass"
_WRITE = """
import os, sys
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 16))
            file.flush()
            os.fsync(file.fileno())
"""
TOKEN = {"Authorization": "token t"}


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[None]:
    """Two processes that compute and one that writes to the disk without end."""
    commands = [[_BURN], [_BURN], [_WRITE, str(tmp_path / "written")]]
    load = [subprocess.Popen([sys.executable, "-c", *command]) for command in commands]
    yield
    for process in load:
        process.kill()
        process.wait()


@contextlib.contextmanager
def jupyter_server(home: Path) -> Iterator[int]:
    """JupyterLab with a home of its own, as a student's; its port."""
    home.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = student_python()
    options = {"ip": "127.0.0.1", "port": port, "port_retries": 0, "root_dir": home}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [python, "-m", "jupyterlab", "--allow-root", "--no-browser"]
            + [f"--ServerApp.{name}={value}" for name, value in options.items()],
            env={"HOME": str(home), "PATH": f"{python.parent}:/usr/bin:/bin", "JUPYTER_TOKEN": "t", "LANG": "C.UTF-8"},
            cwd=home, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/api/status", headers=TOKEN, timeout=5).is_success:
                    break
            assert time.monotonic() < end and server.poll() is None, (home / "log").read_text()
            time.sleep(0.1)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def test_each_kernel_answers_on_its_first_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: None
) -> None:
    opened = threading.local()
    connect = kernel_client._open

    def counted(route: Route, *rest: object) -> object:
        opened.count += 1
        return connect(route, *rest)

    monkeypatch.setattr(kernel_client, "_open", counted)

    def start(port: int) -> tuple[float, int]:
        """Seconds until a new kernel has executed a cell, and by how many connections."""
        began, opened.count = time.monotonic(), 0
        url = f"http://127.0.0.1:{port}/api/kernels"
        made = httpx.post(url, headers=TOKEN, json={"name": "python3"}, timeout=120).raise_for_status().json()["id"]
        channels = f"ws://127.0.0.1:{port}/api/kernels/{made}/channels"
        assert kernel_client.execute(Route(f"http://127.0.0.1:{port}"), channels, TOKEN, "1+1", 150) == "2"
        took = time.monotonic() - began
        httpx.delete(f"{url}/{made}", headers=TOKEN, timeout=60).raise_for_status()
        return took, opened.count

    starts: list[tuple[float, int]] = []
    for number, first in enumerate(range(0, STARTS, OF_ONE_SERVER)):
        with jupyter_server(tmp_path / f"home{number}") as port, ThreadPoolExecutor(AT_ONCE) as pool:
            starts += pool.map(start, [port] * min(OF_ONE_SERVER, STARTS - first))
        seconds = sorted(took for took, _ in starts)
        print(
            f"{len(starts)} kernels: median {seconds[len(seconds) // 2]:.1f} s, slowest {seconds[-1]:.1f} s", flush=True
        )
    assert [count for _, count in starts] == [1] * STARTS
