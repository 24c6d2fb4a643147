"""Running the runbooks for a site, or for several, as `install`, `plan` and `practice` do."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click

from hubrun import params
from hubrun.cli import many_sites, progress
from hubrun.desired.server import Server
from hubrun.environment import RECORDS
from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import mirror, signature
from hubrun.records.ledger.manifest import Mode
from hubrun.records.ledger.unapplied import unapplied
from hubrun.records.run import site_run
from hubrun.records.run.signals import at_once, on_signal


def run_sites(
    mode: Mode, site_files: tuple[Path, ...], jobs: int, as_json: bool, records: Path,
    overrides: dict[str, str], first: str = "", only: str = "", resume: bool = False, operation: str = "",
) -> int:  # fmt: skip
    """Run the runbooks for one site here, for several in a process each; the exit code (docs/reference/exit-codes.md).

    operation: run this runbook of operation in place of those of an install.
    """
    if len(site_files) == 1:
        return run_site(site_files[0], mode, overrides, first, only, records, as_json, resume, operation)
    options = ["--records", str(records.absolute())]
    options += [f"--from={first}"] if first else []
    options += [f"--only={only}"] if only else []
    options += [f"--set={name}={value}" for name, value in overrides.items()]
    options += ["--resume"] if resume else []
    options += ["--check"] if mode == "check" and operation else []
    command = ["run", operation] if operation else ["plan" if mode == "check" else "install"]
    code, done = many_sites.run(command, site_files, options, min(jobs, len(site_files)))
    if as_json:
        click.echo(json.dumps({str(job.file): job.manifest or {"error": job.error} for job in done}, indent=2))
    return code


def run_site(
    site_file: Path, mode: Mode, overrides: dict[str, str] | None = None, first: str = "", only: str = "",
    records: Path = RECORDS, as_json: bool = False, resume: bool = False, operation: str = "",
) -> int:  # fmt: skip
    """Run the runbooks for the site in `site_file`; the exit code (docs/reference/exit-codes.md). operation: as in
    `run_sites`.
    """
    if resume and (first or only or mode == "check"):
        raise BadInput("cannot be combined with --from, --only or --check", "--resume", "It knows where to go on")
    site = params.load(site_file, overrides)
    books = site_run.operation(operation) if operation else site_run.runbooks(first, only)
    key, signer = signature.find_signer(site.record_signing_key, site.ssh_key_file)
    if site.records_mirror:
        mirror.check_target(site.records_mirror)
    show = progress.Progress(site)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_signal(at_once))  # so that the kernel never outlives us
        with show.waiting(f"connecting to {site.host}"):
            from hubrun.records.run.kernels import SharedKernel  # slow to import: `--help` must not wait for it

            kernel = stack.enter_context(SharedKernel())
            kernel.take()  # it starts while we connect
            # what keeps us out is said here, before a runbook begins
            server = stack.enter_context(Server.connect(site))
        run = stack.enter_context(site_run.opened(site, mode, records.absolute(), books, key, signer, resume))
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
