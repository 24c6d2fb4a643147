"""`./hubrun install`: runs the runbooks against a server, or several."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from hubrun.cli.plan import errors_end_with_1
from hubrun.cli.run_options import run_options
from hubrun.cli.sites import run_sites
from hubrun.errors import BadInput


@click.command()
@run_options
@click.option("--check", is_flag=True, help="Show what would change, and touch nothing (the same as `plan`).")
@click.option("--resume", is_flag=True, help="A new run that goes on where the site's last one failed.")
@click.option("--confirm", is_flag=True, help="Show the plan first, and wait for a yes.")
def install(check: bool, confirm: bool, **options: Any) -> int:
    """Run the runbooks against a server, or several, and keep the record."""
    if confirm:
        return run_confirmed(check, **options)
    with errors_end_with_1() if check else contextlib.nullcontext():
        return run_sites("check" if check else "install", **options)


def run_confirmed(check: bool, site_files: tuple[Path, ...], resume: bool, **options: Any) -> int:
    """Plan, ask, and install. Nothing is done without a terminal, where nobody could say yes."""
    if check or resume or len(site_files) > 1:
        raise BadInput("is for one site, without --check and --resume", "--confirm", "Leave one of them out")
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask on", "--confirm", "Use `plan`, and then `install`")
    code = run_sites("check", site_files, **options)
    if code != 2:
        return code
    if not click.confirm("Do this?", err=True):
        click.echo("nothing was done", err=True)
        return 2
    return run_sites("install", site_files, **options)
