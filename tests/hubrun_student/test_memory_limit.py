"""A kernel that Linux ends for its memory: the cell says so at once. The control group is played by files."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from hubrun.errors import CheckFailed
from hubrun.lms import kernel_client
from hubrun.lms.connect_to import Route

LIB = Path(__file__).resolve().parents[2] / "lib"
# Ends itself as the kernel of Linux would end it, and writes down what it would. Not in its first moment: what a kernel
# says when a cell begins is lost, when it is ended before it was sent.
ENDS = """
import os, pathlib, signal, time
time.sleep(0.3)
pathlib.Path({group!r}, "memory.events").write_text("low 0\\nhigh 0\\nmax 40\\noom 1\\noom_kill {number}\\n")
os.kill({whom}, signal.SIGKILL)
"""


@dataclass(frozen=True)
class Server:
    url: str
    group: Path
    headers: dict[str, str]

    def kernel(self) -> str:
        started = httpx.post(f"{self.url}/api/kernels", headers=self.headers, json={}, timeout=60, verify=False)
        return str(started.raise_for_status().json()["id"])

    def run(self, kernel: str, code: str) -> str:
        url = f"ws{self.url.removeprefix('http')}/api/kernels/{kernel}/channels"
        return kernel_client.execute(Route(self.url), url, self.headers, code, 60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("memory")
    group = folder / "group"
    group.mkdir()
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n")
    (group / "memory.max").write_text(f"{512 * 2**20}\n")
    (folder / "played.py").write_text(
        "from pathlib import Path\nfrom hubrun_student.memory import limit\n"
        f"def _load_jupyter_server_extension(app): limit.watch(app.log, Path({str(group)!r}))\n"
    )
    settings = json.loads((LIB / "hubrun_student/memory/jupyter_server_config.d/hubrun_memory.json").read_text())
    assert settings["ServerApp"]["jpserver_extensions"] == {"hubrun_student.memory": True}
    settings["ServerApp"]["jpserver_extensions"] = {"played": True}
    (folder / "jupyter_server_config.json").write_text(json.dumps(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(8)
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": f"{LIB}:{folder}", "HOME": str(folder), "JUPYTER_CONFIG_DIR": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "JUPYTER_DATA_DIR": str(folder / "data"),
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "jupyter_server",
        f"--port={port}",
        "--no-browser",
        f"--IdentityProvider.token={token}",
    ]
    command += ["--allow-root", "--ServerApp.port_retries=0"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process:  # fmt: skip
        headers = {"Authorization": f"token {token}", "Origin": f"http://127.0.0.1:{port}"}
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/api", verify=False).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            else:
                raise AssertionError((folder / "log").read_text())
            yield Server(f"http://127.0.0.1:{port}", group, headers)
            print((folder / "log").read_text()[-3000:])
        finally:
            process.terminate()


@pytest.mark.slow
def test_the_cell_whose_kernel_is_ended_says_so_at_once(server: Server) -> None:
    kernel, other = server.kernel(), server.kernel()
    assert server.run(kernel, "6*7") == "42"
    began = time.monotonic()
    with pytest.raises(CheckFailed, match="the kernel ended while it executed") as failed:
        server.run(kernel, ENDS.format(group=str(server.group), number=1, whom="os.getpid()"))
    assert time.monotonic() - began < 5, "and not after a minute of silence"
    assert "The memory limit of your server, 512 MB, was reached" in failed.value.detail
    assert "it was ended, and starts again without its variables" in failed.value.detail
    # Those that run nothing hear nothing of it, and the new one works.
    assert server.run(other, "'here'") == "'here'"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            assert server.run(kernel, "1+1") == "2"
            break
        except CheckFailed:
            time.sleep(0.5)


@pytest.mark.slow
def test_a_process_that_a_cell_started_is_told_apart_from_its_kernel(server: Server) -> None:
    kernel = server.kernel()
    code = f"""
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"])
{ENDS.format(group=str(server.group), number=2, whom="child.pid")}
print("exit", child.wait())
time.sleep(2)
"""
    told = server.run(kernel, code)
    assert "exit -9" in told and "a process that it started was ended" in told


def test_both_versions_of_control_groups_are_read(tmp_path: Path) -> None:
    limit = pytest.importorskip("hubrun_student.memory.limit")
    assert (limit.killed(tmp_path), limit.limit(tmp_path)) == (0, "what it may use")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("209715200\n")
    assert (limit.killed(tmp_path), limit.limit(tmp_path)) == (3, "200 MB")
    (tmp_path / "memory.events").write_text("oom 1\noom_kill 1\noom_group_kill 0\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (limit.killed(tmp_path), limit.limit(tmp_path)) == (1, "what it may use")


def test_the_word_comes_before_a_restart_that_jupyter_sees_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = pytest.importorskip("hubrun_student.memory.limit")
    happened: list[str] = []

    class Page:
        hubrun_runs: object = "the cell"

        def on_kernel_restarted(self) -> None:
            happened.append("restarted")

        def write_stderr(self, text: str, parent: object) -> None:
            happened.append(f"{parent}: {text[:45]}")

    monkeypatch.setattr(limit, "Connection", Page)
    events = tmp_path / "memory.events"
    events.write_text("oom_kill 0\n")
    limit.Watch(None, tmp_path).before_restarts()
    page = Page()
    page.on_kernel_restarted()  # by a person: nothing is said of memory
    page.hubrun_runs = "another cell"
    events.write_text("oom_kill 1\n")
    page.on_kernel_restarted()
    page.on_kernel_restarted()
    assert happened == [
        "restarted",
        "another cell: The memory limit of your server, what it may ",
        "restarted",
        "restarted",
    ]
