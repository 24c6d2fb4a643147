"""What students hand in, brought to what a page may show of it. Nothing of it runs, and nothing is taken for the page's own.

Two steps: `notebook` leaves of a notebook what nbgrader's pages show, and `html` leaves of HTML what says how text looks.
nbconvert has such filters, but nbgrader's templates do not use them (0.9.6), they let `href="javascript:…"` pass
(nbconvert 7.17, strings.py), and with ids and classes a submission could pose as the page's own fields for scores.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc"
from __future__ import annotations

import re
from html import escape
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from nbformat import from_dict

_TAGS = (
    "a", "abbr", "b", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn",
    "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins",
    "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "summary",
    "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var",
)  # fmt: skip
_ATTRIBUTES = {
    "*": {"title", "dir", "lang", "align", "style"},
    "a": {"href"},
    "col": {"span"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start", "type"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
# Those of Pygments (one or two letters and perhaps a digit), and of tables of pandas.
_CLASS = re.compile(r"(highlight|dataframe|err|[a-z]{1,2}[0-9]?)( |$)")
_PROTOCOLS = ("http", "https", "mailto", "data")
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml)[;,]", re.IGNORECASE)
# Names of cells become ids and links on the page: nbgrader/preprocessors/checkcellmetadata.py.
_GRADE_ID = re.compile(r"[a-zA-Z0-9_-]+")
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Of an output. What is a program (application/javascript, widgets, Mermaid) is not among them.
_SHOWN = ("text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml")


def html(text: object) -> str:
    """Return HTML that holds nothing but text, its looks, links and pictures. What was more is shown as text."""
    source = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return str(
        bleach.clean(source, tags=_TAGS, attributes=_may_have, protocols=_PROTOCOLS, css_sanitizer=CSSSanitizer())
    )


def _may_have(tag: str, name: str, value: str) -> bool:
    if name == "class":
        return all(_CLASS.fullmatch(word) for word in value.split())
    if name not in _ATTRIBUTES["*"] | _ATTRIBUTES.get(tag, set()):
        return False
    # Blanks and control characters are passed over in a scheme (WHATWG URL, 4.4).
    if re.sub(r"[\x00-\x20\x7f-\xa0]", "", value).lower().startswith("data:"):
        return (tag, name) == ("img", "src") and _PICTURE.match(value) is not None
    return True


def notebook(book: Any) -> Any:
    """Return a notebook with those parts of `book` that nbgrader's pages show."""
    language = book.metadata.get("language_info")
    words = ("name", "pygments_lexer")
    info = {word: str(language[word]) for word in words if isinstance(language, dict) and language.get(word)}
    cells = [_cell(cell) for cell in book.cells if cell.get("cell_type") in ("markdown", "code", "raw")]
    return from_dict(
        {
            "nbformat": book.nbformat,
            "nbformat_minor": book.nbformat_minor,
            "metadata": {"language_info": info} if info else {},
            "cells": cells,
        }
    )


def _cell(cell: Any) -> dict[str, Any]:
    kind, source = cell["cell_type"], _text(cell.get("source"))
    # nbconvert takes a raw cell for HTML.
    kept: dict[str, Any] = {"cell_type": kind, "source": escape(source) if kind == "raw" else source, "metadata": {}}
    identity = cell.get("id")
    if isinstance(identity, str) and _CELL_ID.fullmatch(identity):
        kept["id"] = identity
    marks = cell.get("metadata", {}).get("nbgrader")
    if isinstance(marks, dict) and _GRADE_ID.fullmatch(str(marks.get("grade_id", ""))):
        plain = (bool, int, float, str)
        kept["metadata"]["nbgrader"] = {str(name): each for name, each in marks.items() if isinstance(each, plain)}
    if kind == "markdown" and isinstance(cell.get("attachments"), dict):
        kept["attachments"] = {str(name): _pictures(data) for name, data in cell["attachments"].items()}
    if kind == "code":
        count = cell.get("execution_count")
        kept["execution_count"] = count if isinstance(count, int) else None
        kept["outputs"] = [_output(each) for each in cell.get("outputs", []) if isinstance(each, dict)]
    return kept


def _output(output: Any) -> dict[str, Any]:
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": _text(output.get("text"))}
    if kind == "error":
        lines = output.get("traceback")
        traceback = [_text(line) for line in lines] if isinstance(lines, list) else [_text(lines)]
        words = {name: _text(output.get(name)) for name in ("ename", "evalue")}
        return {"output_type": "error", **words, "traceback": traceback}
    data = output.get("data")
    data = {name: _text(data[name]) for name in _SHOWN if isinstance(data, dict) and name in data}
    if "text/html" in data:
        data["text/html"] = html(data["text/html"])
    found = output.get("metadata")
    sizes = {
        name: {side: size[side] for side in ("width", "height") if isinstance(size.get(side), int | float)}
        for name, size in (found if isinstance(found, dict) else {}).items()
        if name in data and isinstance(size, dict)
    }
    return {"output_type": "display_data", "data": data, "metadata": sizes}


def _pictures(data: object) -> dict[str, str]:
    found = data.items() if isinstance(data, dict) else ()
    return {name: _text(text) for name, text in found if re.fullmatch(r"image/[a-z+.-]+", str(name))}


def _text(found: object) -> str:
    """Text as nbformat writes it: a string, or a list of lines."""
    if isinstance(found, list):
        return "".join(map(str, found))
    return found if isinstance(found, str) else "" if found is None else str(found)
