"""Runs on a terminal: a list of them, and one in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hubrun.errors import BadInput
from hubrun.records.ledger import summary
from hubrun.records.ledger.history import History, Run
from hubrun.records.ledger.manifest import Record
from hubrun.records.ledger.summary import CellTime, Change, Failure, shown

STYLE = {
    "ok": "green", "changed": "yellow", "would change": "blue", "failed": "bold red", "interrupted": "bold red",
    "running": "bold", "not run": "dim", "not checked": "dim", "ticked": "green",
}  # fmt: skip


def list_table(histories: Iterable[History]) -> RenderableType:
    """A line for each run, the newest last; a run that cannot be read has a line that says why."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("site", "run", "when", "took", "mode", "status", "changes", "attempts", "signed", "by"):
        table.add_column(
            name, no_wrap=name in ("run", "when", "took", "status"), justify="right" if name == "took" else "left"
        )
    problems = []
    for run in sorted((run for history in histories for run in history.runs()), key=lambda run: run.name):
        try:
            record = run.manifest().predicate
        except BadInput as error:
            table.add_row(run.site, run.name, "", "", "", Text("unreadable", STYLE["failed"]))
            problems.append(Text(f"{run.site}/{run.name}: {error}", STYLE["failed"]))
            continue
        table.add_row(
            run.site, run.name, summary.when(record.started), summary.duration(record.seconds), record.mode,
            status(record.status), "; ".join(filter(None, (summary.what_changed(record), summary.what_ran(record)))),
            str(record.attempt),
            "yes" if summary.signed(record.signer) else "no", summary.operator(record.operator, via=False),
        )  # fmt: skip
    return Group(table, *problems)


def status(word: str) -> Text:
    """A status in its colour."""
    return Text(word, STYLE.get(word, ""))


def show(run: Run) -> RenderableType:
    """A run in full. Raises BadInput when its manifest cannot be read."""
    return Group(*_parts(run.manifest().predicate))


def _parts(record: Record) -> Iterator[RenderableType]:
    yield Text.assemble((f"{record.mode} of {record.site}: ", "bold"), status(record.status), f"  {record.run}")
    for attempt in range(1, record.attempt + 1):
        for failure in summary.failures(record, attempt):
            yield _failure(failure, record.attempt)
    yield _pairs(_head(record))
    yield _heading("Steps")
    yield _steps(record)
    if times := summary.cell_times(record):
        yield _heading("Cells, in the order in which they were run")
        yield _cell_times(times)
    changes = summary.changes(record)
    if changes:
        yield _heading("Would change" if record.mode == "check" else "Changes")
        yield from map(_change, changes)
    yield _heading("Packages")
    yield _packages(record)
    yield _heading("Parameters")
    yield _pairs((name, shown(value)) for name, value in record.parameters.items())


def _head(record: Record) -> Iterator[tuple[str, str]]:
    yield "when", f"{summary.when(record.started)}, {summary.duration(record.seconds)}"
    yield from (("clock", step) for step in record.clock)
    yield "by", summary.operator(record.operator)
    yield "server", summary.server(record.server) or "unknown"
    yield "software", f"hubrun {summary.software(record.software)}"
    yield "signature", summary.signature(record.signer)
    if record.resumes:
        yield "goes on with", record.resumes.run
    if record.attempt > 1:
        yield "attempts", str(record.attempt)
    before = record.previous
    yield "before it", f"{before.run}, attempt {before.attempt}" if before else "nothing: the first run of this site"
    yield "secrets taken out", ", ".join(f"{name} {count} ×" for name, count in record.redactions.items()) or "none"


def _failure(failure: Failure, attempts: int) -> Text:
    place = " › ".join(filter(None, (failure.book, failure.step)))
    text = Text(f"{failure.status}" + (f" in {place}" if place else ""), STYLE[failure.status])
    if attempts > 1:
        text.append(f" (attempt {failure.attempt} of {attempts})")
    text.append(": " + (f"{failure.cause}: " if failure.cause else "") + (failure.reason or "no reason is recorded"))
    for check in failure.checks:
        text.append(f"\n  {check.get('check')}: expected {check.get('expected')}; came {check.get('came')}")
    return text


def _steps(record: Record) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for book in record.runbooks:
        name = book.name + (f" (attempt {book.attempt})" if record.attempt > 1 else "")
        table.add_row(Text(name, "bold"), status(book.status), summary.duration(book.seconds), "")
        for step in book.steps:
            seen = summary.seen(step) + (f"  {step.reason}" if step.reason else "")
            took = summary.duration(step.seconds) if step.started else ""
            table.add_row(Text(f"  {step.title}"), status(step.status), took, Text(seen, "dim"))
            for tick in step.ticked:
                table.add_row("", "", "", Text(f"☑ {summary.tick(tick)}", "dim"))
    return table


def _cell_times(times: Iterable[CellTime]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for each in times:
        at = summary.local(each.run.started)
        again = f" (time {each.time})" if each.time > 1 else ""
        table.add_row(
            f"{at:%H:%M:%S}" if at else "", Text(f"{each.place}, cell {each.run.cell}{again}"), status(each.run.status),
            summary.duration(each.seconds), Text(each.run.reason, "dim"),
        )  # fmt: skip
    return table


def _change(change: Change) -> Text:
    text = Text.assemble(status(change.status), f"  {change.resource}  ", (change.place, "dim"))
    for action in change.actions:
        text.append(f"\n    {action}")
    if change.origin:
        text.append(f"\n    {change.origin}", "dim")
    return text


def _packages(record: Record) -> RenderableType:
    unread = [when for when, found in record.packages.model_dump().items() if found is None]
    if unread:
        return Text(f"versions were not read {' and '.join(unread)} the run")
    changed = summary.package_changes(record.packages)
    if not changed:
        return Text(f"all {len(record.packages.after or ())} are as they were")
    return _pairs((name, f"{before or 'not there'} → {after or 'gone'}") for name, before, after in changed)


def _pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value in pairs:
        table.add_row(Text(name, "dim"), Text(value))
    return table


def _heading(text: str) -> Text:
    return Text(f"\n{text}", "bold")
