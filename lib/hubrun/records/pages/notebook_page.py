"""An executed notebook as HTML, by nbconvert. What its outputs hold comes from elsewhere, and is shown without power."""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import bleach

from hubrun.records.ledger import summary
from hubrun.records.ledger.manifest import Tick
from hubrun.records.pages import rendering

_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h1", "h2",
    "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "summary",
    "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": ["href", "title"], "details": ["open"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan", "scope"], "ol": ["start"],
    **{f"h{level}": ["id"] for level in range(1, 7)},
}  # fmt: skip
# What an output is shown as: the first of these that it has. Neither JavaScript nor widgets.
_SHOWN = [
    "text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain",
    "application/scrapbook.scrap.json+json", "application/scrapbook.scrap.text+json",
]  # fmt: skip
_STATUS = re.compile(rf"<td><b>({'|'.join(rendering.SIGNS)})</b></td>")


def body(path: Path) -> str:
    """The cells of the notebook at `path`, each with its status, as a part of a page.

    Raises Exception of many kinds for what is not a notebook.
    """
    import nbformat

    nb = nbformat.read(path, as_version=4)
    # Missing when no kernel ever answered.
    nb.metadata.setdefault("language_info", {"name": "python"}).setdefault("pygments_lexer", "ipython3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nbconvert, of outputs that are for machines only
        made, _ = _exporter().from_notebook_node(nb)
    return str(made)


# A line of a checklist, as nbconvert's Markdown has it.
_TICK = re.compile(r'<input class="task-list-item-checkbox"[^>]*>')


def cleaned_html(text: str) -> str:
    """HTML without scripts, styles, frames, images and handlers; what is left out is shown as text.

    Our own cards go the same way: nothing tells them from what was made to look like them.
    """
    text = _TICK.sub(lambda found: "☑ " if "checked" in found[0] else "☐ ", text)
    clean = bleach.clean(text, tags=_TAGS, attributes=_ATTRIBUTES)
    return _STATUS.sub(lambda found: f"<td>{rendering.status(found[1])}</td>", clean)


@cache
def _exporter() -> Any:
    from nbconvert.exporters import HTMLExporter  # takes a second: only who makes pages waits for it
    from traitlets.config import Config

    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": _SHOWN}}),
        template_name="notebook",
        extra_template_basedirs=[str(rendering.TEMPLATES)],
        sanitize_html=True,  # keeps scripts and widgets out; what HTML is shown goes through `cleaned_html`
        exclude_anchor_links=True,
    )
    exporter.register_filter("cleaned_html", cleaned_html)
    exporter.register_filter("status", rendering.status)
    exporter.register_filter("lasted", _lasted)
    exporter.register_filter("ticked", _ticked)
    return exporter


def _ticked(tick: dict[str, str]) -> str:
    return f"☑ {summary.tick(Tick.model_validate(tick))}"


def _lasted(cell: dict[str, str]) -> str:
    begun, ended = summary.local(cell.get("started", "")), summary.local(cell.get("ended", ""))
    return summary.duration((ended - begun).total_seconds()) if begun and ended else ""
