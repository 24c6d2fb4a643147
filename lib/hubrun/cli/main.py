"""The command line: its commands are the modules beside this one."""

from __future__ import annotations

import sys

import click

from hubrun.cli.install import install, plan, run
from hubrun.cli.lab import lab
from hubrun.cli.launch import launch
from hubrun.cli.params import params_command
from hubrun.cli.people import people
from hubrun.cli.practice import practice
from hubrun.cli.records import records
from hubrun.cli.status import status
from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.secret import Secret
from hubrun.terminal import echo, show_uncaught


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def hubrun() -> None:
    """Executable runbooks that set up a JupyterHub which Canvas can launch.

    \b
    Try it, on a practice server:    ./hubrun practice
    A server of your own:            cp params/example.yaml params/SITE.yaml, fill it in, then
      what would be done:            ./hubrun plan params/SITE.yaml
      do it:                         ./hubrun install params/SITE.yaml
      or step by step, in a browser: ./hubrun lab params/SITE.yaml
    What comes after the install:    ./hubrun run NN params/SITE.yaml
      how it is:                     ./hubrun status params/SITE.yaml
    """


for command in (install, lab, launch, params_command, people, plan, practice, records, run, status):
    hubrun.add_command(command)


def main() -> None:
    """Run the command line and end with an exit code: 0, 1, 2, or 130 after an interrupt."""
    sys.excepthook = show_uncaught
    try:
        code = hubrun(standalone_mode=False, prog_name="./hubrun")
    except click.ClickException as error:
        error.show()
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
