"""The commands that read and keep records."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import click

from hubrun import atomic_write
from hubrun.environment import PROJECT, RECORDS
from hubrun.errors import BadInput
from hubrun.records.ledger import close, history, manifest, signature
from hubrun.records.ledger import export as exporting
from hubrun.records.ledger import prune as pruning
from hubrun.records.ledger import verify_history as verification
from hubrun.records.ledger.history import History
from hubrun.records.ledger.report import Report
from hubrun.records.pages import compare, terminal_tables
from hubrun.terminal import Terminal, echo

# Who may sign, in the format of ssh-keygen(1), ALLOWED SIGNERS; beside the sites' files, where it is reviewed.
SIGNERS = PROJECT / "params" / "allowed_signers"


_folder = click.option(
    "--records", type=click.Path(path_type=Path, file_okay=False), default=RECORDS, show_default="records",
    help="Folder of the records.",
)  # fmt: skip
_signers = click.option(
    "--allowed-signers", type=click.Path(path_type=Path), default=SIGNERS if SIGNERS.exists() else None,
    show_default="params/allowed_signers, if it is there", help="Who may sign: ssh-keygen(1), ALLOWED SIGNERS.",
)  # fmt: skip


def _sites(records: Path, wanted: str | None = None) -> list[History]:
    """The sites, or the one that is wanted. Runs that were killed are closed first, where that is possible."""
    every = history.sites(records)
    for site in every:
        _close_killed(site)
    found = [site for site in every if wanted in (None, site.site)]
    if not found:
        names = ", ".join(site.site for site in every)
        raise BadInput(f"there are no records of {wanted or 'any site'}", str(records), names and f"There are {names}")
    return found


def _close_killed(site: History) -> None:
    # Somebody runs something now, or the records are only there to be read: then they are shown as they are.
    with contextlib.suppress(BadInput, OSError):
        if any(_runs_on(run) for run in site.runs()):
            with site.alone():
                for run in close.recover(site):
                    echo(f"closed as interrupted, it had been killed: {run.folder}", err=True)


def _runs_on(run: history.Run) -> bool:
    try:
        return run.manifest().predicate.status == "running"
    except BadInput:
        return False


def _console() -> Terminal:
    # In a file or a pipe nothing is cut off at a width that nobody has.
    return Terminal(width=None if sys.stdout.isatty() else 160)


def _find(records: Path, wanted: str) -> history.Run:
    with contextlib.suppress(BadInput):
        _sites(records)
    return history.find(records, wanted)


@click.group()
def records() -> None:
    """Read what was done: list, show, compare, verify, open as pages, archive.

    \b
    RUN is a run's name or a part of it, a site for its last run, or a run's folder.
    """


@records.command("list")
@click.argument("site", required=False)
@_folder
def list_(site: str | None, records: Path) -> None:
    """List the runs, the newest last."""
    _console().print(terminal_tables.list_table(_sites(records, site)))


@records.command()
@click.argument("run", default="")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, for scripts.")
@_folder
def show(run: str, as_json: bool, records: Path) -> None:
    """Show one run: who, when, what was done, what failed and why. Default: the last run."""
    found = _find(records, run)
    if as_json:
        echo(json.dumps(found.manifest().model_dump(by_alias=True), indent=2))
    else:
        _console().print(terminal_tables.show(found))


@records.command()
@click.argument("site", metavar="[SITE | FILE.tar]", required=False)
@_signers
@_folder
def verify(site: str | None, allowed_signers: Path | None, records: Path) -> int:
    """Verify that nothing was changed, removed, added or reordered since. Ends with 1 and names the place if it was.

    Of an exported run, its files and signatures.
    """
    if site and site.endswith((".tar", ".tar.gz")):  # no site has a dot in its name
        with tempfile.TemporaryDirectory() as folder:
            run = exporting.unpack(Path(site), Path(folder))
            return _tell({run.name: verification.verify_run(run, allowed_signers)})
    return _tell({each.site: verification.verify(each, allowed_signers) for each in _sites(records, site)})


def _tell(reports: dict[str, Report]) -> int:
    """Print what verifying found of each site, or run; the exit code."""
    for name, report in reports.items():
        for note in report.notes:
            echo(f"note: {note}")
        for finding in report.findings:
            echo(f"failed: {finding}")
        for fingerprint, who in report.signers.items():
            echo(f"signed by {fingerprint}: {who or 'whose it is was not checked (--allowed-signers)'}")
        newest = f"; newest {report.head.run}, manifest {report.head.sha256}" if report.head else ""
        verdict = "verified" if report.ok else f"{len(report.findings)} findings"
        echo(f"{name}: {verdict}: {report.text}{newest}")
    return 0 if all(report.ok for report in reports.values()) else 1


@records.command()
@click.argument("a")
@click.argument("b")
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write it as a page.")
@_folder
def diff(a: str, b: str, page: Path | None, records: Path) -> int:
    """Show what differs between two runs, without times and ids. Ends with 0 when nothing does, else with 1."""
    from hubrun.records.pages import rendering  # slow to import: `hubrun --help` must not wait for it

    one, other = _find(records, a).manifest(), history.find(records, b).manifest()
    differences = compare.compare(one, other)
    echo(compare.text(one, other, differences))
    if page:
        try:
            atomic_write.write(page, rendering.comparison(one.predicate, other.predicate, differences).encode())
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", str(page), "Give another file") from None
    return 1 if differences else 0


@records.command("open")
@click.argument("run", default="")
@click.option("--no-browser", is_flag=True, help="Only print where the pages are.")
@_signers
@_folder
def open_(run: str, no_browser: bool, allowed_signers: Path | None, records: Path) -> None:
    """Make pages of all records, and open them: of one run, or the index. They need no network."""
    from hubrun.records.pages import website

    found = _find(records, run) if run else None
    reports = {site.site: verification.verify(site, allowed_signers) for site in _sites(records)}
    index = website.write_site(records, reports)
    page = index.parent / found.site / found.name / "index.html" if found else index
    echo(page)
    if not no_browser:
        click.launch(page.as_uri())


@records.command()
@click.argument("site", required=False)
@click.option("--keep", required=True, metavar="N|Nd", help="How many runs, or how many days (90d), are kept.")
@click.option("--yes", is_flag=True, help="Remove them; without it they are only named, and it ends with 2.")
@click.option("--signing-key", default="", help="Key that signs the note of it: as record_signing_key.")
@_folder
def prune(site: str | None, keep: str, yes: bool, signing_key: str, records: Path) -> int:
    """Remove old runs. A record of that takes their place in the chain, so that it can still be verified."""
    from hubrun.records.pages import website

    limit = pruning.parse_retention(keep)
    key, signer = signature.find_signer(signing_key, "")
    count = 0
    for each in _sites(records, site):
        found = pruning.prune(each, limit, key, signer) if yes else pruning.too_old(each, limit)
        for run in found:
            echo(f"{'removed' if yes else 'would be removed'}: {each.site}/{run.name}")
        count += len(found)
    if yes and count:
        shutil.rmtree(records / website.FOLDER, ignore_errors=True)  # `records open` makes them again
    echo(f"{count} runs {'removed' if yes else 'would be removed; to do it: --yes'}" if count else "nothing to remove")
    return 2 if count and not yes else 0


@records.command()
@click.argument("run", default="")
@click.option("--to", "target", type=click.Path(path_type=Path), help="File or folder.  [default: the current folder]")
@_folder
def export(run: str, target: Path | None, records: Path) -> None:
    """Make one .tar of a run, with how to verify it. The same run gives the same bytes."""
    path = exporting.export(_find(records, run), target)
    echo(f"{path}  sha256 {manifest.sha256(path.read_bytes())}")
