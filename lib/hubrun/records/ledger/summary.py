"""What people want to know of a manifest first: what failed and why, what changed, how long, by whom. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hubrun.records.ledger.manifest import (
    CellRun,
    Operator,
    Packages,
    Record,
    RunbookRecord,
    Signer,
    Software,
    Step,
    Tick,
)
from hubrun.records.ledger.steps import seconds_between

BAD = ("failed", "interrupted")


@dataclass(frozen=True)
class Failure:
    """Where and why a run stopped. book, step: empty when it was outside of any. results, checks: those not well."""

    book: str
    step: str
    attempt: int
    status: str
    cause: str
    reason: str
    results: tuple[dict[str, Any], ...] = ()
    checks: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Change:
    """What was done to one resource, or would be; `failed` ones too, as they may be half done. place: runbook and step.

    origin: of what would be done, in words, where the state came from that the server should have; empty when no run has
    seen it.
    """

    place: str
    resource: str
    status: str
    actions: list[str]
    diff: str
    origin: str


def is_operation(record: Record) -> bool:
    """Whether it ran a runbook of operation (10 and above), and no part of an install."""
    return any("10" <= book.name[:2] <= "99" for book in record.runbooks)


def latest(record: Record) -> list[RunbookRecord]:
    """The last attempt of each runbook, in the order in which they ran first."""
    return list({book.name: book for book in sorted(record.runbooks, key=lambda book: book.attempt)}.values())


@dataclass(frozen=True)
class CellTime:
    """One time that a cell was run in JupyterLab. place: runbook and step. time: which time this cell was run, from 1."""

    place: str
    run: CellRun
    time: int

    @property
    def seconds(self) -> float:
        """How long it took; 0 where that is not known."""
        return seconds_between(self.run.started, self.run.ended)


def cell_times(record: Record) -> list[CellTime]:
    """Each time that a person ran a cell, in order; empty for a run that nobody stepped through."""
    found, times = [], Counter[tuple[str, int]]()
    for book in record.runbooks:
        for step in book.steps:
            for run in step.runs:
                place = f"{book.name} › {step.title}"
                times[place, run.cell] += 1
                found.append(CellTime(place, run, times[place, run.cell]))
    return sorted(found, key=lambda each: each.run.started)


def what_ran(record: Record) -> str:
    """Which runbooks a person ran cells of, in order, and how often: "01_server, 02_hub_lti: 14 cells, 16 times"."""
    every = cell_times(record)
    books = dict.fromkeys(each.place.partition(" › ")[0] for each in every)
    cells = {(each.place, each.run.cell) for each in every}
    times = f", {len(every)} times" if len(every) > len(cells) else ""
    return f"{', '.join(books)}: {len(cells)} cell{'s' if len(cells) > 1 else ''}{times}" if every else ""


def failures(record: Record, attempt: int = 0) -> list[Failure]:
    """What failed or was interrupted in `attempt`, 0 for the last one; empty when all was well."""
    attempt = attempt or record.attempt
    found = [
        failure for book in record.runbooks if book.attempt == attempt and book.status in BAD for failure in _of(book)
    ]
    if not found and attempt == record.attempt and record.status in BAD:
        found.append(Failure("", "", attempt, record.status, record.cause, record.reason))
    return found


def _of(book: RunbookRecord) -> Iterator[Failure]:
    bad = [step for step in book.steps if step.status in BAD]
    if not bad:
        yield Failure(book.name, "", book.attempt, book.status, book.cause, book.reason)
    for step in bad:
        yield Failure(
            book.name, step.title, book.attempt, step.status, step.cause or book.cause, step.reason or book.reason,
            tuple(result for result in step.results if result.get("status") == "failed"),
            tuple(check for check in step.checks if not check.get("ok")),
        )  # fmt: skip


def changes(record: Record) -> list[Change]:
    """What was done in all attempts, in order, or would be done (check mode)."""
    return [
        Change(
            f"{book.name} › {step.title}", str(result.get("resource", "")), str(result.get("status", "")),
            [str(action) for action in result.get("actions", [])], str(result.get("diff", "")), _origin(result),
        )
        for book in record.runbooks for step in book.steps for result in step.results
        if result.get("status") != "ok"
    ]  # fmt: skip


def package_changes(packages: Packages) -> list[tuple[str, str, str]]:
    """The packages that came, went or got another version: name, version before and after, "" where it was not there.

    Empty also when they could not be read.
    """
    if packages.before is None or packages.after is None:
        return []
    before, after = packages.before, packages.after
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [(name, before.get(name, ""), after.get(name, "")) for name in names]


def _origin(result: dict[str, Any]) -> str:
    if result.get("set_by"):
        return f"it had been set by run {result['set_by']}"
    return f"it was right in run {result['right_in']}" if result.get("right_in") else ""


def what_changed(record: Record) -> str:
    """Counts of changes in words: "3 changed, 1 failed"; "nothing" when there is none."""
    return _counts(Counter(change.status for change in changes(record))) or "nothing"


def seen(step: Step) -> str:
    """What came of a step's resources and checks, and of a person's checklist, in words."""
    good = sum(bool(check.get("ok")) for check in step.checks)
    words = (
        _counts(Counter(str(result.get("status")) for result in step.results)),
        f"{good} of {len(step.checks)} checks" if step.checks else "",
        f"{len(step.unchecked)} left for later" if step.unchecked else "",
        f"{len(step.ticked)} ticked" if step.ticked else "",
    )
    return ", ".join(filter(None, words))


def tick(one: Tick) -> str:
    """ "Publish the item: anna, 23 Nov 2026 18:32"."""
    return f"{one.item}: {one.by or 'unknown'}, {when(one.at)}"


def _counts(count: Counter[str]) -> str:
    order = ("changed", "would change", "failed", "ok")
    return ", ".join(f"{count[status]} {status}" for status in order if count[status])


def local(time: str) -> datetime | None:
    """A manifest's time (ISO 8601) in this machine's time zone; None for one that is empty or no time."""
    try:
        return datetime.fromisoformat(time).astimezone()
    except (ValueError, OverflowError):
        return None


def when(time: str) -> str:
    """A manifest's time for people, in this machine's time zone: "23 Nov 2026 18:32"."""
    at = local(time)
    return f"{at.day} {at:%b %Y %H:%M}" if at else "unknown"


def duration(seconds: float) -> str:
    """ "0.3 s", "2 min 24 s", "1 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def operator(who: Operator, via: bool = True) -> str:
    """ "anna@desk, from 192.0.2.7". via: with where the session came from."""
    name = "@".join(filter(None, (who.login, who.host))) or "unknown"
    return f"{name}, from {who.via}" if who.via and via else name


def software(what: Software) -> str:
    """ "0.2.0, commit 1a2b3c4d5e6f, with changes of its own"."""
    parts = [what.version]
    if what.commit:
        parts.append(f"commit {what.commit[:12]}")
    if what.dirty:
        parts.append("with changes that are in no commit")
    return ", ".join(parts)


def signature(signer: Signer) -> str:
    """The key that signed, or why none did."""
    if signer.unsigned or not signer.fingerprint:
        return f"not signed: {signer.unsigned}" if signer.unsigned else "not signed"
    return f"signed by {signer.fingerprint}"


def signed(signer: Signer) -> bool:
    """Whether the manifest says that it is signed; `records verify` says whether that is so."""
    return bool(signer.fingerprint) and not signer.unsigned


def server(facts: dict[str, str]) -> str:
    """ "practice: Debian GNU/Linux 12 (bookworm), 6.1.0-25-amd64"; empty while nothing is known of it."""
    what = ", ".join(filter(None, (facts.get("name") or facts.get("os", ""), facts.get("kernel", ""))))
    return ": ".join(filter(None, (facts.get("hostname", ""), what)))


def shown(value: Any) -> str:
    """A parameter's or fact's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown(each) for each in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {shown(each)}" for name, each in value.items()) or "none"
    return str(value) if value not in ("", None) else "empty"
