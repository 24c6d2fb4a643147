"""Checklists of a notebook's text (`- [x] done`): what a person ticked, who, and when it was first seen ticked. Pure."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # nbformat takes a second to import
    from nbformat import NotebookNode

# GitHub Flavored Markdown, 5.3: task list items.
_ITEM = re.compile(r"^ *(?:[-+*]|\d+[.)]) +\[[xX]\] +(.+?) *$", re.MULTILINE)

Tick = dict[str, str]  # item, by, at: see manifest.Tick


def ticks(before: NotebookNode | None, after: NotebookNode, who: str, when: str) -> NotebookNode:
    """`after` with each cell's ticks in `metadata.hubrun.ticks`; cells that do not change are shared with it.

    before: the notebook as it was kept last, None where it is the first: what is ticked there keeps its who and when.
    who: the login of the person. when: the time of this save, UTC, ISO 8601.
    """
    earlier = {cell.get("id"): kept(cell) for cell in before.cells} if before else {}
    cells = []
    for cell in after.cells:
        found = _ticked(cell, earlier.get(cell.get("id"), []), who, when)
        cells.append(cell if found == kept(cell) else _with_ticks(cell, found))
    copy = type(after)()
    # not copy[key] = …: a NotebookNode would look through every value again
    dict.update(copy, after, cells=cells)
    return copy


def kept(cell: NotebookNode) -> list[Tick]:
    """The ticks that a cell's metadata tells."""
    return [dict(tick) for tick in cell.metadata.get("hubrun", {}).get("ticks", [])]


def _ticked(cell: NotebookNode, earlier: list[Tick], who: str, when: str) -> list[Tick]:
    if cell.cell_type != "markdown":
        return []
    left, found = list(earlier), []
    for item in _ITEM.findall(cell.source):
        tick = next((each for each in left if each["item"] == item), None)
        if tick:
            left.remove(tick)  # two items may say the same
        found.append(tick or {"item": item, "by": who, "at": when})
    return found


def _with_ticks(cell: NotebookNode, found: list[Tick]) -> NotebookNode:
    copy = deepcopy(cell)
    copy.metadata.setdefault("hubrun", {})["ticks"] = found
    return copy
