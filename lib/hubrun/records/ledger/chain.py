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
class Knot:
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


def order(history: History) -> list[Knot]:
    """The chain of a history that verifies, oldest first; what was pruned from it as well. Raises OSError."""
    runs = history.runs()
    gone = pruned(runs)
    every = _knots([attempt for run in runs if run.name not in gone for attempt in attempts(run)])
    knots = {knot.sha256: knot for knot in every}
    head = history.head()
    knot = knots.get(head.sha256) if head else None
    found = []
    while knot:
        found.append(knot)
        knot = knots.get(knot.previous)
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


def _knots(every: list[Attempt]) -> list[Knot]:
    knots = []
    for attempt in every:
        if not attempt.statement:
            continue
        record = attempt.statement.predicate
        before = record.previous.sha256 if record.previous else ""
        knots.append(Knot(attempt.run, attempt.number, attempt.sha256, before, attempt.place, record.previous))
        if record.mode == "prune":
            knots += [
                Knot(each.run, each.attempt, each.sha256, each.previous, attempt.place, pruned=True)
                for each in record.pruned
            ]
    return knots


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
    knots = _sorted(_knots(every), head, {finding.place for finding in report.findings})
    there = {knot.sha256 for knot in knots} | {attempt.sha256 for attempt in every}
    on_disk = {(attempt.run, attempt.number): attempt for attempt in every}
    # Before which run, by name, a manifest is gone, changed or unreadable: what it followed is named by nothing.
    gaps = {_bound(attempt.run, attempt.number) for attempt in every if not attempt.statement}
    followers: dict[str, Knot] = {}
    for knot in knots:
        if knot.previous in followers:
            other = followers[knot.previous].run
            what = f"follows the same manifest as {other}" if knot.previous else f"begins a chain, as {other} does"
            report.find(knot.place, f"{what}: it was added, or what was before it was removed")
        followers.setdefault(knot.previous, knot)
        if knot.previous and knot.previous not in there:
            gaps.add(_bound(knot.run, knot.attempt))
            if knot.link:
                _gap(history, knot.link, knot.run, on_disk, report)
            else:
                report.find(knot.place, f"lists the pruned run {knot.run}; the manifest before it is gone or changed")
    if report.head and head not in there:
        gaps.add(_END)
        _gap(history, report.head, HEAD, on_disk, report)
    if not report.head and knots:
        gaps.add(_END)
        report.find(f"{history.site}/{HEAD}", "is missing: it names the newest run", "Put it back from a copy")
    found = {finding.place for finding in report.findings}
    loose = [knot for knot in knots if knot.sha256 not in {*followers, head} and knot.place not in found]
    _loose(loose, sorted(gaps), head, report)


def _bound(run: str, attempt: int) -> str:
    """All that was closed before a run's first attempt has an older name; before a later attempt, any name."""
    return run if attempt == 1 else _END


def _sorted(knots: list[Knot], head: str, found: set[str]) -> list[Knot]:
    """The knots by age, those last that nothing follows: of two in one place, the stranger. A copy is left out."""
    named = {head, *(knot.previous for knot in knots)}
    once: dict[str, Knot] = {}
    for knot in sorted(knots, key=lambda knot: (knot.place in found, knot.run, knot.attempt)):
        once.setdefault(knot.sha256, knot)
    return sorted(once.values(), key=lambda knot: (knot.sha256 not in named, knot.run, knot.attempt))


def _gap(history: History, link: Link, by: str, on_disk: dict[tuple[str, int], Attempt], report: Report) -> None:
    attempt = on_disk.get((link.run, link.attempt))
    if attempt:
        report.find(attempt.place, f"the manifest was changed: {by} names another SHA-256")
        return
    resumed = any(run == link.run for run, _ in on_disk)
    place = f"{history.site}/{link.run}" + (f"/attempt-{link.attempt}" if resumed else "")
    report.find(place, f"was removed: {by} names it as the newest" if by == HEAD else f"was removed: {by} follows it")


def _loose(loose: list[Knot], gaps: list[str], head: str, report: Report) -> None:
    """Manifests that nothing names. One before each gap is only what the gap leaves behind."""
    loose = sorted(loose, key=lambda knot: (knot.run, knot.attempt))
    for gap in gaps:
        before = [knot for knot in loose if knot.run < gap]
        if before:
            loose.remove(before[-1])
            what = "what followed it is gone or changed, so that its signature alone vouches for it"
            report.note(before[-1].place, what)
    for knot in loose:
        if knot.pruned:
            report.find(knot.place, f"lists {knot.run} as pruned, which no run follows")
        elif knot.previous == head:
            what = f"{HEAD} does not name it: its run was killed in its last moment, or it was added"
            report.find(knot.place, what, "The next run mends the former")
        else:
            report.find(knot.place, f"was added: no run follows it, and {HEAD} does not name it")
