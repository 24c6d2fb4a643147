"""Small runbooks, and runs of them as `./hubrun install` makes them, without a server.

`python books.py RECORDS SITE RUNBOOK …` is such a run in a process of its own, which tests can kill.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hubrun.desired.cards import MIME
from hubrun.desired.server import Server
from hubrun.params import Site
from hubrun.records.ledger.manifest import Mode, RunbookRecord, Step
from hubrun.records.ledger.steps import Listener, is_code
from hubrun.records.run import site_run as record
from hubrun.records.run.kernels import SharedKernel
from hubrun.records.run.site_run import Run
from hubrun.redaction.redact import HERE, Redactor
from hubrun.ssh.output import Output

SITE = Site(site="biology", domain="hub.example.edu", swap_mb=0)
SHOW = "from IPython.display import display\n"


def shown(**data: Any) -> str:
    """A cell that shows what `server.ensure` or `server.check` show, for machines and for people."""
    return SHOW + f"display({ {MIME: data, 'text/plain': 'card'}!r}, raw=True)"


def result(name: str, status: str) -> str:
    """A cell in which one resource came to `status`."""
    return shown(results=[{"resource": name, "status": status}])


def book(folder: Path, name: str, *steps: tuple[str, Sequence[str]]) -> Path:
    """A runbook with a parameters cell and these steps: title, cells."""
    parameters = new_code_cell('site = ""\ndomain = ""\nswap_mb = 1\ncheck = False', metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell(f"# {name}"), parameters]
    for title, sources in steps:
        cells += [new_markdown_cell(f"## {title}\n\nWhy."), *(new_code_cell(source) for source in sources)]
    path = folder / f"{name}.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def read(path: Path) -> NotebookNode:
    """A notebook that is valid, or the test fails."""
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    return nb


def code(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells of an executed runbook, without its parameters and empty ones."""
    steps = [cell for cell in nb.cells if is_code(cell)]
    return [cell for cell in steps if not {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))]


def marks(nb: NotebookNode) -> list[tuple[str, str]]:
    """What became of each of these cells: status and cause."""
    return [(cell.metadata.hubrun.status, cell.metadata.hubrun.cause) for cell in code(nb)]


def printed(cell: NotebookNode) -> str:
    """What a cell wrote to its standard output."""
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


@dataclass
class Ear:
    """Keeps what a listener is told."""

    started: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    ended: list[Step] = field(default_factory=list)

    def listen(self, _: RunbookRecord) -> Listener:
        return Listener(self.started.append, self.lines.append, self.ended.append)


class Bare:
    """Stands in for a server: what a run asks of one."""

    def identity(self) -> dict[str, str]:
        return {"os": "debian", "host_key": "SHA256:x"}

    def probe(self, *_: str) -> list[Output]:
        return [Output(0, "deb nginx\t1.22.1-9\nhub jupyterhub\t6.1.1\n")]


def install(
    records: Path, books: Sequence[Path], mode: Mode = "install", again: bool = False, site: Site = SITE,
    listen: Callable[[RunbookRecord], Listener] | None = None,
) -> Run:  # fmt: skip
    """A run as `./hubrun install` makes it, on to its end; an interrupt is kept in the record and not passed on."""
    server = cast(Server, Bare())
    with record.opened(site, mode, records, books, again=again) as run:
        ended_by = None
        try:
            run.inspect_server(server)
            with SharedKernel() as kernel:
                run.execute(listen or Ear().listen, kernel)
        except KeyboardInterrupt as stopped:
            ended_by = stopped
        run.finish(server, ended_by)
    return run


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


# -- secrets


def forget(patch: pytest.MonkeyPatch) -> None:
    """For this test, no secret is known to this process yet."""
    for name, value in vars(Redactor()).items():
        patch.setattr(HERE, name, value)


def random_hex(name: str) -> str:
    """64 hex digits, as the secrets that are made on the server."""
    return hashlib.sha256(name.encode()).hexdigest()


def forms(value: str) -> Iterator[bytes]:
    """A secret as it is, quoted, and in base64 at each alignment."""
    yield from (value.encode(), quote(value, safe="").encode(), shlex.quote(value).encode())
    for before in range(3):
        encoded = base64.b64encode(b"-" * before + value.encode())
        yield encoded[4 if before else 0 : -4]


def places(folder: Path, value: str) -> list[str]:
    """Where below `folder` a secret is: in names and in every byte of every file."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found += [f"{path.name}: {form!r}" for form in forms(value) if form in content or form in str(path).encode()]
    return found


if __name__ == "__main__":
    install(
        Path(sys.argv[1]), [Path(name) for name in sys.argv[3:]], site=SITE.model_copy(update={"site": sys.argv[2]})
    )
