"""What a server or a record says gives no orders to the operator's terminal, through whichever command it gets there."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from books import book, install, result
from hubrun.cli import launch, main, many_sites, progress, sites
from hubrun.cli.records import records
from hubrun.control_characters import plain
from hubrun.desired.cards import Card, ProgressLine, Row
from hubrun.desired.cell_errors import error_line
from hubrun.errors import CommandFailed
from hubrun.params import Site
from hubrun.terminal import Terminal, echo, show_uncaught

# Retitle the window, write to the clipboard, hide the line, the same in one character of C1, and turn the text around.
HOSTILE = "a\x1b]0;owned\x07b\x1b]52;c;ZXZpbA==\x07c\x1b[2K\x1b[1Ad\x9b31me\u202ef\x08g\x00h\u2028i[link=https://evil]j[/link][/x]"
ORDERS = set("\x1b\x07\x9b\u202e\x08\x00\u2028\x9d")


def harmless(text: str) -> bool:
    """Whether nothing in it gives orders."""
    return not ORDERS & set(text)


def test_newlines_tabs_and_other_scripts_stay() -> None:
    assert plain("a\n\tb 張 é \U0001f600 עברית") == "a\n\tb 張 é \U0001f600 עברית"
    assert plain("\x1b[1;31mred\x1b[0m \x1b[m") == "red "
    assert plain("\x1b[2J\x9b\u202e\r\x7f\ud800") == r"\x1b[2J\x9b\u202e\r\x7f\ud800"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_neutralises_what_is_shown_however_it_is_wrapped(terminal: bool) -> None:
    file = io.StringIO()
    console = Terminal(file=file, force_terminal=terminal, color_system=None, width=300)
    table = Table(HOSTILE)
    table.add_row(HOSTILE, Text(HOSTILE))
    for each in (HOSTILE, Text(HOSTILE, style="bold red"), table):
        console.print(each, soft_wrap=True)
    assert harmless(file.getvalue()) and "[link=https://evil]" in file.getvalue()


def test_the_line_of_progress_is_text() -> None:
    file = io.StringIO()
    show = progress.Progress(Site(site="bio", domain="hub.example.edu"))
    show.console = Terminal(file=file, force_terminal=True, color_system=None, width=200)
    with show.waiting(HOSTILE):
        show.now(HOSTILE)
    show.warn(HOSTILE)
    # What moves the cursor is the program's own.
    own = (
        file.getvalue().replace("\x1b[?25l", "").replace("\x1b[?25h", "").replace("\x1b[2K", "").replace("\x1b[1A", "")
    )
    assert "owned" in own and not {"\x07", "\x9b", "\u202e", "\x00"} & set(own) and "\x1b]" not in own


def test_errors_cards_and_what_nobody_caught(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE, err=True)
    ProgressLine().finish(Card(HOSTILE, [Row("failed", HOSTILE, HOSTILE, HOSTILE, HOSTILE)]))
    try:
        raise RuntimeError(HOSTILE)
    except RuntimeError:
        show_uncaught(*sys.exc_info())  # type: ignore[arg-type]
    out = capsys.readouterr()
    assert harmless(out.out + out.err) and out.err.count("owned") == 2
    assert harmless(error_line(CommandFailed(HOSTILE, HOSTILE, HOSTILE, HOSTILE)))


@pytest.fixture(scope="module")
def hostile_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a run in which every text that a server can say is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    made = book(
        folder, "01_look", ("A step", [result(HOSTILE, "changed")]), ("Fails", [f"raise RuntimeError({HOSTILE!r})"])
    )
    install(folder / "records", [made])
    for path in folder.rglob("manifest.json"):
        data = json.loads(path.read_text())
        said = data["predicate"]
        said["server"] = {"os": HOSTILE, "name": HOSTILE, "hostname": HOSTILE, "host_key": HOSTILE}
        said["reason"] = said["runbooks"][0]["reason"] = HOSTILE
        said["operator"] = {**said["operator"], "login": HOSTILE, "host": HOSTILE}
        said["packages"]["after"] = {HOSTILE: HOSTILE}
        path.write_text(json.dumps(data))
    return folder / "records"


@pytest.mark.parametrize("command", ["list", "show", "diff", "verify"])
def test_records_of_a_hostile_server_can_be_looked_at(hostile_records: Path, command: str) -> None:
    (run,) = [path.parent for path in hostile_records.rglob("manifest.json")]
    which = {"show": [run.name], "diff": [run.name, run.name]}.get(command, [])
    done = CliRunner().invoke(records, [command, "--records", str(hostile_records), *which])
    assert done.output and harmless(done.output), repr(done.output)
    assert done.exception is None or not isinstance(done.exception, (UnicodeError, AttributeError)), done.exception


def test_several_sites_and_a_launch(capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    job = many_sites.Job(Path("bio.yaml"), status="running", began=1.0)
    console = Terminal(file=file, width=200)
    job.said = 0
    many_sites._hear(job, f"hubrun: failed {HOSTILE}", console)
    console.print(many_sites._progress([job]))
    console.print(many_sites._table([job]))
    launch.echo(HOSTILE, err=True)
    assert harmless(file.getvalue() + capsys.readouterr().err) and "owned" in file.getvalue()


@pytest.mark.parametrize("command", ["install", "plan"])
def test_an_error_of_a_command_is_text(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> Callable[..., int]:
        raise CommandFailed(HOSTILE, HOSTILE, HOSTILE, f"{HOSTILE}\n{HOSTILE}")

    monkeypatch.setattr(sites, "run_site", fails)
    monkeypatch.setattr(sys, "argv", ["hubrun", command, str(tmp_path / "a.yaml")])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit):
        main.main()
    said = capsys.readouterr().err
    assert said.count("owned") == 5 and harmless(said)
