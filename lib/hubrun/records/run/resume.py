"""Going on with a run that failed: in its own folder, with the earlier attempt kept beside the new one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hubrun.errors import BadInput
from hubrun.records.ledger import atomic_write, manifest
from hubrun.records.ledger.history import SIGNATURE, History, Run
from hubrun.records.ledger.manifest import Book, Manifest
from hubrun.redaction.redact import HERE


def last_install(history: History) -> Run:
    """The run to go on with: the site's last install. Raises BadInput when there is none, or it needs no going on."""
    for run in reversed(history.runs()):
        record = run.manifest().predicate
        if record.mode != "install":
            continue
        if record.status in ("failed", "interrupted"):
            return run
        raise BadInput(
            f"the last run ended well ({record.status}): there is nothing to resume", f"{run.site}/{run.name}",
            "Leave out --resume",
        )  # fmt: skip
    raise BadInput("no run has been made that could be resumed", str(history.folder), "Leave out --resume")


def books_left(earlier: Manifest, books: Sequence[Path]) -> list[Path]:
    """The runbooks from the one that failed (or was not reached) on."""
    done = {book.name for book in earlier.predicate.runbooks if book.status not in ("failed", "interrupted", "not run")}
    first = next((i for i, book in enumerate(books) if HERE.text(book.stem) not in done), len(books))
    return list(books[first:])


def entries(earlier: Manifest) -> list[Book]:
    """What the earlier attempts came to, with each notebook where `set_aside` puts it; what they did not reach is left out."""
    attempt = earlier.predicate.attempt
    kept = [book.model_copy(deep=True) for book in earlier.predicate.runbooks if book.status != "not run"]
    for book in kept:
        if book.attempt == attempt and book.status in ("failed", "interrupted") and book.file:
            book.file = f"attempt-{attempt}/{Path(book.file).name}"
    return kept


def set_aside(run: Run, earlier: Manifest) -> list[Path]:
    """Copy what the new attempt replaces into `attempt-N/`; the originals, to be removed once the new manifest stands.

    A kill at any moment leaves the earlier attempt whole. Raises OSError.
    """
    aside = run.folder / f"attempt-{earlier.predicate.attempt}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    replaced = [
        run.folder / book.file
        for book in earlier.predicate.runbooks
        if book.attempt == earlier.predicate.attempt and book.status in ("failed", "interrupted") and book.file
    ]
    for path in [*replaced, run.folder / SIGNATURE, run.folder / manifest.FILE]:
        if path.exists():
            atomic_write.write(aside / path.name, path.read_bytes())
    return [*replaced, run.folder / SIGNATURE]
