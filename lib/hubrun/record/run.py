"""One run: the runbooks in order through papermill, and the folder that is kept of it."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hubrun.errors import BadInput
from hubrun.notebook import PROJECT, SITE_FILE
from hubrun.params import Site
from hubrun.record.steps import Listener, Step
from hubrun.secret import Secret

MANIFEST_VERSION = 1


@dataclass
class Part:
    """One runbook of a run. status: ok, changed, would change, failed or interrupted."""

    name: str
    status: str = "ok"
    seconds: float = 0.0
    error: str = ""
    sha256: str = ""
    steps: list[Step] = field(default_factory=list)


@dataclass
class Run:
    """A run of a site and where it is kept. mode: install or check."""

    site: Site
    mode: str
    folder: Path
    parts: list[Part] = field(default_factory=list)
    started: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> str:
        statuses = {part.status for part in self.parts}
        order = ("interrupted", "failed", "changed", "would change")
        return next((status for status in order if status in statuses), "ok")

    def manifest(self) -> dict[str, Any]:
        return {
            "version": MANIFEST_VERSION,
            "run": self.folder.name,
            "site": self.site.site,
            "mode": self.mode,
            "status": self.status,
            "started": self.started,
            "seconds": round(self.seconds, 1),
            "parameters": self.site.model_dump(exclude_unset=True),
            "runbooks": [asdict(part) for part in self.parts],
        }


def runbooks(first: str = "", only: str = "") -> list[Path]:
    """The runbooks in order: from the one whose name begins with `first`, or the one that begins with `only`.

    Raises BadInput when no runbook begins so.
    """
    every = sorted((PROJECT / "runbooks").glob("[0-9][0-9]_*.ipynb"))
    names = ", ".join(path.stem for path in every)
    for wanted, option in ((first, "--from"), (only, "--only")):
        if wanted and not any(path.stem.startswith(wanted) for path in every):
            raise BadInput(f"there is no runbook {wanted}", option, f"There are {names}")
    if only:
        return [path for path in every if path.stem.startswith(only)]
    start = next((i for i, path in enumerate(every) if path.stem.startswith(first)), 0)
    return every[start:]


def new_run(site: Site, mode: str, records: Path) -> Run:
    """A run with its folder made. Raises BadInput when nothing can be written there: before the server is touched."""
    now = datetime.datetime.now(datetime.UTC)
    folder = records / site.site / f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True)
        run = Run(site, mode, folder, started=now.isoformat(timespec="seconds"))
        write_manifest(run)
    except OSError as error:
        raise BadInput(
            f"the record cannot be written: {error.strerror}", str(folder), "Give another place with --records"
        ) from None
    return run


def write_manifest(run: Run) -> None:
    """manifest.json, whole at every moment."""
    path = run.folder / "manifest.json"
    beside = path.with_suffix(".new")
    beside.write_text(Secret.redact(json.dumps(run.manifest(), indent=2)) + "\n")
    os.replace(beside, path)


def execute(run: Run, books: Sequence[Path], listen: Callable[[Part], Listener]) -> None:
    """Run the runbooks until one fails. `listen` makes the listener for each. Interrupts are passed on."""
    began = time.monotonic()
    for book in books:
        part = Part(book.stem)
        run.parts.append(part)
        try:
            _execute_one(run, book, part, listen(part))
        except KeyboardInterrupt:
            part.status = "interrupted"
            raise
        finally:
            executed = run.folder / book.name
            if executed.exists():
                part.sha256 = hashlib.sha256(executed.read_bytes()).hexdigest()
            run.seconds = time.monotonic() - began
            write_manifest(run)
        if part.status == "failed":
            return


def _execute_one(run: Run, book: Path, part: Part, listener: Listener) -> None:
    import papermill  # slow to import: `hubrun --help` must not wait for it
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ.pop(SITE_FILE, None)
    ended = listener.ended

    def keep(step: Step) -> None:
        part.steps.append(step)
        ended(step)

    parameters = run.site.model_dump(exclude_unset=True) | ({"check": True} if run.mode == "check" else {})
    since = time.monotonic()
    try:
        papermill.execute_notebook(
            str(book),
            str(run.folder / book.name),
            parameters=parameters,
            engine_name="hubrun",
            progress_bar=False,
            cwd=str(PROJECT),
            listener=Listener(listener.started, listener.progress, keep),
        )
    except PapermillExecutionError as error:
        part.status, part.error = "failed", f"{error.ename}: {error.evalue}"
    except Exception as error:  # the kernel died or would not start: papermill and nbclient have a dozen classes for it
        part.status, part.error = "failed", f"{type(error).__name__}: {error}"
    finally:
        part.seconds = time.monotonic() - since
    if part.status == "ok":
        statuses = {step.status for step in part.steps}
        part.status = next((status for status in ("changed", "would change") if status in statuses), "ok")
