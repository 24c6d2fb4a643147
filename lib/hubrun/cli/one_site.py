"""One site's run, in the kernel that was started for it: from its params file to the last line that is shown."""

from __future__ import annotations

import importlib
import json
import threading
from pathlib import Path

import click

from hubrun import params
from hubrun.cli import progress
from hubrun.errors import HubrunError
from hubrun.records.ledger import mirror, signature
from hubrun.records.ledger.manifest import Mode
from hubrun.records.ledger.unapplied import unapplied
from hubrun.records.run import site_run
from hubrun.records.run.kernel_server import KernelServer
from hubrun.records.run.kernels import SharedKernel


def run(
    kernel: SharedKernel, site_file: Path, mode: Mode, overrides: dict[str, str] | None, first: str, only: str,
    records: Path, as_json: bool, resume: bool, operation: str,
) -> int:  # fmt: skip
    """Run the runbooks for the site in `site_file`; the exit code. The rest is as in `sites.run_site`."""
    site = params.load(site_file, overrides)
    books = site_run.operation(operation) if operation else site_run.runbooks(first, only)
    key, signer = signature.find_signer(site.record_signing_key, site.ssh_key_file)
    if site.records_mirror:
        mirror.check_target(site.records_mirror)
    show = progress.Progress(site)
    with show.waiting(f"connecting to {site.host}"):
        threading.Thread(target=importlib.import_module, args=("papermill",), daemon=True).start()
        # what keeps us out is said here, before a runbook begins
        ahead = [] if resume else [book.stem for book in books]  # which are left is not known yet
        server = KernelServer.connect(site, kernel, ahead, show.now)
    with site_run.opened(site, mode, records.absolute(), books, key, signer, resume) as run:
        try:
            run.inspect_server(server)
            run.execute(show.listen, kernel)
        except (KeyboardInterrupt, Exception) as error:
            ended_by: BaseException | None = error
        else:
            ended_by = None
        with show.waiting("closing the record"):
            run.finish(server, ended_by)
        show.end(run, site_file, overrides)
        for name, left in unapplied(run.history, run.statement.predicate).items():
            show.warn(
                f"{name} is not what {', '.join(left)} applied last: run {'it' if len(left) == 1 else 'them'} too"
            )
        for step in run.record.clock:
            show.warn(step)
        if as_json:
            click.echo(json.dumps(run.data(), indent=2))
    mirror_record(show, run)
    if ended_by and not isinstance(ended_by, HubrunError):  # that is in the record and was shown
        raise ended_by
    if not run.closed:
        return 1
    return {"failed": 1, "interrupted": 1, "would change": 2}.get(run.record.status, 0)


def mirror_record(show: progress.Progress, run: site_run.Run) -> None:
    """Copy a closed record, and those that were closed before it, to `records_mirror` if the site has one."""
    target = run.site.records_mirror
    if not (target and run.closed):
        return
    try:
        with show.waiting(f"copying the record to {target}"):
            for folder in (*(kept.folder for kept in run.recovered), run.folder):
                mirror.mirror(run.history, folder, target)
    except HubrunError as error:  # what the run came to is not changed by that
        show.warn(f"the record was not copied: {error}")
