"""Verifying a site's history offline: every file, every run, and the chain that holds the runs together.

Each closed manifest names the SHA-256 of the one before it, and `head.json` names the newest. So a run that is
changed, removed, added or moved is found by its neighbours, whether it is signed or not. What cannot be found
without a copy elsewhere: somebody who may write here makes the end of an *unsigned* history again, head and all.

Unsigned is allowed and said: it is a note, never a finding, unless the manifest names a signer.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hubrun import atomic_write
from hubrun.errors import BadInput
from hubrun.records.ledger import chain
from hubrun.records.ledger.contents import Attempt, Folder, attempts
from hubrun.records.ledger.history import ASKED, HEAD, LOCK, RUN, History, Run
from hubrun.records.ledger.report import Report

_GOES_ON = "goes on now, and was not checked"


def verify(history: History, allowed_signers: Path | None = None) -> Report:
    """What differs from what was recorded, oldest run first. Raises BadInput when `allowed_signers` cannot be read."""
    _readable(allowed_signers)
    report = Report()
    closed: list[Attempt] = []
    runs = history.runs()
    _strangers(history, runs, report)
    pruned = chain.pruned(runs)
    going_on = _held(history.folder)
    for run in runs:
        place = f"{history.site}/{run.name}"
        if run.name in pruned:
            what = f"was pruned by {pruned[run.name]}, and is still there"
            report.find(place, what, "`./hubrun records prune` removes it", leftover=True)
        elif run.folder.is_symlink():
            report.find(place, "is a symbolic link, which no run makes")
        else:
            closed += _one(run, report, allowed_signers, of_site=True, going_on=going_on)
    chain.check(history, closed, report)
    _unsigned(closed, report, allowed_signers)
    report.findings.sort(key=lambda finding: _age(finding.place))
    report.notes.sort(key=lambda note: _age(note.place))
    return report


def verify_run(run: Run, allowed_signers: Path | None = None) -> Report:
    """One run alone: its files, digests and signatures, wherever its folder is. Raises BadInput as `verify` does."""
    _readable(allowed_signers)
    report = Report()
    closed = _one(run, report, allowed_signers, of_site=False, going_on=_held(run.folder.parent))
    _unsigned(closed, report, allowed_signers)
    return report


def _one(run: Run, report: Report, allowed: Path | None, of_site: bool, going_on: bool) -> list[Attempt]:
    """Check one run's folder, unless it goes on now; its closed manifests."""
    place = f"{run.site}/{run.name}"
    report.runs += 1
    try:
        found = attempts(run)
        if going_on and (found[-1].running or not found[-1].statement):
            report.note(place, _GOES_ON)
            return [attempt for attempt in found if attempt.statement and not attempt.running]
        Folder(run, report, allowed).check(found, of_site)
    except OSError as error:
        if going_on:
            report.note(place, _GOES_ON)
        else:
            report.find(place, f"cannot be read: {error.strerror}")
        return []
    if found[-1].running:
        what = "the run was killed, and nobody has closed it"
        report.find(found[-1].place, what, "The next run or `records list` does")
    return [attempt for attempt in found if not attempt.running]


def _readable(allowed_signers: Path | None) -> None:
    try:
        if allowed_signers:
            allowed_signers.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise BadInput(f"cannot be read: {reason}", str(allowed_signers), "ssh-keygen(1), ALLOWED SIGNERS") from None


def _held(folder: Path) -> bool:
    """Whether somebody holds the site's lock; nothing is written to find out."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _strangers(history: History, runs: list[Run], report: Report) -> None:
    known = {run.name for run in runs}
    try:
        paths = sorted(history.folder.iterdir())
    except OSError as error:
        raise BadInput(f"the records cannot be read: {error.strerror}", str(history.folder)) from None
    for path in paths:
        place = f"{history.site}/{path.name}"
        if path.name in (HEAD, LOCK, ASKED):
            if path.is_symlink() or not path.is_file():
                report.find(place, "is not a file")
        elif path.name.endswith(atomic_write.BESIDE):
            report.find(place, "is left of a write that was cut short, or was added", "Remove it")
        elif path.name not in known:
            report.find(place, "was added: it is not a run, and hubrun makes nothing else here")


def _unsigned(closed: list[Attempt], report: Report, allowed_signers: Path | None) -> None:
    if report.unsigned and not report.signed:
        place = closed[0].place.partition("/")[0]
        report.note(place, "nothing is signed: whoever may write here could have made all of it again")
        return
    signed = False
    for attempt in closed:
        signer = attempt.statement.predicate.signer if attempt.statement else None
        if signer and not signer.fingerprint and (signed or allowed_signers):
            report.note(attempt.place, f"is not signed: {signer.unsigned or 'no reason given'}")
        signed = signed or bool(signer and signer.fingerprint)


def _age(place: str) -> tuple[bool, str]:
    run = place.split("/")[1] if "/" in place else ""
    return not RUN.fullmatch(run), place
