"""`./hubrun lab`: the runbooks in JupyterLab, with a record."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hubrun import params
from hubrun.cli import progress
from hubrun.cli.one_site import mirror_record
from hubrun.environment import RECORDS
from hubrun.records.lab.lab_session import LabSession
from hubrun.records.ledger import mirror, signature
from hubrun.records.run import site_run
from hubrun.records.run.signals import on_signal


@click.command()
@click.argument("site_file", metavar="params/SITE.yaml", type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8888,
    show_default=True,
    help="Port of JupyterLab on this machine; if it is taken, the next one.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--records", type=click.Path(path_type=Path), default=RECORDS, show_default="records",
    help="Folder that keeps the records.",
)  # fmt: skip
def lab(site_file: Path, port: int, no_browser: bool, records: Path) -> int:
    """Step through the runbooks in JupyterLab, and keep the record.

    It opens copies of the runbooks, with the site's values. What you run there is the record: each cell, with what came
    of it. End it with Ctrl-C here, or in JupyterLab with File → Shut Down.

    Ends with 0; with 1 when a cell failed and was not repaired, or was stopped; with 130 when Ctrl-C stopped one.
    """
    site = params.load(site_file)
    key, signer = signature.find_signer(site.record_signing_key, site.ssh_key_file)
    if site.records_mirror:
        mirror.check_target(site.records_mirror)
    show = progress.Progress(site)
    ended_by: BaseException | None = None
    with site_run.opened(site, "interactive", records.absolute(), site_run.runbooks(), key, signer) as run:
        session = LabSession(run)
        with on_signal(session.stop):
            try:
                session.serve(port, not no_browser, lambda address, file: _tell(show, run, address, file))
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                ended_by = error
            try:
                session.conclude()
            except Exception as error:  # nothing keeps the record from being closed
                ended_by = error
            run.finish(None, None if isinstance(ended_by, KeyboardInterrupt) else ended_by)
        show.end(run, site_file)
    mirror_record(show, run)
    if ended_by and not isinstance(ended_by, KeyboardInterrupt):
        raise ended_by
    if not run.closed:
        return 1
    if run.record.cause == "Ctrl-C":
        return 130
    return 1 if run.record.status in ("failed", "interrupted") else 0


def _tell(show: progress.Progress, run: site_run.Run, address: str, file: Path) -> None:
    """The first lines. The address holds a token: it is for a terminal, and not for a file that a log is kept in."""
    if sys.stderr.isatty():
        show.tell(f"JupyterLab: {address}")
    else:
        show.tell(f"JupyterLab: {address.partition('?')[0]}; it asks for a token, which is in {file}")
    show.tell(f"record: {run.folder}")
    show.tell("to end: Ctrl-C here, or File, Shut Down in JupyterLab")
