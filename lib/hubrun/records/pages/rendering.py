"""What all pages share: the templates, the style, and how statuses, times and differences look. No files are written."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hubrun.records.ledger import summary
from hubrun.records.ledger.manifest import Record
from hubrun.records.pages import compare

TEMPLATES = Path(__file__).with_name("templates")
# A sign beside the word, so that a column of statuses can be read at a glance, without colour too.
SIGNS = {
    "ok": "✓", "changed": "●", "would change": "○", "failed": "✕", "interrupted": "✕", "not run": "–",
    "not checked": "–", "running": "…", "ticked": "☑",
}  # fmt: skip


def page(template: str, **data: object) -> str:
    """A whole page: one of `templates/*.html` with its data."""
    return _environment().get_template(template).render(**data)


def comparison(a: Record, b: Record, differences: list[str]) -> str:
    """The page of what differs between two runs: what `compare.compare` found."""
    text = "\n".join(differences)
    return page("compare.html", a=a, b=b, differences=text, verdict=compare.verdict(differences))


def status(word: str) -> Markup:
    """A status as a sign and its word."""
    sign = SIGNS.get(word, "?")
    return Markup('<span class="status {}"><span aria-hidden="true">{}</span> {}</span>').format(
        word.replace(" ", "-"), sign, word
    )


def at(time: str) -> Markup:
    """A manifest's time for people, with the exact one for machines."""
    if not summary.local(time):
        return Markup("unknown")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(time, summary.when(time))


def diff(text: str) -> Markup:
    """A unified diff, line by line; its signs say the same as its colours."""
    kinds = {"+++": "head", "---": "head", "@@ ": "head"}
    lines = []
    for line in text.splitlines():
        kind = kinds.get(line[:3]) or {"+": "added", "-": "removed"}.get(line[:1], "")
        lines.append(Markup('<span class="{}">{}</span>\n').format(kind, line) if kind else Markup("{}\n").format(line))
    return Markup('<pre class="diff">{}</pre>').format(Markup("").join(lines))


def anchor(title: str) -> str:
    """The id of a heading in a notebook's page, as nbconvert makes it (nbconvert.filters.strings.add_anchor)."""
    return quote(title.replace(" ", "-"), safe="?/:@!$&'()*+,;=")


@cache
def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    made.filters.update(status=status, at=at, diff=diff, anchor=anchor, shown=summary.shown, duration=summary.duration)  # fmt: skip
    made.globals.update(style=Markup((TEMPLATES / "style.css").read_text()), summary=summary)
    return made
