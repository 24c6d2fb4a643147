"""The pages of the reference that are made from the program: commands, parameters, pages for refused launches.

`./hubrun docs` writes them anew, and a test holds those in the repository against the program.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from hubrun.cli.main import hubrun
from hubrun.desired.diagnosis import launch_cause
from hubrun.environment import PROJECT
from hubrun.params import documentation
from hubrun_hub.lti.pages import PAGES

FOLDER = PROJECT / "docs" / "reference"
# What the bootstrap runs itself, for those who work on the project; its help needs no .venv.
OF_THE_PROJECT = ("docs", "test")
_COLUMNS = 100
_MADE = "<!-- Made by docs/reference_pages.py: ./hubrun docs -->"


def pages() -> dict[Path, str]:
    """File → text of each generated page."""
    made = {"commands": commands(), "parameters": parameters(), "refused-launches": refused_launches()}
    return {FOLDER / f"{name}.md": text for name, text in made.items()}


def commands() -> str:
    """The help of each command, as it prints it."""
    parts = [
        "# Commands", _MADE, "`./hubrun COMMAND --help` prints the same. [Exit codes](exit-codes.md) have a page of their own.",
    ]  # fmt: skip
    parts += [_section(name, text) for name, text in _helps(hubrun, "./hubrun", None)]
    for name in OF_THE_PROJECT:
        done = subprocess.run([PROJECT / "hubrun", name, "--help"], capture_output=True, text=True, check=True)
        parts.append(_section(f"./hubrun {name}", done.stdout))
    return "\n\n".join(parts) + "\n"


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Name and help of a command and of those below it."""
    context = command.context_class(
        command, parent=parent, info_name=name, terminal_width=_COLUMNS, **command.context_settings
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _helps(command.commands[each], each, context)


def _section(name: str, text: str) -> str:
    return f"## `{name}`\n\n```text\n{text.strip()}\n```"


def parameters() -> str:
    """Each parameter of a site, in the groups of params/example.yaml."""
    head, rule, *rows = documentation.table().splitlines()
    lines = [
        "# Parameters", "", _MADE, "",
        "A site is one flat YAML file in `params/`. `params/example.yaml` holds all of this as a file to fill in; "
        "`./hubrun params` prints it. \"Used by\" names the runbooks that read a parameter: after you change it, run those.",
    ]  # fmt: skip
    for row in rows:
        name = row.split("`")[1]
        if name in documentation.GROUPS:
            lines += ["", f"## {documentation.GROUPS[name]}", "", head, rule]
        lines.append(row)
    return "\n".join(lines) + "\n"


def refused_launches() -> str:
    """Each page that refuses a launch: its word, what it tells people, and what the operator does about it."""
    lines = [
        "# Pages for refused launches", "", _MADE, "",
        "Each page shows its word, and so does the hub's log: `journalctl -u jupyterhub | grep 'LTI launch'`. "
        "[When a launch fails](../how-to/launch-fails.md) says where to begin.", "",
        "| word | status | what people read | what you do |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for reason, page in PAGES.items():
        shown = page.of("your LMS")
        read = f"**{shown.title}.** {shown.what} *{shown.advice}*"
        lines.append(
            f"| `{reason.value}` | {page.status} | {read} | {launch_cause(page.status, False, reason.value)} |"
        )
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write the pages that differ from the program."""
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
