"""JupyterLab asks the hub, and nobody on the internet, whether something newer is there; with a real JupyterLab."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

pytestmark = pytest.mark.slow

IMAGE = Path(str(files("hubrun_student"))) / "image"
SAYS: dict[str, Any] = {}


class Hub(BaseHTTPRequestHandler):
    """Answers as hubrun_hub/starting/newer_image.py does."""

    def do_GET(self) -> None:
        known = self.path == "/hub/hubrun-image" and self.headers["Authorization"] == "token of-ada"
        body = json.dumps(SAYS).encode()
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab that is configured as in the image."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(IMAGE / "labconfig", folder / "etc/labconfig")
    shutil.copy(IMAGE / "jupyter_lab_config.json", folder / "etc")
    hub = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(IMAGE.parents[1]), "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub.server_port}/hub/api",
        "JUPYTERHUB_API_TOKEN": "of-ada", "JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example.edu/hub/", "JUPYTER_TOKEN": "mine",
        "JUPYTER_CONFIG_PATH": str(folder / "etc"), "JUPYTER_CONFIG_DIR": str(folder / "own"), "JUPYTER_RUNTIME_DIR": str(folder / "run"),
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", f"--port={port}", "--allow-root", "--ServerApp.port_retries=0"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            try:
                urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(60)
        hub.shutdown()


def ask(lab: str, path: str) -> Any:
    with urlopen(Request(f"{lab}{path}", headers={"Authorization": "token mine"}), timeout=20) as answer:
        return json.load(answer)


def test_a_newer_image_is_said_with_what_to_do(lab: str) -> None:
    SAYS.update(newer="3fa94b0c1d2e")
    notice = ask(lab, "/lab/api/update")["notification"]
    assert "newer version of your server's software is there (3fa94b0c1d2e)" in notice["message"]
    assert notice["link"] == ["Hub Control Panel", "https://hub.example.edu/hub/home"]


@pytest.mark.parametrize("says", [{"newer": ""}, {"unknown": 1}])
def test_nothing_is_said_of_the_current_one_or_where_the_hub_does_not_know(lab: str, says: dict[str, Any]) -> None:
    SAYS.clear()
    SAYS.update(says)
    assert ask(lab, "/lab/api/update") == {"notification": None}


def test_nobody_is_asked_for_official_news(lab: str) -> None:
    settings = ask(lab, "/lab/api/settings/@jupyterlab/apputils-extension:notification")
    assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"
