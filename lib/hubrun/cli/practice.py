"""The practice server's commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click

from hubrun import practice as practice_server
from hubrun.cli.sites import run_site
from hubrun.practice.server_images import RELEASES
from hubrun.terminal import echo

Choice = tuple[str, str | None]  # name and operating system, as given behind `practice`


def say(text: str) -> None:
    """Print a line about progress, to standard error."""
    echo(text, err=True)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--name and --os, which are understood before and behind the subcommand."""
    name = click.option("--name", help="Which practice server; several can run side by side.  [default: practice]")
    release = click.option(
        "--os",
        "os_name",
        type=click.Choice(list(RELEASES)),
        help="Its operating system.  [default: debian-12, or what it has]",
    )
    return name(release(command))


@click.group(invoke_without_command=True)
@_options
@click.pass_context
def practice(context: click.Context, name: str | None, os_name: str | None) -> int | None:
    """Rehearse: start (or reuse) a practice server, and run every runbook against it."""
    context.obj = (name or "practice", os_name)
    return None if context.invoked_subcommand else rehearse(*context.obj)


def rehearse(name: str, os_name: str | None) -> int:
    """Start the practice server, run the runbooks against it, and say where the time went. The exit code."""
    began = time.monotonic()
    server = practice_server.up(name, os_name, say)
    made = time.monotonic() - began
    code = run_site(server.site_file, "install")
    whole = time.monotonic() - began
    say(f"practice server: {made:.1f} s to start; with all runbooks {whole:.1f} s")
    if code == 0:
        info = server.info()
        say(f"CA of its certificate: {info['ca_bundle']}")
        click.echo(info["url"])
    return code


@practice.command()
@_options
@click.pass_obj
def up(chosen: Choice, name: str | None, os_name: str | None) -> None:
    """Start the practice server, or leave it running."""
    server = practice_server.up(name or chosen[0], os_name or chosen[1], say)
    click.echo(server.site_file)


@practice.command()
@_options
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.pass_obj
def info(chosen: Choice, name: str | None, os_name: str | None, as_json: bool) -> None:
    """Say where the practice server is and how to log in."""
    found = practice_server.load(name or chosen[0]).info()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for key, value in found.items():
        click.echo(
            f"{key:<12} {value if not isinstance(value, dict) else ' '.join(f'{k}={v}' for k, v in value.items())}"
        )


@practice.command()
@_options
@click.pass_obj
def down(chosen: Choice, name: str | None, os_name: str | None) -> None:
    """Remove the practice server and everything that was made for it."""
    practice_server.down(name or chosen[0], say)


@practice.command()
@_options
@click.pass_obj
def reset(chosen: Choice, name: str | None, os_name: str | None) -> None:
    """Make the practice server fresh again."""
    practice_server.reset(name or chosen[0], say)


@practice.command(context_settings={"ignore_unknown_options": True})
@click.option("--name", help="Which practice server.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(chosen: Choice, name: str | None, command: tuple[str, ...]) -> None:
    """Log in to the practice server, or run a command there."""
    practice_server.ssh(name or chosen[0], list(command))
