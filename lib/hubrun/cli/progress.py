"""What a run looks like while it goes on, on a terminal or in a log."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.status import Status
from rich.table import Table
from rich.text import Text

from hubrun.params import Site
from hubrun.records.ledger.manifest import Record, RunbookRecord, Step
from hubrun.records.ledger.steps import Listener
from hubrun.records.ledger.summary import Change, changes, is_operation, seen
from hubrun.records.pages.terminal_tables import STYLE
from hubrun.records.run.site_run import Run
from hubrun.redaction.secret import Secret
from hubrun.terminal import Terminal

# In a log, where no line can be updated in place, a sign of life after so many seconds without one: never 10 of them.
SIGN_OF_LIFE = 8.5


class Progress:
    """A line for each step when it ends; below it, what goes on now."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.console = Terminal(stderr=True)
        self._status: Status | None = None
        self._said = time.monotonic()
        self._began = 0.0
        self._what, self._since = "", 0.0  # what goes on now, and since when
        self._pulse: threading.Thread | None = None

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show that `text` goes on for as long as the block runs."""
        self.now(text, first=True)
        try:
            yield
        finally:
            self._stop()

    def listen(self, book: RunbookRecord) -> Listener:
        """The listener for one runbook; its heading is printed."""
        self.console.print(Text(book.name, style="bold"))
        self.now("starting the notebook's kernel", first=True)
        return Listener(self._started, self.now, self._ended)

    def _started(self, title: str) -> None:
        self._began = time.monotonic()
        self.now(title, first=True)

    def _ended(self, step: Step) -> None:
        self._stop()
        line = Text.assemble(
            ("  "),
            (f"{step.status:<12}", STYLE[step.status]),
            f" {step.title:<44}",
            f" {step.seconds:6.1f} s  ",
            (seen(step), "dim"),
        )
        self.console.print(line, soft_wrap=True)
        for note in step.notes:
            self.warn(f"  note: {note}")
        self._said = time.monotonic()

    def now(self, text: str, first: bool = False) -> None:
        """Show what goes on now. first: it begins now."""
        text = Secret.redact(text)
        if text != self._what:
            self._what, self._since = text, time.monotonic()
        if self.console.is_terminal:
            if self._status is None:
                self._status = self.console.status(Text(text))
                self._status.start()
            self._status.update(Text(text[: self.console.width - 4]))
        elif first and self._began == 0.0 or time.monotonic() - self._said > SIGN_OF_LIFE:
            self._still(text)
        if self._pulse is None and not self.console.is_terminal:
            self._pulse = threading.Thread(target=self._beat, daemon=True)
            self._pulse.start()

    def _beat(self) -> None:
        """Say what is waited for when nobody else says anything."""
        while True:
            time.sleep(0.5)
            what, since = self._what, time.monotonic() - self._since
            if what and time.monotonic() - self._said > SIGN_OF_LIFE:
                self._still(f"{what} (for {since:.0f} s now)")

    def _still(self, text: str) -> None:
        self.console.print(Text(f"  …            {text}"), soft_wrap=True)
        self._said = time.monotonic()

    def _stop(self) -> None:
        self._what = ""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def end(self, run: Run, site_file: Path, overrides: Mapping[str, str] | None = None) -> None:
        """The last lines: how long each part took, what failed and how to go on, where the record is.

        overrides: what was given with --set: whoever goes on needs it again.
        """
        self._stop()
        record = run.record
        table = Table(box=None, padding=(0, 2), show_header=False)
        for book in record.runbooks:
            took = f"{book.seconds:.1f} s" if book.status != "not run" else ""
            table.add_row(book.name, Text(book.status, style=STYLE[book.status]), took)
        self.console.print(table)
        for kept in run.recovered:
            self._say(f"an earlier run had been killed; its record was closed: {kept.folder}")
        if record.status in ("failed", "interrupted"):
            self._say(f"{record.status}: {record.reason}", "bold red")
            given = (f" --set {name}={shlex.quote(value)}" for name, value in (overrides or {}).items())
            self._say(f"to go on: {_again(record, site_file)}{''.join(given)}")
        if record.mode == "check":
            for change in changes(record):
                self._change(change)
        if run.rescued:
            self.warn(f"the record could not be written to {run.folder}; it is in {run.rescued}")
        elif not run.closed:
            self.warn(f"the record could not be written to the end, here or in a temporary folder: {run.folder}")
        self._say(f"record: {run.rescued or run.folder}")
        signer = record.signer
        self._say(f"signed by {signer.fingerprint}" if not signer.unsigned else f"not signed: {signer.unsigned}", "dim")
        if record.status not in ("failed", "interrupted"):
            what = {
                "ok": "nothing to do",
                "changed": "done",
                "would change": "something to do, nothing was touched",
                "not run": "nothing was run",
            }.get(record.status, record.status)
            self._say(f"{record.site}: {what}, in {record.seconds:.1f} s", "bold")
        if record.status == "would change":
            operation = is_operation(record)
            self._say(
                f"to do it: the same command {'without --check' if operation else 'with install in place of plan'}"
            )

    def _change(self, change: Change) -> None:
        """One thing that would change, and where its present state came from."""
        self._say(f"{change.status}: {change.place}: {change.resource}", STYLE[change.status])
        for action in change.actions:
            self._say(f"    {action}")
        if change.origin:
            self._say(f"    {change.origin}", "dim")

    def tell(self, text: str) -> None:
        """A line about what begins; the one who looks at it may see a secret of this run, such as an address with a token."""
        self.console.print(Text(text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line that must not be missed."""
        self._say(text, "bold red")

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(Text(Secret.redact(text), style=style), soft_wrap=True)


def _again(record: Record, site_file: Path) -> str:
    """The command that goes on with a run that did not end well."""
    check = record.mode == "check"
    if is_operation(record):
        return f"./hubrun run {record.runbooks[0].name} {site_file}" + (" --check" if check else "")
    again = {"check": "plan", "interactive": "lab"}.get(record.mode, "install")
    return f"./hubrun {again} {site_file}" + (" --resume" if record.mode == "install" else "")
