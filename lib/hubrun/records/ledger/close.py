"""Closing a run: its files are named with their digests, it is linked to the one before, signed, and never changed again."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import nbformat

from hubrun import atomic_write
from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import manifest, signature
from hubrun.records.ledger.clock import iso
from hubrun.records.ledger.history import HEAD, SIGNATURE, History, Run
from hubrun.records.ledger.manifest import Cause, Digest, Link, Manifest, Signer, Status, Subject
from hubrun.records.ledger.steps import derive, glued, is_code, mark, now, seconds_between

_KILLED = "the run was killed; what its last step did is known to the server alone"


def close(history: History, folder: Path, statement: Manifest, key: signature.Key | None) -> Link:
    """Fill in subjects and previous link, sign, write manifest.json, move the head. Raises OSError."""
    for left in [*folder.rglob("*" + atomic_write.BESIDE + "*"), folder / SIGNATURE]:
        left.unlink(missing_ok=True)
    own = {manifest.FILE, SIGNATURE}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and str(path.relative_to(folder)) not in own)
    statement.subject = [
        Subject(name=str(path.relative_to(folder)), digest=Digest(sha256=manifest.sha256(path.read_bytes())))
        for path in files
    ]
    statement.predicate.previous = history.head()
    statement.predicate.signer = key.signer if key else statement.predicate.signer
    if key:
        try:
            # It comes first: a manifest that says it is signed always has one.
            atomic_write.write(folder / SIGNATURE, signature.sign(key, statement.encoded()))
        except HubrunError as error:
            statement.predicate.signer = Signer(unsigned=str(error))
    content = statement.encoded()
    atomic_write.write(folder / manifest.FILE, content)
    record = statement.predicate
    link = Link(run=record.run, attempt=record.attempt, sha256=manifest.sha256(content))
    history.set_head(link)
    return link


def recover(history: History, key: signature.Key | None = None) -> list[Run]:
    """Close the runs that were killed: the kernel has freed their lock, and their manifest still says "running".

    Call it inside `history.alone()`. The runs that were closed. Raises OSError, and BadInput when head.json is gone; a
    manifest that cannot be read is left for `records verify` to name.
    """
    runs, head = history.runs(), history.head()
    if head is None and sum((path / manifest.FILE).exists() for run in runs for path in run.attempts()) > 1:
        # Made again from what is there, it would hide what is not.
        raise BadInput(
            f"{HEAD} is missing, though there were runs before", str(history.folder),
            "Put it back from a copy (records_mirror keeps one), or move the folder away to begin again",
        )  # fmt: skip
    closed = []
    for run in runs:
        if _is_settled(run, head):
            continue
        try:
            statement = run.manifest()
        except BadInput:
            if all(path.name.endswith(atomic_write.BESIDE) for path in run.folder.iterdir()):
                shutil.rmtree(run.folder)  # killed before its first manifest: nothing was begun
            continue
        if statement.predicate.status == "running":
            _interrupt(run, statement)
            close(history, run.folder, statement, key)
            closed.append(run)
        else:
            _advance(history, run, statement)
        head = history.head()
    return closed


def _is_settled(run: Run, head: Link | None) -> bool:
    """Whether its manifest was closed, and is not the one that follows the head: by its bytes, for a site has hundreds."""
    try:
        content = (run.folder / manifest.FILE).read_bytes()
    except OSError:
        return False
    return head is not None and b'"running"' not in content and head.sha256.encode() not in content


def _advance(history: History, run: Run, statement: Manifest) -> None:
    """Move the head to a run that was killed after its manifest was written and before the head was."""
    record, head = statement.predicate, history.head()
    link = Link(run=run.name, attempt=record.attempt, sha256=manifest.sha256((run.folder / manifest.FILE).read_bytes()))
    if head != link and record.previous == head and record.site == history.site:
        history.set_head(link)


def _interrupt(run: Run, statement: Manifest) -> None:
    record = statement.predicate
    seen = run.folder / manifest.FILE
    for book in record.runbooks:
        path = run.folder / f"{book.name}.ipynb"
        if book.attempt == record.attempt and book.status in ("running", "not run") and path.exists():
            seen = path
            book.file = path.name
            summarize(book, _repair(path))
            book.sha256 = manifest.sha256(path.read_bytes())
            statuses = {step.status for step in book.steps}
            if record.mode == "interactive":
                if book.status == "not run":
                    book.file = ""
            elif "failed" not in statuses and statuses & {"not run", "interrupted"}:
                book.status, book.cause, book.reason = "interrupted", "killed", _KILLED
        elif book.status == "running":
            book.status, book.cause, book.reason = "interrupted", "killed", "the run was killed before its first step"
    # A clock that was set back has let a file be written before its run began.
    written = datetime.datetime.fromtimestamp(seen.stat().st_mtime, datetime.UTC)
    ends = [manifest.moment(book.ended) for book in record.runbooks if book.ended]
    last = iso(max([written, manifest.moment(record.started), *ends]))
    set_outcome(statement, ended=last, status="interrupted", cause="killed", reason=_KILLED)
    record.signer = Signer(unsigned=f"closed at {now()} after it had been killed")


def _repair(path: Path) -> nbformat.NotebookNode:
    """Mark the cell that ran when the runner was killed, and write the notebook again."""
    nb = nbformat.read(path, as_version=4)
    for cell in nb.cells:
        if is_code(cell) and cell.metadata.get("hubrun", {}).get("status") == "running":
            mark(cell, "interrupted", "killed", _KILLED)
            cell.metadata.hubrun.ended = ""
            if "papermill" in cell.metadata:
                cell.metadata.papermill.update(status="failed", exception=True)
    atomic_write.write(path, nbformat.writes(nb).encode())
    return nb


def summarize(book: manifest.RunbookRecord, nb: nbformat.NotebookNode) -> None:
    """Take a runbook's steps, facts, status and end from its executed notebook; its start from the steps, if it has none."""
    book.steps = derive(nb)
    book.facts = glued(nb)
    begun = [step for step in book.steps if step.status != "not run"]
    book.started = book.started or min((step.started for step in begun), default="")
    book.ended = max((step.ended for step in begun), default="")
    book.seconds = seconds_between(book.started, book.ended)
    order: tuple[Status, ...] = ("failed", "interrupted", "running", "changed", "would change")
    statuses = {step.status for step in book.steps}
    left: Status = "not run" if statuses == {"not run"} else "ok"
    book.status = next((status for status in order if status in statuses), left)
    # A plan goes on behind a check that does not hold: the first step that failed comes first.
    bad = [step for step in begun if step.status == book.status]
    if bad and book.status in ("failed", "interrupted"):
        book.cause, book.reason = bad[0].cause, bad[0].reason


def set_outcome(statement: Manifest, ended: str, status: Status, cause: Cause, reason: str) -> None:
    """Say how and when the run ended."""
    record = statement.predicate
    record.ended, record.status, record.cause, record.reason = ended, status, cause, reason
    record.seconds = seconds_between(record.started, ended)
