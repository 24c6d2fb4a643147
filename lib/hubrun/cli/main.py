"""The command line: its commands are the modules beside this one."""

from __future__ import annotations

import sys

import click
from typing_extensions import override

from hubrun.cli import overview
from hubrun.cli.capacity import capacity
from hubrun.cli.install import install, plan, run
from hubrun.cli.lab import lab
from hubrun.cli.launch import launch
from hubrun.cli.new import new
from hubrun.cli.node import node
from hubrun.cli.params import params_command
from hubrun.cli.people import people
from hubrun.cli.practice import practice
from hubrun.cli.records import records
from hubrun.cli.status import status
from hubrun.environment import RECORDS
from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.secret import Secret
from hubrun.terminal import echo, show_uncaught


class _Commands(click.Group):
    @override
    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments[0] not in self.commands:
            overview.check_command(arguments)
        return super().resolve_command(context, arguments)


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def hubrun(context: click.Context) -> None:
    """Executable runbooks that set up a JupyterHub which Canvas can launch.

    \b
    What to do next:                 ./hubrun
    Try it, on a practice server:    ./hubrun practice
    A server of your own:            ./hubrun new SITE
      what would be done:            ./hubrun plan params/SITE.yaml
      do it:                         ./hubrun install params/SITE.yaml
      or step by step, in a browser: ./hubrun lab params/SITE.yaml
    What comes after the install:    ./hubrun run NN params/SITE.yaml
      how it is:                     ./hubrun status params/SITE.yaml
      is it large enough:            ./hubrun capacity params/SITE.yaml --students N
    The documentation, in a browser: ./hubrun docs
    """
    if context.invoked_subcommand is None:
        echo("\n".join(overview.lines(overview.sites(RECORDS))))


for command in (
    capacity, install, lab, launch, new, node, params_command, people, plan, practice, records, run, status,
):  # fmt: skip
    hubrun.add_command(command)


def main() -> None:
    """Run the command line and end with an exit code: 0, 1, 2, or 130 after an interrupt."""
    sys.excepthook = show_uncaught
    try:
        code = hubrun(standalone_mode=False, prog_name="./hubrun")
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.MissingParameter) and (files := overview.missing(error)):
            echo(files, err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("hubrun: interrupted", err=True)
        code = 130
    except HubrunError as error:
        echo(Secret.redact(f"hubrun: {error}"), err=True)
        if error.detail and not isinstance(error, BadInput):
            echo(Secret.redact("\n".join(f"    {line}" for line in error.detail.splitlines()[-20:])), err=True)
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else 0)
