"""What a run looks like while it goes on, on a terminal or in a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from hubrun.params import Site
from hubrun.record.run import Part, Run
from hubrun.record.steps import Listener, Step

STYLE = {
    "ok": "green",
    "changed": "yellow",
    "would change": "blue",
    "not checked": "dim",
    "failed": "bold red",
    "interrupted": "bold red",
}
# In a log, where no line can be updated in place, a sign of life at least this often, in seconds.
SIGN_OF_LIFE = 10


class Progress:
    """A line for each step when it ends; below it, what goes on now."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.console = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._said = time.monotonic()
        self._began = 0.0

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show that `text` goes on for as long as the block runs."""
        self._now(text, first=True)
        try:
            yield
        finally:
            self._stop()

    def listen(self, part: Part) -> Listener:
        """The listener for one runbook; its heading is printed."""
        self.console.print(Text(part.name, style="bold"))
        self._now("starting the notebook's kernel", first=True)
        return Listener(self._started, self._progress, self._ended)

    def _started(self, step: Step) -> None:
        self._began = time.monotonic()
        self._now(step.title, first=True)

    def _progress(self, line: str) -> None:
        self._now(line)

    def _ended(self, step: Step) -> None:
        self._stop()
        count = {status: sum(result["status"] == status for result in step.results) for status in STYLE}
        seen = ", ".join(f"{number} {status}" for status, number in count.items() if number)
        if step.checks:
            good = sum(check["ok"] for check in step.checks)
            seen = ", ".join(filter(None, [seen, f"{good} of {len(step.checks)} checks"]))
        if step.unchecked:
            seen = ", ".join(filter(None, [seen, f"{len(step.unchecked)} checks left for later"]))
        line = Text.assemble(
            ("  "),
            (f"{step.status:<12}", STYLE[step.status]),
            f" {step.title:<44}",
            f" {step.seconds:6.1f} s  ",
            (seen, "dim"),
        )
        self.console.print(line, soft_wrap=True)

    def _now(self, text: str, first: bool = False) -> None:
        if self.console.is_terminal:
            if self._status is None:
                self._status = self.console.status(Text(text))
                self._status.start()
            self._status.update(Text(text[: self.console.width - 4]))
        elif first and self._began == 0.0 or time.monotonic() - self._said > SIGN_OF_LIFE:
            self.console.print(Text(f"  …            {text}"), soft_wrap=True)
        else:
            return
        self._said = time.monotonic()

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def end(self, run: Run, site_file: Path) -> None:
        """The last lines: how long each part took, what failed and how to go on, where the record is."""
        self._stop()
        table = Table(box=None, padding=(0, 2), show_header=False)
        for part in run.parts:
            table.add_row(part.name, Text(part.status, style=STYLE[part.status]), f"{part.seconds:.1f} s")
        self.console.print(table)
        last = run.parts[-1] if run.parts else None
        if last and last.status == "failed":
            step = last.steps[-1].title if last.steps else "start of the kernel"
            self.console.print(Text(f"failed: {last.name}, {step}: {last.error}", style="bold red"), soft_wrap=True)
            self.console.print(
                f"to go on: ./hubrun {'plan' if run.mode == 'check' else 'install'} {site_file} --from {last.name[:2]}",
                soft_wrap=True,
            )
        self.console.print(f"record: {run.folder}", soft_wrap=True)
        if last and last.status != "failed":
            what = {
                "ok": "nothing to do",
                "changed": "done",
                "would change": "something to do, nothing was touched",
            }.get(run.status, run.status)
            self.console.print(Text(f"{run.site.site}: {what}, in {run.seconds:.1f} s", style="bold"), soft_wrap=True)
