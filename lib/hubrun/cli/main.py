"""The command line: its commands are the modules beside this one."""

from __future__ import annotations

import sys
from collections import UserDict
from pkgutil import resolve_name
from typing import Any

import click
from typing_extensions import override

from hubrun.environment import RECORDS
from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.secret import Secret
from hubrun.terminal import echo, show_uncaught


class _Places(UserDict[str, Any]):
    """Commands by their names, kept as their places: each is imported when it is used, so that none waits for what another
    one needs."""

    @override
    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = resolve_name(f"hubrun.cli.{super().__getitem__(name)}")
        return command


_COMMANDS = _Places(
    {
        "capacity": "capacity:capacity",
        "install": "install:install",
        "lab": "lab:lab",
        "launch": "launch:launch",
        "new": "new:new",
        "node": "node:node",
        "params": "params:params_command",
        "people": "people:people",
        "plan": "install:plan",
        "practice": "practice:practice",
        "records": "records:records",
        "run": "install:run",
        "status": "status:status",
    }
)


class _Commands(click.Group):
    @override
    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments[0] not in self.commands:
            from hubrun.cli import overview

            overview.check_command(arguments)
        return super().resolve_command(context, arguments)


@click.group(
    cls=_Commands,
    commands=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
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
        from hubrun.cli import overview

        echo("\n".join(overview.lines(overview.sites(RECORDS))))


def main() -> None:
    """Run the command line and end with an exit code: 0, 1, 2, or 130 after an interrupt."""
    sys.excepthook = show_uncaught
    try:
        code = hubrun(standalone_mode=False, prog_name="./hubrun")
    except click.ClickException as error:
        from hubrun.cli import overview

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
