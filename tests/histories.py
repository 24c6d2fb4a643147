"""Closed histories for tests: runs as hubrun leaves them, without a server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hubrun.records.ledger import close, manifest, signature
from hubrun.records.ledger.history import History, Run
from hubrun.records.ledger.manifest import Manifest, Operator, Record, RunbookRecord, Signer, Software, Status, Step
from sshd import make_key

BOOKS = ("01_server", "02_hub_lti")


def new_key(path: Path) -> signature.Key:
    """A new key in the file `path`, ready to sign."""
    key, _ = signature.find_signer(str(make_key(path)), "")
    assert key
    return key


def sign(key: signature.Key, path: Path) -> None:
    """Sign the file `path` into the file `path`.sig."""
    path.with_name(path.name + ".sig").write_bytes(signature.sign(key, path.read_bytes()))


def make_run(
    records: Path, site: str = "practice", day: int = 1, status: Status = "changed", key: signature.Key | None = None,
    books: Sequence[str] = BOOKS, **record: Any,
) -> Run:  # fmt: skip
    """A closed run of some runbooks at noon of a day of January 2026; it ends `status`, in its last runbook.

    record: further fields of the manifest's predicate, such as mode or parameters.
    """
    history = History(records, site)
    run = Run(history.folder / f"202601{day:02}T120000Z-{day:06x}")
    run.folder.mkdir(parents=True)
    fields: dict[str, Any] = {
        "run": run.name, "site": site, "mode": "install", "status": status,
        "started": f"2026-01-{day:02}T12:00:00+00:00", "ended": f"2026-01-{day:02}T12:01:00+00:00", "seconds": 60.0,
        "operator": Operator(login="ada", host="desk"), "software": Software(version="0.1.0", commit="0" * 40),
        "parameters": {"site": site}, "signer": Signer(unsigned="a test signs nothing here"),
    }  # fmt: skip
    statement = Manifest(predicate=Record(**fields | record))
    *before, last = books
    statement.predicate.runbooks = [
        *(_executed(run, name, "ok", 1, day) for name in before),
        _executed(run, last, status, 1, day),
    ]
    close.close(history, run.folder, statement, key)
    return run


def resume_run(run: Run, key: signature.Key | None = None, status: Status = "changed") -> None:
    """Go on with a run that failed, in its own folder: what earlier versions did for `install --resume`."""
    earlier = run.manifest()
    statement = earlier.model_copy(deep=True)
    record = statement.predicate
    record.attempt += 1
    record.status = status
    aside = f"attempt-{earlier.predicate.attempt}"
    (run.folder / aside).mkdir()
    for name in (f"{BOOKS[1]}.ipynb", "manifest.json.sig", manifest.FILE):
        if (run.folder / name).exists():
            shutil.move(run.folder / name, run.folder / aside / name)
    for book in record.runbooks:
        if book.attempt == earlier.predicate.attempt and book.status in ("failed", "interrupted"):
            book.file = f"{aside}/{book.file}"
    record.runbooks = [*record.runbooks, _executed(run, BOOKS[1], status, record.attempt, record.attempt)]
    close.close(History(run.folder.parent.parent, run.site), run.folder, statement, key)


def make_history(records: Path, runs: int = 5, key: signature.Key | None = None, site: str = "practice") -> History:
    """A site's history of so many runs, on as many days."""
    for day in range(1, runs + 1):
        make_run(records, site, day, key=key)
    return History(records, site)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the data of the manifest in `folder`, as somebody would who can write there."""
    path = folder / manifest.FILE
    data = json.loads(path.read_bytes())
    change(data)
    path.write_bytes(manifest.encode(data))


def _executed(run: Run, name: str, status: Status, attempt: int, number: int) -> RunbookRecord:
    """Write the executed notebook, and say in the manifest's words what it came to."""
    cells = [new_markdown_cell("## Packages", id="a"), new_code_cell(f"print({number})", id="b", execution_count=1)]
    content = nbformat.writes(new_notebook(cells=cells)).encode()
    (run.folder / f"{name}.ipynb").write_bytes(content)
    return RunbookRecord(
        name=name, attempt=attempt, file=f"{name}.ipynb", status=status, seconds=30.0, sha256=manifest.sha256(content),
        source_sha256=manifest.sha256(name.encode()), steps=[Step(title="Packages", status=status, seconds=30.0)],
    )  # fmt: skip
