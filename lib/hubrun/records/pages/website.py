"""The records as a web site of plain files: an index, a page for each site, run and executed notebook.

The pages need no network and run no script: each holds its style, and its policy (CSP) allows nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from markupsafe import Markup

from hubrun import atomic_write
from hubrun.errors import BadInput
from hubrun.records.ledger import history, manifest, summary
from hubrun.records.ledger.history import History, Run
from hubrun.records.ledger.manifest import Record, RunbookRecord
from hubrun.records.ledger.report import Finding, Report
from hubrun.records.ledger.summary import Failure
from hubrun.records.pages import notebook_page, rendering

FOLDER = ".html"
INDEX = "index.html"


@dataclass(frozen=True)
class _Row:
    """A run in a table: its record, or why there is none."""

    name: str
    record: Record | None
    problem: str = ""


@dataclass(frozen=True)
class _Site:
    """What the pages say of a site. rows: newest first. report: None where it was not verified."""

    name: str
    rows: Sequence[_Row]
    report: Report | None

    @property
    def failures(self) -> list[Failure]:
        last = self.rows[0].record if self.rows else None
        return summary.failures(last) if last else []


def write_site(records: Path, reports: Mapping[str, Report]) -> Path:
    """Bring the pages in `records/.html/` up to date; the path of the index.

    reports: by site, what `records verify` found; a site that has none is shown as not verified. Pages of notebooks
    that are newer than their notebook stay as they are; pages of runs that are gone are removed.
    Raises BadInput when there are no records or the pages cannot be written.
    """
    sites = history.sites(records)
    out = records / FOLDER
    try:
        shown = [_write_runs(site, out / site.site, reports.get(site.site)) for site in sites]
        _remove_others(out, {site.site for site in sites})
        # What went wrong last comes first.
        shown.sort(key=lambda site: (not site.failures, site.name))
        _write(out / INDEX, rendering.page("index.html", sites=shown))
    except OSError as error:
        raise BadInput(
            f"the pages cannot be written: {error.strerror}", str(out), "Copy the records to where you may write"
        ) from None
    return out / INDEX


def _write_runs(site: History, out: Path, report: Report | None) -> _Site:
    runs = site.runs()
    names = {run.name for run in runs}
    rows = [_write_run(run, out / run.name, names, report) for run in reversed(runs)]
    _remove_others(out, names)
    shown = _Site(site.site, rows, report)
    _write(out / INDEX, rendering.page("site.html", site=shown))
    return shown


def _write_run(run: Run, out: Path, runs: set[str], report: Report | None) -> _Row:
    verified: dict[str, object] = {"report": report and _of_run(run, report), "of_site": report}
    try:
        record = run.manifest().predicate
    except BadInput as error:
        text = rendering.page("broken.html", name=run.name, site=run.site, problem=str(error), **verified)
        _write(out / INDEX, text)
        return _Row(run.name, None, str(error))
    earlier = [failure for attempt in range(1, record.attempt) for failure in summary.failures(record, attempt)]
    text = rendering.page(
        "run.html",
        record=record,
        failures=summary.failures(record),
        earlier=earlier,
        changes=summary.changes(record),
        times=summary.cell_times(record),
        packages=summary.package_changes(record.packages),
        before=record.previous is not None and record.previous.run in runs,
        pages=[_write_notebook(run, record, book, out) for book in record.runbooks],
        longest=max((step.seconds for book in record.runbooks for step in book.steps), default=0) or 1,
        **verified,
    )
    _write(out / INDEX, text)
    return _Row(run.name, record)


def _of_run(run: Run, report: Report) -> Report:
    """What the site's report says of one run."""

    def about(findings: Sequence[Finding]) -> list[Finding]:
        return [each for each in findings if run.name in PurePosixPath(each.place).parts]

    return Report(about(report.findings), about(report.notes))


def _write_notebook(run: Run, record: Record, book: RunbookRecord, out: Path) -> str:
    """Make the page of an executed notebook unless it is there; its place from the run's page, empty without one."""
    source = (run.folder / book.file).resolve()
    # The manifest may have been made by anybody: a file elsewhere is not ours to show.
    if not book.file or not source.is_relative_to(run.folder.resolve()) or not source.is_file():
        return ""
    place = PurePosixPath(source.relative_to(run.folder.resolve()).with_suffix(".html").as_posix())
    newest = max(path.stat().st_mtime for path in (source, run.folder / manifest.FILE, *rendering.TEMPLATES.rglob("*")))
    path = out / place
    if path.is_file() and path.stat().st_mtime >= newest:
        return str(place)
    try:
        cells = Markup(notebook_page.body(source))
    except Exception as error:  # what is not a notebook makes nbformat and nbconvert fail in a dozen ways
        cells = Markup('<div class="failure"><p class="reason">The notebook cannot be shown: {}: {}</p></div>').format(
            type(error).__name__, str(error)[:300]
        )
    up = "../" * (len(place.parts) - 1)
    _write(path, rendering.page("notebook.html", record=record, book=book, up=up, cells=cells))
    return str(place)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write.write(path, text.encode())


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove the pages of what is no longer in the records: what was pruned must not stay here."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.name not in kept:
            shutil.rmtree(path)
