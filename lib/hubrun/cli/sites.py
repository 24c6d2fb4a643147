"""Running the runbooks for a site, or for several, as `install`, `plan` and `practice` do.

A run waits longest for its kernel: that is started first, and all else is imported while it starts.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubrun.environment import RECORDS
from hubrun.errors import BadInput
from hubrun.records.run.signals import at_once, on_signal

if TYPE_CHECKING:
    from hubrun.records.ledger.manifest import Mode


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
    from hubrun.cli import many_sites

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
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_signal(at_once))  # so that the kernel never outlives us
        from hubrun.records.run.kernels import SharedKernel

        kernel = stack.enter_context(SharedKernel())
        kernel.take()
        from hubrun.cli import one_site

        return one_site.run(kernel, site_file, mode, overrides, first, only, records, as_json, resume, operation)
