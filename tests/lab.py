"""`./hubrun lab` with small runbooks, in a process of its own, and a stand-in for the browser.

`python lab.py RUNBOOK … -- ARGUMENTS` is `./hubrun lab ARGUMENTS` with these runbooks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import nbformat
import yaml
from nbformat import NotebookNode
from websocket import WebSocket, WebSocketTimeoutException, create_connection

from books import SITE, read, until
from hubrun.cli.main import hubrun
from hubrun.records.ledger import manifest
from hubrun.records.ledger.history import History, Run
from hubrun.records.ledger.manifest import Record
from hubrun.records.ledger.verify_history import verify
from hubrun.records.run import site_run


class Lab:
    """A session that goes on. address: of JupyterLab, without its token."""

    def __init__(self, records: Path, site: str, command: Sequence[str | Path], **environment: str) -> None:
        """Start it; command: `./hubrun lab params/SITE.yaml`, as it is typed, for the site with this name."""
        self.records, self.site, self.log = records, site, records.with_name("lab.log")
        arguments = ["--no-browser", "--port", "18888", "--records", str(records)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], env={**os.environ, **environment}, stderr=log, start_new_session=True
            )
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        until(lambda: self.process.poll() is not None or "to end:" in self.log.read_text(), 120)
        assert self.process.poll() is None, self.log.read_text()
        self.address, _, self.opener = self._line("JupyterLab: ").partition("; it asks for a token, which is in ")
        self.folder = Path(self._line("record: "))
        self.token = Path(self.opener).read_text().partition("token=")[2].partition('"')[0]
        self.url = self.address.partition("/lab")[0]
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"token {self.token}"}, timeout=60)

    def _line(self, begins: str) -> str:
        return next(line for line in self.log.read_text().splitlines() if line.startswith(begins)).removeprefix(begins)

    def nb(self, name: str) -> NotebookNode:
        """A copy as it is on disk."""
        return read(self.folder / f"{name}.ipynb")

    @property
    def login(self) -> str:
        """The address that opens JupyterLab without asking for the token."""
        return f"{self.address}?token={self.token}"

    def get(self, name: str) -> NotebookNode:
        """A copy as a browser opens it."""
        answer = self.http.get(f"/api/contents/{name}.ipynb?content=1").raise_for_status()
        return nbformat.from_dict(answer.json()["content"])

    def put(self, name: str, nb: NotebookNode) -> httpx.Response:
        """Save a notebook, as a browser does."""
        return self.http.put(f"/api/contents/{name}.ipynb", json={"type": "notebook", "format": "json", "content": nb})

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the session with a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self) -> None:
        """Kill it, if it is still there."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def record(self) -> Record:
        """What the manifest says."""
        return manifest.read(self.folder).predicate

    def sound(self) -> bool:
        """Whether nothing is wrong with the records; what is wrong is shown."""
        assert verify(History(self.records, self.site)).findings == []
        return True

    def close_killed(self) -> Record:
        """Close the record of a session that was killed, as the next run does."""
        assert hubrun.main(["records", "list", "--records", str(self.records)], standalone_mode=False) is None
        return Run(self.folder).manifest().predicate


class Tab:
    """A browser's tab with one runbook and a kernel: its own, or that of another tab."""

    def __init__(self, lab: Lab, name: str, kernel: str = "") -> None:
        self.lab, self.name = lab, name
        self.nb = lab.get(name)
        wanted = {"id": kernel} if kernel else {"name": "python3"}
        session = {"path": f"{name}.ipynb", "name": "", "type": "notebook", "kernel": wanted}
        self.kernel = lab.http.post("/api/sessions", json=session).raise_for_status().json()["kernel"]["id"]
        self.client = uuid.uuid4().hex
        self.seen: list[dict[str, Any]] = []
        self.connect()

    def connect(self) -> None:
        """Connect to the kernel, once more maybe."""
        address = f"{self.lab.url.replace('http', 'ws')}/api/kernels/{self.kernel}/channels?session_id={self.client}"
        self.socket: WebSocket = create_connection(
            address, header=[f"Authorization: token {self.lab.token}"], timeout=60, origin=self.lab.url
        )

    def cell(self, source: str) -> NotebookNode:
        """The code cell that begins so."""
        return next(cell for cell in self.nb.cells if cell.cell_type == "code" and cell.source.startswith(source))

    def send(self, *cells: NotebookNode) -> list[str]:
        """Ask the kernel to run cells, as JupyterLab does; the requests' ids."""
        sent = []
        for cell in cells:
            sent.append(uuid.uuid4().hex)
            header = {"msg_id": sent[-1], "msg_type": "execute_request", "session": self.client, "username": "", "version": "5.3"}  # fmt: skip
            content = {"code": cell.source, "silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": True}  # fmt: skip
            message = {
                "header": header, "parent_header": {}, "channel": "shell", "buffers": [],
                "metadata": {"cellId": cell.id, "deletedCells": []}, "content": content,
            }  # fmt: skip
            self.socket.send(json.dumps(message))
        return sent

    def run(self, *cells: NotebookNode, seconds: float = 60) -> str:
        """Run cells and wait for the reply to the last, and for all that it shows (IOPub is a socket of its own); its status."""
        wanted, end = self.send(*cells)[-1], time.monotonic() + seconds
        status, idle = "", False
        while time.monotonic() < end:
            message = self.read()
            if message.get("parent_header", {}).get("msg_id") == wanted:
                if message["msg_type"] == "execute_reply":
                    status = str(message["content"]["status"])
                idle = idle or message["content"].get("execution_state") == "idle"
            if status and idle:
                return status
        raise AssertionError("the kernel did not answer")

    def read(self) -> dict[str, Any]:
        """The next message; {} when there is none for a second."""
        self.socket.settimeout(1)
        try:
            message: dict[str, Any] = json.loads(self.socket.recv())
        except WebSocketTimeoutException:
            return {}
        self.seen.append(message)
        return message


@contextmanager
def opened(
    records: Path, books: Sequence[Path], parameters: dict[str, Any] | None = None, **environment: str
) -> Iterator[Lab]:
    """A session with these runbooks, for the site with these parameters; it is killed in the end if it still goes on."""
    site = parameters or SITE.given()
    file = records.with_name("site.yaml")
    file.write_text(yaml.safe_dump(site))
    command = [sys.executable, __file__, *map(str, books), "--", str(file)]
    with closing(Lab(records, site["site"], command, PYTHONPATH=str(Path(__file__).parent), **environment)) as lab:
        yield lab


if __name__ == "__main__":
    at = sys.argv.index("--")
    given = [Path(name) for name in sys.argv[1:at]]
    site_run.runbooks = lambda *_: given  # type: ignore[assignment]
    sys.argv[1:] = ["lab", *sys.argv[at + 1 :]]
    from hubrun.cli.main import main

    main()
