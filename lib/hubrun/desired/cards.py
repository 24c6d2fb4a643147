"""How results and checks look: a compact card in JupyterLab, text in a terminal."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from hubrun.control_characters import plain
from hubrun.desired.resource import Result
from hubrun.redaction.redact import HERE
from hubrun.redaction.secret import Secret

MIME = "application/vnd.hubrun+json"
_COLOUR = {
    "ok": "#1a7f37",
    "changed": "#9a5b00",
    "would change": "#0550ae",
    "failed": "#b3261e",
    "interrupted": "#b3261e",
    "not run": "#57606a",
    "not checked": "#57606a",
}
_CELL = "padding:.15em .6em;vertical-align:top;text-align:left"


@dataclass(frozen=True)
class Row:
    """One line of a card: its status, what it is about, what was seen. `more` and `log` are folded away."""

    status: str
    what: str
    seen: str = ""
    more: str = ""
    log: str = ""


@dataclass
class Card:
    """A titled table of rows. `data` is the same for machines, kept in the record beside what people see."""

    title: str
    rows: Sequence[Row]
    data: dict[str, Any] = field(default_factory=dict)

    @override
    def __str__(self) -> str:
        width = max((len(row.status) for row in self.rows), default=0)
        lines = [self.title]
        for row in self.rows:
            lines.append(f"  {row.status:<{width}}  {row.what}" + (f"  ({row.seen})" if row.seen else ""))
            if row.status in ("failed", "interrupted", "would change", "changed"):
                lines += [f"      {line}" for line in row.more.splitlines()]
            if row.status in ("failed", "interrupted"):
                lines += [f"      {line}" for line in row.log.splitlines()[-30:]]
        return plain(Secret.redact("\n".join(lines)))

    def _html(self) -> str:
        rows = "".join(
            f"<tr><td style='{_CELL};color:{_COLOUR.get(row.status, 'inherit')};white-space:nowrap'><b>{row.status}</b></td>"
            f"<td style='{_CELL}'>{_escaped(row.what)}{self._more(row)}</td>"
            f"<td style='{_CELL};white-space:nowrap'>{_escaped(row.seen)}</td></tr>"
            for row in self.rows
        )
        return f"<div><b>{_escaped(self.title)}</b><table style='margin:.3em 0;border-collapse:collapse'>{rows}</table></div>"

    @staticmethod
    def _more(row: Row) -> str:
        folded = "\n".join(part for part in (row.more, row.log) if part)
        if not folded:
            return ""
        opened = " open" if row.status in ("failed", "interrupted") else ""
        return (
            f"<details{opened}><summary>details</summary>"
            f"<pre style='white-space:pre-wrap;margin:.2em 0'>{_escaped(folded)}</pre></details>"
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": str(self), "text/html": self._html()}
        if self.data:
            bundle[MIME] = HERE.data(self.data)
        return bundle


def _escaped(text: str) -> str:
    # In this order: escaped, a secret with & or < in it would not be found any more.
    return html.escape(Secret.redact(text))


def results_card(results: Sequence[Result], seconds: float) -> Card:
    """The card of one `ensure`: each resource, its status, diff, commands and log."""
    counts = {status: sum(result.status == status for result in results) for status in _COLOUR}
    title = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing to do"
    rows = []
    for result in results:
        parts = []
        for action in result.actions:
            parts.append(f"# {action.title}\n$ {(action.shown or action.script).strip()}")
            if action.diff:
                parts.append(action.diff)
        seen = f"{result.seconds:.1f} s" if result.actions else ""
        rows.append(Row(result.status, result.label, seen, "\n".join(parts), final_text(result.log)))
    return Card(f"{title} in {seconds:.1f} s", rows, {"results": [result.summary() for result in results]})


def final_text(log: str) -> str:
    """A log as a terminal shows it in the end: of a line that was overwritten (carriage return), its last state."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in log.split("\n") if line.strip())


class ProgressLine:
    """A line of progress that is updated in place and gives way to the final card.

    In a notebook it is one output that changes; on a terminal one line on standard error.
    """

    def __init__(self) -> None:
        self._handle = _notebook_display()
        self._shown = 0.0
        self._line = ""

    def line(self, text: str) -> None:
        """Show `text` as what goes on now; at most four updates a second get through."""
        text = plain(Secret.redact(text.strip()))[:160]
        now = time.monotonic()
        if not text or text == self._line or now - self._shown < 0.25:
            return
        self._line, self._shown = text, now
        if self._handle:
            self._handle({"text/plain": text}, raw=True)
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text[:100]}")
            sys.stderr.flush()

    def finish(self, card: Card) -> None:
        """Show the card in place of the line."""
        if self._handle:
            self._handle(card._repr_mimebundle_(), raw=True)
            return
        if self._line and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        print(card)


def _notebook_display() -> Callable[..., Any] | None:
    """A function that shows and then updates one output, or None outside a notebook."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    if get_ipython() is None or not hasattr(get_ipython(), "kernel"):
        return None
    handle: list[Any] = []

    def show(bundle: dict[str, Any], raw: bool) -> None:
        if handle:
            handle[0].update(bundle, raw=raw)
        else:
            handle.append(display(bundle, raw=raw, display_id=True))

    return show
