"""`./hubrun status`: how the servers are, in one look at each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from hubrun import atomic_write, params
from hubrun.cli.status_report import COLUMNS, SIGNS, WORDS, SiteStatus
from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.secret import Secret
from hubrun.terminal import Terminal

_STYLE = {0: "green", 1: "yellow", 2: "bold red", 3: "bold red"}
_AT_ONCE = 16
# The server's own look ends before.
_SECONDS = 40
_MOST = 10


class _Status(click.Command):
    """Whatever keeps it from looking ends with 3: 2 says that something is broken."""

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            error.exit_code = 3  # type: ignore[misc]  # click has it on the class
            raise


@click.command(cls=_Status)
@click.argument("site_files", metavar="params/SITE.yaml...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Write it as a page, too.")
def status(site_files: tuple[Path, ...], as_json: bool, page: Path | None) -> int:
    """Say how the servers are, what is wrong and what to do, and who uses how much. Changes nothing, and leaves no record.

    Ends as plugins of monitors do: 0 fine, 1 warning, 2 broken, 3 not reached; the worst of several sites.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(look, site_files))
    if page:
        _write(page, found)
    if as_json:
        click.echo(json.dumps({str(each.file): each.data() for each in found}, indent=2))
    else:
        # In a file or a pipe nothing is cut off at a width that nobody has.
        console = Terminal()
        (console if console.is_terminal else Terminal(width=160)).print(shown(found))
    return max(each.code for each in found)


def look(file: Path) -> SiteStatus:
    """Ask the server of one site how it is, in one round trip."""
    from hubrun import server_paths
    from hubrun.shell import quote
    from hubrun.ssh.session import Session  # slow to import: `hubrun --help` must not wait for it

    name = file.stem
    try:
        site = params.load(file)
        name = site.site
        session = Session.open(site)
        try:
            [said] = session.ask([quote(f"{server_paths.program('status')} {{}}", site.domain)], _SECONDS)
        finally:
            session.close()
    except HubrunError as error:
        return SiteStatus(file, name, Secret.redact(str(error)).removeprefix(f"{file}: "))
    try:
        answer = json.loads(said.stdout)
        return SiteStatus(file, name, "", answer["seen"], answer["troubles"])
    except (ValueError, LookupError, TypeError):
        text = "it does not say how it is: it was not set up by this version, or is too busy to answer"
        do = f"Log in and look by hand, or run ./hubrun install {file}"
        return SiteStatus(file, name, troubles=[{"key": "status", "level": "broken", "text": text, "do": do}])


def shown(found: Sequence[SiteStatus]) -> RenderableType:
    """For a terminal: of one site everything, of several a table; below, a line for each trouble."""
    if len(found) == 1:
        return _one(found[0])
    table = _table("site", "status", *COLUMNS)
    for each in found:
        facts = each.facts()
        table.add_row(each.site, _word(each.code), *(facts.get(name, "") for name in COLUMNS))
    return Group(table, *(line for each in found for line in _lines(each, f"{each.site}: ")))


def _one(found: SiteStatus) -> RenderableType:
    parts: list[RenderableType] = [Text.assemble((f"{found.site}: ", "bold"), _word(found.code)), *_lines(found, "")]
    facts = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    if found.seen:
        for name, says in found.facts().items():
            facts.add_row(Text(name, "dim"), Text(says))
        parts.append(facts)
    for each in found.tables(_MOST):
        table = _table(*each.columns, numbers=each.numbers)
        for row in each.rows:
            table.add_row(*map(Text, row))
        parts += [Text(f"\n{each.title}", "bold"), table]
    return Group(*parts)


def _lines(found: SiteStatus, before: str) -> list[Text]:
    return [
        Text(f"{SIGNS[code]} {before}{WORDS[code]}: {text}" + (f". {do}" if do else ""), _STYLE[code])
        for code, text, do in found.lines
    ]


def _word(code: int) -> Text:
    return Text(f"{SIGNS[code]} {WORDS[code]}", _STYLE[code])


def _table(*columns: str, numbers: int = 0) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(columns):
        table.add_column(name, overflow="fold", justify="right" if place >= len(columns) - numbers else "left")
    return table


def _write(page: Path, found: Sequence[SiteStatus]) -> None:
    from hubrun.records.pages import rendering  # slow to import

    try:
        # Names of people: for the account alone that asked.
        atomic_write.write(page, rendering.page("status.html", sites=found, signs=SIGNS, words=WORDS).encode(), 0o600)
    except OSError as error:
        problem = BadInput(f"cannot be written: {error.strerror}", str(page), "Give another file")
        problem.exit_code = 3  # type: ignore[misc]
        raise problem from None
