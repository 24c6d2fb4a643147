"""The practice server's commands."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import click

from hubrun import practice as practice_server
from hubrun.cli import params_files
from hubrun.cli.sites import run_site
from hubrun.practice.practice_server import MOST_SERVERS
from hubrun.practice.server_images import RELEASES
from hubrun.records.run import site_run
from hubrun.terminal import echo


@dataclass
class Choice:
    """Which practice server, its operating system, and how many servers, as given before or behind the subcommand."""

    name: str = "practice"
    os_name: str | None = None
    servers: int | None = None


def _choose(context: click.Context, option: click.Parameter, value: str | int | None) -> None:
    chosen = context.ensure_object(Choice)
    if value is not None:
        setattr(chosen, str(option.name), value)


_name = click.option(
    "--name", expose_value=False, callback=_choose,
    help="Which practice server; several can run side by side.  [default: practice]",
)  # fmt: skip
_os = click.option(
    "--os", "os_name", expose_value=False, callback=_choose, type=click.Choice(list(RELEASES)),
    help="Its operating system.  [default: debian-12, or what it has]",
)  # fmt: skip

_nodes = click.option(
    "--nodes", "servers", expose_value=False, callback=_choose, type=click.IntRange(1, MOST_SERVERS),
    help="How many servers: one with the hub, the others its nodes.  [default: 1, or as many as it has]",
)  # fmt: skip


def say(text: str) -> None:
    """Print a line about progress, to standard error."""
    echo(text, err=True)


@click.group(invoke_without_command=True)
@_name
@_os
@_nodes
@click.pass_context
def practice(context: click.Context) -> int | None:
    """Rehearse: start (or reuse) a practice server, and run every runbook against it."""
    return None if context.invoked_subcommand else rehearse(context.obj)


def rehearse(chosen: Choice) -> int:
    """Start the practice server, run the runbooks against it, and say where the time went. The exit code."""
    site_run.runbooks()  # what is wrong with them is said before a server is made
    began = time.monotonic()
    server = practice_server.up(chosen.name, chosen.os_name, say, chosen.servers)
    made = time.monotonic() - began
    code = run_site(server.site_file, "install")
    whole = time.monotonic() - began
    say(f"practice server: {made:.1f} s to start; with all runbooks {whole:.1f} s")
    if code == 0:
        info = server.info()
        options = "" if chosen.name == Choice.name else f" --name {chosen.name}"
        say(f"CA of its certificate, for a browser that is not to warn: {info['ca_bundle']}")
        say(f"come in as a student: ./hubrun launch {params_files.shown(server.site_file)} --as student1")
        say(f"remove it:            ./hubrun practice{options} down")
        click.echo(info["url"])
    return code


@practice.command()
@_name
@_os
@_nodes
@click.pass_obj
def up(chosen: Choice) -> None:
    """Start the practice server, or leave it running; nothing is installed on it."""
    server = practice_server.up(chosen.name, chosen.os_name, say, chosen.servers)
    click.echo(server.site_file)


@practice.command()
@_name
@_os
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.pass_obj
def info(chosen: Choice, as_json: bool) -> None:
    """Say where the practice server is and how to log in."""
    found = practice_server.load(chosen.name).info()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    found |= found.pop("nodes", {})
    for key, value in found.items():
        text = " ".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else value
        click.echo(f"{key:<12} {text}")


@practice.command()
@_name
@click.argument("source")
@click.pass_obj
def copy(chosen: Choice, source: str) -> None:
    """Make a copy of the practice server SOURCE as it is now, to try on it what cannot be undone."""
    practice_server.copy(source, chosen.name, say)
    say(f"start it: ./hubrun practice --name {chosen.name}")


@practice.command()
@_name
@_os
@click.pass_obj
def down(chosen: Choice) -> None:
    """Remove the practice server and everything that was made for it."""
    practice_server.down(chosen.name, say)
    say("done; the records of its runs stay")


@practice.command()
@_name
@_os
@click.pass_obj
def reset(chosen: Choice) -> None:
    """Make the practice server fresh again."""
    practice_server.reset(chosen.name, say)


@practice.command(context_settings={"ignore_unknown_options": True})
@_name
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(chosen: Choice, command: tuple[str, ...]) -> None:
    """Log in to the practice server, or run a command there."""
    practice_server.ssh(chosen.name, list(command))
