"""Removing old runs so that the chain of those that are left can still be followed."""

from __future__ import annotations

import datetime
import re
import shutil

from hubrun import atomic_write
from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import chain, provenance, signature
from hubrun.records.ledger.close import close
from hubrun.records.ledger.history import History, Run
from hubrun.records.ledger.manifest import FILE, Manifest, Pruned, Signer, moment
from hubrun.records.ledger.steps import now
from hubrun.records.ledger.verify_history import verify

# What stays: so many of the newest runs, or the runs of such a time.
Retention = int | datetime.timedelta


def parse_retention(text: str) -> Retention:
    """ "20" for twenty runs, "90d" for ninety days. Raises BadInput for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,4})(d?)", text.strip())
    if not match:
        raise BadInput(f"{text!r} is neither a number of runs nor of days", "--keep", "Such as 20, or 90d")
    return datetime.timedelta(days=int(match[1])) if match[2] else int(match[1])


def too_old(history: History, keep: Retention) -> list[Run]:
    """The runs that `keep` leaves out, oldest first; never a prune run, nor the last install that ended well.

    Raises BadInput for a run whose manifest cannot be read.
    """
    every = history.runs()
    gone = chain.pruned(every)
    records = {run: run.manifest().predicate for run in every if run.name not in gone}
    runs = [run for run, record in records.items() if record.mode != "prune"]
    good = [run for run in runs if records[run].mode == "install" and records[run].status in ("ok", "changed")]
    if isinstance(keep, int):
        left_out = runs[:-keep]
    else:
        oldest = datetime.datetime.now(datetime.UTC) - keep
        left_out = [run for run in runs if moment(records[run].started) < oldest]
    return [run for run in left_out if run not in good[-1:]]


def prune(history: History, keep: Retention, key: signature.Key | None, signer: Signer) -> list[Run]:
    """Remove the runs that `keep` leaves out; the runs that were removed, oldest first.

    First a run of mode prune that lists them is signed and closed (key, signer: see `signature.find_signer`). Killed
    between the two, `verify` says so, and pruning again goes on.

    Raises BadInput while a run goes on, or when the history does not verify: pruning would hide what is wrong.
    HubrunError when the records cannot be written.
    """
    try:
        with history.alone():
            left = _left_over(history)
            removed = too_old(history, keep)
            if removed:
                statement = _begun(history, removed, signer)
                close(history, history.folder / statement.predicate.run, statement, key)
            for run in [*left, *removed]:
                shutil.rmtree(run.folder)
            atomic_write.sync_folder(history.folder)
            return [*left, *removed]
    except OSError as error:
        raise HubrunError(f"cannot be pruned: {error.strerror}", str(error.filename or history.folder)) from None


def _left_over(history: History) -> list[Run]:
    """Runs that were pruned and are still there. Raises BadInput when something else is wrong."""
    runs = history.runs()
    gone = chain.pruned(runs)
    report = verify(history)
    wrong = [finding for finding in report.findings if not finding.leftover]
    running = [run for run in runs if run.name not in gone and _running(run)]
    if wrong:
        raise BadInput(
            f"{wrong[0].what} ({len(wrong)} findings in all)", wrong[0].place,
            "Nothing was pruned: that would hide it. `./hubrun records verify` names all",
        )  # fmt: skip
    if running:
        raise BadInput("the run was killed, and nobody has closed it", str(running[0].folder), "`records list` does")
    return [run for run in runs if run.name in gone]


def _running(run: Run) -> bool:
    try:
        return run.manifest().predicate.status == "running"
    except BadInput:
        return True  # its manifest is missing, as while a run begins


def _begun(history: History, removed: list[Run], signer: Signer) -> Manifest:
    """The manifest of a run that prunes, in a folder of its own. On disk it lists nothing before it is closed."""
    listed = chain.order(history)
    record = provenance.new_record(history, "prune", signer)
    statement = Manifest(predicate=record)
    folder = history.folder / record.run
    folder.mkdir()
    try:
        atomic_write.write(folder / FILE, statement.encoded())
    except OSError:
        folder.rmdir()
        raise
    names = {run.name for run in removed}
    record.pruned = [
        Pruned(run=entry.run, attempt=entry.attempt, sha256=entry.sha256, previous=entry.previous)
        for entry in listed
        if entry.run in names
    ]
    record.status, record.ended = "changed", now()
    return statement
