"""`./hubrun install` runs the runbooks against a server, or several; `plan` says what it would do; `run` is for one of operation."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from hubrun.cli.sites import run_sites
from hubrun.environment import RECORDS
from hubrun.errors import BadInput, HubrunError


def _assignments(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{value!r} is not of the form name=value")
    return {name: text for name, _, text in (value.partition("=") for value in values)}


_SITES = click.argument(
    "site_files", metavar="params/SITE.yaml...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
_PART = [
    click.option("--from", "first", default="", metavar="NN", help="Begin with this runbook, such as 03."),
    click.option("--only", default="", metavar="NN", help="Run this runbook alone."),
]
_OPTIONS = [
    click.option(
        "--set", "overrides", multiple=True, metavar="NAME=VALUE", callback=_assignments,
        help="Another value for a parameter; may be given more than once.",
    ),
    click.option(
        "--records", type=click.Path(path_type=Path), default=RECORDS, show_default="records",
        help="Folder that keeps the records.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the run's manifest as JSON at the end."),
    click.option(
        "--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="Of several sites, how many at once."
    ),
]  # fmt: skip
_CHECK = click.option("--check", is_flag=True, help="Show what would change, and touch nothing.")


def _decorated(command: Any, *options: Any) -> Any:
    for option in reversed(options):
        command = option(command)
    return command


def _run_options(command: Any) -> Any:
    """Decorate a click command with what `install` and `plan` share."""
    return _decorated(command, _SITES, *_PART, *_OPTIONS)


def _operation_options(command: Any) -> Any:
    """Decorate a click command with what `run` takes."""
    return _decorated(command, click.argument("runbook", metavar="NN"), _SITES, *_OPTIONS, _CHECK)


@contextlib.contextmanager
def _errors_end_with_1() -> Iterator[None]:
    """Any error ends a plan with 1: 2 says that there is something to do, and monitors must tell the two apart."""
    try:
        yield
    except (HubrunError, click.ClickException) as error:
        error.exit_code = 1  # type: ignore[misc]  # click has it on the class
        raise


class _Plan(click.Command):
    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _errors_end_with_1():
            return super().make_context(*args, **kwargs)


@click.command(cls=_Plan)
@_run_options
def plan(**options: Any) -> int:
    """Show what `install` would do, and change nothing. Ends with 0 when nothing is to be done, 2 when something is, 1
    after any error.

    On a server that is set up it is the drift report: what was changed by hand, and by which run it had been set.
    """
    with _errors_end_with_1():
        return run_sites("check", **options)


@click.command()
@_run_options
@_CHECK
@click.option("--resume", is_flag=True, help="A new run that goes on where the site's last one failed.")
@click.option("--confirm", is_flag=True, help="Show the plan first, and wait for a yes.")
def install(check: bool, confirm: bool, **options: Any) -> int:
    """Run the runbooks against a server, or several, and keep the record."""
    if confirm:
        return _run_confirmed(check, **options)
    with _errors_end_with_1() if check else contextlib.nullcontext():
        return run_sites("check" if check else "install", **options)


def _run_confirmed(check: bool, site_files: tuple[Path, ...], resume: bool, **options: Any) -> int:
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


@click.command()
@_operation_options
def run(runbook: str, check: bool, **options: Any) -> int:
    """Run one runbook of operation, by its number or name, and keep the record. With --check it ends as `plan` does."""
    with _errors_end_with_1() if check else contextlib.nullcontext():
        return run_sites("check" if check else "install", operation=runbook, **options)
