"""How results and checks look: a compact card in JupyterLab, text in a terminal."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from typing_extensions import override

from hubrun.control_characters import plain
from hubrun.desired.resource import Result
from hubrun.errors import BadInput, HubrunError
from hubrun.redaction.redact import HERE
from hubrun.redaction.secret import Secret

MIME = "application/vnd.hubrun+json"
# Colours of a bar beside the status, which says the same in words. Text keeps the colour of the page around it, so that
# it can be read in every theme; a bar needs 3:1 against the light and the dark ones (WCAG 2.2, 1.4.11).
COLOURS = {
    "ok": "#2b9348",
    "changed": "#b8770f",
    "would change": "#2f81f7",
    "failed": "#e5484d",
    "interrupted": "#e5484d",
    "not run": "#7d8590",
    "not checked": "#7d8590",
}
# Of a log so many lines are kept: its beginning, and its end, where the reason stands.
_FIRST, _LAST = 40, 160
_CELL = "padding:.15em .6em;vertical-align:top;text-align:left"
# For who listens to the page; where styles are taken out (GitHub), everybody sees it.
_HEARD = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap"


@dataclass(frozen=True)
class Row:
    """One line of a card: its status, what it is about, what was seen.

    `more` and `log` are folded away; `said` is not. A word that is no status names what stands beside it.
    """

    status: str
    what: str
    seen: str = ""
    more: str = ""
    log: str = ""
    said: str = ""


@dataclass
class Card:
    """A titled table of rows. `data` is the same for machines, kept in the record beside what people see.

    columns: what the three columns hold; "" for a third that is empty. note: what to do next, below the table.
    """

    title: str
    rows: Sequence[Row]
    data: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, str, str] = ("status", "what", "seen")
    note: str = ""

    @override
    def __str__(self) -> str:
        width = max((len(row.status) for row in self.rows), default=0)
        lines = [self.title]
        for row in self.rows:
            lines.append(f"  {row.status:<{width}}  {row.what}" + (f"  ({row.seen})" if row.seen else ""))
            lines += [f"      {line}" for line in row.said.splitlines()]
            if row.status in ("failed", "interrupted", "would change", "changed"):
                lines += [f"      {line}" for line in row.more.splitlines()]
            if row.status in ("failed", "interrupted"):
                lines += [f"      {line}" for line in row.log.splitlines()[-30:]]
        lines += [self.note] if self.note else []
        return plain(Secret.redact("\n".join(lines)))

    def _html(self) -> str:
        heads = "".join(
            f"<th scope='col' style='padding:0'><span style='{_HEARD}'>{name}</span></th>"
            for name in self.columns
            if name
        )
        caption = (
            f"<caption style='caption-side:top;text-align:left;padding:.2em 0'><b>{_escaped(self.title)}</b></caption>"
        )
        table = (
            f"<table style='margin:.3em 0;border-collapse:collapse'>{caption}<thead><tr>{heads}</tr></thead>"
            f"<tbody>{''.join(map(_row, self.rows))}</tbody></table>"
        )
        note = f"<p style='margin:.3em 0'><b>{_escaped(self.note)}</b></p>" if self.note else ""
        return f"<div>{table}{note}</div>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": str(self), "text/html": self._html()}
        if self.data:
            bundle[MIME] = HERE.data(self.data)
        return bundle


def _row(row: Row) -> str:
    colour = COLOURS.get(row.status)
    bar = f"border-left:.35em solid {colour};" if colour else ""
    first, second = ("td", "th") if colour else ("th", "td")
    below = _lines(row.said) + _folded(row)
    tops = (
        f"<{first}{_SCOPE[first]} style='{bar}{_CELL};white-space:nowrap'><b>{_escaped(row.status)}</b></{first}>"
        f"<{second}{_SCOPE[second]} style='{_CELL};font-weight:normal'>{_escaped(row.what)}</{second}>"
        f"<td style='{_CELL};white-space:nowrap'>{_escaped(row.seen)}</td>"
    )
    under = (
        f"<tr style='background:none'><td style='{bar}{_CELL}'></td><td colspan='2' style='{_CELL}'>{below}</td></tr>"
        if below
        else ""
    )
    return f"<tr style='background:none'>{tops}</tr>{under}"


# The attribute `align` is old, and outlives GitHub's sanitizer.
_SCOPE = {"th": " scope='row' align='left'", "td": ""}


def _lines(text: str) -> str:
    return "".join(f"<div>{_escaped(line)}</div>" for line in text.splitlines())


def _folded(row: Row) -> str:
    parts = {"details": row.more, "log": bounded(row.log)}
    return "".join(
        f"<details><summary>{name}<span style='{_HEARD}'> of {_escaped(row.what)}</span></summary>"
        f"<pre style='white-space:pre-wrap;margin:.2em 0'>{_escaped(text)}</pre></details>"
        for name, text in parts.items()
        if text
    )


def _escaped(text: str) -> str:
    # In this order: escaped, a secret with & or < in it would not be found any more.
    return html.escape(Secret.redact(text))


def bounded(log: str) -> str:
    """A log of at most some 200 lines: of a longer one the beginning and the end, with what is left out said."""
    lines = log.splitlines()
    left_out = len(lines) - _FIRST - _LAST
    if left_out <= 0:
        return log
    return "\n".join([*lines[:_FIRST], f"… {left_out} lines left out …", *lines[-_LAST:]])


def results_card(
    results: Sequence[Result],
    seconds: float,
    note: str = "",
    error: HubrunError | None = None,
    news: Sequence[str] = (),
) -> Card:
    """The card of one `ensure`: each resource, its status, diff, commands and log. error: what ended it, if anything. news: what
    became known meanwhile of something else."""
    counts = {status: sum(result.status == status for result in results) for status in COLOURS}
    title = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing to do"
    rows = []
    for result in results:
        parts = []
        for action in result.actions:
            parts.append(f"# {action.title}\n$ {(action.shown or action.script).strip()}")
            if action.diff:
                parts.append(action.diff)
        seen = f"{result.seconds:.1f} s" if result.seconds else ""
        said = ""
        if error and result.status in ("failed", "interrupted"):
            said = _said(error)
            parts += [error.detail] if error.detail not in result.log else []
        rows.append(Row(result.status, result.label, seen, "\n".join(parts), final_text(result.log), said))
    if any(result.status == "interrupted" for result in results):
        note = "Run this cell again: it carries on from what is there."
    if error:
        note = what_next(error)
        if not any(row.said for row in rows):
            title, rows = "failed", [error_row(error), *rows]
    rows += [Row("note", text) for text in news]
    data = {"results": [result.summary() for result in results]} | ({"notes": list(news)} if news else {})
    return Card(f"{title} in {seconds:.1f} s", rows, data, ("status", "resource", "time"), note)


def error_row(error: HubrunError) -> Row:
    """The line of a card for an error that is about no resource: what failed, where, and what to do."""
    return Row(
        "failed", error.where or error.what, log=error.detail, said=_said(error) if error.where else _to_do(error)
    )


def what_next(error: HubrunError) -> str:
    """How to go on after an error, in one sentence."""
    if isinstance(error, BadInput):
        return "Nothing was changed by this cell. Correct that, then run this cell again; for a parameter, its own cell first."
    return "Repair that, then run this cell again: it carries on from what is there."


def _said(error: HubrunError) -> str:
    return "\n".join(filter(None, (error.what, _to_do(error))))


def _to_do(error: HubrunError) -> str:
    return f"To do: {error.remedy}" if error.remedy else ""


def final_text(log: str) -> str:
    """A log as a terminal shows it in the end: of a line that was overwritten (carriage return), its last state."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in log.split("\n") if line.strip())


class Live(Protocol):
    """Where a line of progress goes."""

    def line(self, title: str, detail: str = "") -> None:
        """What goes on now. detail: what changes all the time."""


class ProgressLine:
    """A line of progress that is updated in place and gives way to the final card.

    In a notebook it is one output that changes; on a terminal one line on standard error.
    """

    def __init__(self) -> None:
        self._handle = _notebook_display()
        self._shown = 0.0
        self._line = ""

    def line(self, title: str, detail: str = "") -> None:
        """Show what goes on now; at most four updates a second get through. detail: what changes all the time, and is
        seen, and not read out by a screen reader."""
        title, detail = (plain(Secret.redact(part.strip()))[:160] for part in (title, detail))
        live = f"<span role='status'>{html.escape(title)}</span> <span aria-hidden='true'>{html.escape(detail)}</span>"
        self._show(f"{title} {detail}".strip(), f"<div>{live}</div>")

    def lines(self, each: Sequence[str]) -> None:
        """Show several things that go on at once, a line for each; on a terminal they share one."""
        texts = [plain(Secret.redact(text.strip()))[:160] for text in each]
        self._show(" | ".join(texts), "".join(f"<div>{html.escape(text)}</div>" for text in texts))

    def _show(self, text: str, page: str) -> None:
        now = time.monotonic()
        if not text or text == self._line or now - self._shown < 0.25:
            return
        self._line, self._shown = text, now
        if self._handle:
            self._handle({"text/plain": text, "text/html": page}, raw=True)
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
