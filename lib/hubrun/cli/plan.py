"""`./hubrun plan`: what `install` would do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click
from typing_extensions import override

from hubrun.cli.run_options import run_options
from hubrun.cli.sites import run_sites
from hubrun.errors import HubrunError


@contextlib.contextmanager
def errors_end_with_1() -> Iterator[None]:
    """Any error ends a plan with 1: 2 says that there is something to do, and monitors must tell the two apart."""
    try:
        yield
    except (HubrunError, click.ClickException) as error:
        error.exit_code = 1  # type: ignore[misc]  # click has it on the class
        raise


class _Plan(click.Command):
    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with errors_end_with_1():
            return super().make_context(*args, **kwargs)

    @override
    def invoke(self, context: click.Context) -> Any:
        with errors_end_with_1():
            return super().invoke(context)


@click.command(cls=_Plan)
@run_options
def plan(**options: Any) -> int:
    """Show what `install` would do, and change nothing. Ends with 0 when nothing is to be done, 2 when something is, 1
    after any error.

    On a server that is set up it is the drift report: what was changed by hand, and by which run it had been set.
    """
    return run_sites("check", **options)
