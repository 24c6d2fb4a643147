"""Going on with a run that failed: a new run that names it, and begins at the runbook that failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hubrun.errors import BadInput
from hubrun.records.ledger import manifest, summary
from hubrun.records.ledger.history import History
from hubrun.records.ledger.manifest import Link
from hubrun.redaction.redact import HERE

_HOW = "Leave out --resume"


def failed_run(history: History, books: Sequence[Path]) -> tuple[Link, list[Path]]:
    """The site's last install, which failed, and what is left of it: the runbooks from the one that failed on.

    Raises BadInput when there is none, or it needs no going on.
    """
    for run in reversed(history.runs()):
        record = run.manifest().predicate
        if record.mode != "install" or summary.is_operation(record):
            continue
        where = f"{run.site}/{run.name}"
        if record.status not in ("failed", "interrupted"):
            raise BadInput(f"the last run ended well ({record.status}): there is nothing to resume", where, _HOW)
        open_ = {book.name for book in summary.latest(record) if book.status in ("failed", "interrupted", "not run")}
        left = [path for path in books if HERE.text(path.stem) in open_]
        if not left:
            raise BadInput("no runbook of the last run is left, or they have other names now", where, _HOW)
        content = (run.folder / manifest.FILE).read_bytes()
        return Link(run=run.name, attempt=record.attempt, sha256=manifest.sha256(content)), left
    raise BadInput("no run has been made that could be resumed", str(history.folder), _HOW)
