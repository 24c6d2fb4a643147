"""`./hubrun plan`: what `install` would do."""

from __future__ import annotations

from typing import Any

import click

from hubrun.cli.run_options import run_options
from hubrun.cli.sites import run_sites


@click.command()
@run_options
def plan(**options: Any) -> int:
    """Show what `install` would do, and change nothing. Ends with 0 when nothing is to be done, 2 when something is.

    On a server that is set up it is the drift report: what was changed by hand, and by which run it had been set.
    """
    return run_sites("check", **options)
