"""The options that `install` and `plan` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubrun.environment import RECORDS


def _assignments(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, sign, _text in pairs:
        if not sign:
            raise click.BadParameter(f"{name!r} is not of the form name=value")
    return {name: text for name, _sign, text in pairs}


def run_options(command: Any) -> Any:
    """Decorate a click command with the arguments and options that `install` and `plan` share."""
    for option in reversed(
        [
            click.argument(
                "site_files", metavar="params/SITE.yaml...", nargs=-1, required=True, type=click.Path(path_type=Path)
            ),
            click.option("--from", "first", default="", metavar="NN", help="Begin with this runbook, such as 03."),
            click.option("--only", default="", metavar="NN", help="Run this runbook alone."),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="NAME=VALUE",
                callback=_assignments,
                help="Another value for a parameter; may be given more than once.",
            ),
            click.option(
                "--records",
                type=click.Path(path_type=Path),
                default=RECORDS,
                show_default="records",
                help="Folder that keeps the records.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print the run's manifest as JSON at the end."),
            click.option(
                "--jobs",
                type=click.IntRange(1, 64),
                default=8,
                show_default=True,
                help="Of several sites, how many at once.",
            ),
        ]
    ):
        command = option(command)
    return command
