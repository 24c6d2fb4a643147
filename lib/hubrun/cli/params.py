"""`./hubrun params`: the parameters of a site, explained."""

from __future__ import annotations

import click

from hubrun.params import documentation


@click.command("params")
@click.option("--yaml", "as_yaml", is_flag=True, help="As a params file with comments (params/example.yaml).")
@click.option("--cell", metavar="NN", help="As the parameters cell of a runbook, such as 03.")
def params_command(as_yaml: bool, cell: str | None) -> None:
    """Explain every parameter of a site."""
    click.echo(
        documentation.cell(cell) if cell else documentation.example() if as_yaml else documentation.table(), nl=False
    )
    if cell:
        click.echo()
