"""The chain of a site's manifests: each names the SHA-256 of the one that was closed before it, the head the newest."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from hubrun.errors import BadInput
from hubrun.records.ledger.contents import Attempt, attempts
from hubrun.records.ledger.history import HEAD, History, Run
from hubrun.records.ledger.manifest import Link
from hubrun.records.ledger.report import Report

# After the name of any run.
_END = "~"


@dataclass(frozen=True)
class ChainEntry:
    """A closed manifest in the chain. previous: SHA-256 of the one before, empty for the first.

    link: what names the one before, where that is known by name. pruned: it is gone, and a prune run lists it.
    place: where it stands, or the manifest that lists it.
    """

    run: str
    attempt: int
    sha256: str
    previous: str
    place: str
    link: Link | None = None
    pruned: bool = False


def order(history: History) -> list[ChainEntry]:
    """The chain of a history that verifies, oldest first; what was pruned from it as well. Raises OSError."""
    runs = history.runs()
    gone = pruned(runs)
    every = _entries([attempt for run in runs if run.name not in gone for attempt in attempts(run)])
    entries = {entry.sha256: entry for entry in every}
    head = history.head()
    entry = entries.get(head.sha256) if head else None
    found = []
    while entry:
        found.append(entry)
        entry = entries.get(entry.previous)
    return found[::-1]


def pruned(runs: list[Run]) -> dict[str, str]:
    """The runs that prune runs list as removed, and by which run."""
    found: dict[str, str] = {}
    for run in runs:
        statement = None
        with contextlib.suppress(OSError):
            statement = attempts(run)[-1].statement
        if statement and statement.predicate.mode == "prune" and statement.predicate.status != "running":
            found |= {each.run: run.name for each in statement.predicate.pruned}
    return found


def _entries(every: list[Attempt]) -> list[ChainEntry]:
    entries = []
    for attempt in every:
        if not attempt.statement:
            continue
        record = attempt.statement.predicate
        before = record.previous.sha256 if record.previous else ""
        entries.append(ChainEntry(attempt.run, attempt.number, attempt.sha256, before, attempt.place, record.previous))
        if record.mode == "prune":
            entries += [
                ChainEntry(each.run, each.attempt, each.sha256, each.previous, attempt.place, pruned=True)
                for each in record.pruned
            ]
    return entries


def check(history: History, every: list[Attempt], report: Report) -> None:
    """Follow every link: to a manifest that is there, unchanged, and that nothing else follows.

    every: the closed manifests, and those that cannot be read.
    """
    try:
        if (history.folder / HEAD).is_file():
            report.head = history.head()
    except BadInput as error:
        report.find(f"{history.site}/{HEAD}", error.what)
    head = report.head.sha256 if report.head else ""
    entries = _sorted(_entries(every), head, {finding.place for finding in report.findings})
    there = {entry.sha256 for entry in entries} | {attempt.sha256 for attempt in every}
    on_disk = {(attempt.run, attempt.number): attempt for attempt in every}
    # Before which run, by name, a manifest is gone, changed or unreadable: what it followed is named by nothing.
    gaps = {_bound(attempt.run, attempt.number) for attempt in every if not attempt.statement}
    followers: dict[str, ChainEntry] = {}
    for entry in entries:
        if entry.previous in followers:
            other = followers[entry.previous].run
            what = f"follows the same manifest as {other}" if entry.previous else f"begins a chain, as {other} does"
            report.find(entry.place, f"{what}: it was added, or what was before it was removed")
        followers.setdefault(entry.previous, entry)
        if entry.previous and entry.previous not in there:
            gaps.add(_bound(entry.run, entry.attempt))
            if entry.link:
                _gap(history, entry.link, entry.run, on_disk, report)
            else:
                report.find(entry.place, f"lists the pruned run {entry.run}; the manifest before it is gone or changed")
    if report.head and head not in there:
        gaps.add(_END)
        _gap(history, report.head, HEAD, on_disk, report)
    if not report.head and entries:
        gaps.add(_END)
        report.find(f"{history.site}/{HEAD}", "is missing: it names the newest run", "Put it back from a copy")
    found = {finding.place for finding in report.findings}
    unnamed = [entry for entry in entries if entry.sha256 not in {*followers, head} and entry.place not in found]
    _report_unnamed(unnamed, sorted(gaps), head, report)


def _bound(run: str, attempt: int) -> str:
    """All that was closed before a run's first attempt has an older name; before a later attempt, any name."""
    return run if attempt == 1 else _END


def _sorted(entries: list[ChainEntry], head: str, found: set[str]) -> list[ChainEntry]:
    """The entries by age, those last that nothing follows: of two in one place, the stranger. A copy is left out."""
    named = {head, *(entry.previous for entry in entries)}
    once: dict[str, ChainEntry] = {}
    for entry in sorted(entries, key=lambda entry: (entry.place in found, entry.run, entry.attempt)):
        once.setdefault(entry.sha256, entry)
    return sorted(once.values(), key=lambda entry: (entry.sha256 not in named, entry.run, entry.attempt))


def _gap(history: History, link: Link, by: str, on_disk: dict[tuple[str, int], Attempt], report: Report) -> None:
    attempt = on_disk.get((link.run, link.attempt))
    if attempt:
        report.find(attempt.place, f"the manifest was changed: {by} names another SHA-256")
        return
    resumed = any(run == link.run for run, _ in on_disk)
    place = f"{history.site}/{link.run}" + (f"/attempt-{link.attempt}" if resumed else "")
    report.find(place, f"was removed: {by} names it as the newest" if by == HEAD else f"was removed: {by} follows it")


def _report_unnamed(unnamed: list[ChainEntry], gaps: list[str], head: str, report: Report) -> None:
    """Manifests that nothing names. One before each gap is only what the gap leaves behind."""
    unnamed = sorted(unnamed, key=lambda entry: (entry.run, entry.attempt))
    for gap in gaps:
        before = [entry for entry in unnamed if entry.run < gap]
        if before:
            unnamed.remove(before[-1])
            what = "what followed it is gone or changed, so that its signature alone vouches for it"
            report.note(before[-1].place, what)
    for entry in unnamed:
        if entry.pruned:
            report.find(entry.place, f"lists {entry.run} as pruned, which no run follows")
        elif entry.previous == head:
            what = f"{HEAD} does not name it: its run was killed in its last moment, or it was added"
            report.find(entry.place, what, "In the first case the next run repairs it")
        else:
            report.find(entry.place, f"was added: no run follows it, and {HEAD} does not name it")
