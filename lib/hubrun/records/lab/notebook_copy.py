"""A runbook's copy in a run's folder: what a person makes of it in a browser, and what the server saw of its cells.

The browser says which cells there are, in which order, and what is written in them. What became of a cell, and its
outputs, the server says: so they are kept when the browser is gone, and are what the kernel sent. On disk a cell that was
run has the source with which it was run.
"""

from __future__ import annotations

import copy
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from hubrun import atomic_write
from hubrun.records.lab.cell_outputs import CellOutputs
from hubrun.records.lab.parameters_cell import filled
from hubrun.records.ledger.manifest import Cause
from hubrun.records.ledger.steps import begin_again, failed_checks, is_code, mark, now, outcome
from hubrun.records.ledger.ticks import kept, ticks
from hubrun.redaction.redact import HERE

# Seconds that what is on disk may be behind, or so many times as long as a save takes.
BEHIND = 0.5
_PAUSE = 10


class NotebookCopy:
    """One runbook of a session. file: where its copy is. version: grows with each save of a browser.

    kept, counts, error, unsaved: see `site_run.KeptNotebook`.
    """

    def __init__(self, runbook: Path, file: Path, values: Mapping[str, Any], who: str = "") -> None:
        """values: the site's, for the parameters cell. who: the login of who ticks its lists. Nothing is written yet."""
        self.file, self.who = file, who
        self.nb = nbformat.read(runbook, as_version=4)
        self.nb.nbformat_minor = max(self.nb.nbformat_minor, 5)  # from which on cells have ids
        for cell in self.nb.cells:
            cell.id = uuid.uuid4().hex  # no cell of another runbook has it
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = filled(cell.source, values)
        self.version = 0
        self.saved_at = time.time()
        self.kept: NotebookNode | None = None
        self.counts: Counter[str] = Counter()
        self.error: OSError | None = None
        self.unsaved = ""
        self.dirty = True
        self._ran: dict[str, NotebookNode] = {}
        self._before: dict[str, tuple[NotebookNode | None, CellOutputs | None]] = {}
        self._outputs: dict[str, CellOutputs] = {}
        self._saved, self._took = 0.0, 0.0

    # -- what the browser says

    def has(self, cell: str) -> bool:
        """Whether a cell with this id is here."""
        return any(each.id == cell for each in self.nb.cells)

    def merge(self, content: Mapping[str, Any]) -> None:
        """Take in the notebook that a browser saves. Cells that were run stay, where they were, when it has them no more.

        Raises ValueError for what is not a notebook.
        """
        new = nbformat.from_dict(content)
        try:
            nbformat.validate(new)
        except nbformat.ValidationError as error:
            raise ValueError(str(error)) from None
        places = [cell.id for cell in new.cells]
        after = -1
        for cell in self.nb.cells:
            if cell.id in places:
                after = places.index(cell.id)
            elif cell.id in self._ran:
                after += 1
                new.cells.insert(after, cell)
                places.insert(after, cell.id)
        self.nb = new
        self.version += 1
        self.saved_at = time.time()
        self.dirty = True

    def opened(self) -> NotebookNode:
        """The notebook for a browser that opens it: its own text, and what the server saw."""
        cells = []
        for cell in self.nb.cells:
            if cell.id in self._ran or is_code(cell):
                seen = HERE.data(self._recorded(cell))
                cell = NotebookNode({**seen, "source": cell.source, "metadata": {**seen.metadata, "trusted": True}})
            cells.append(cell)
        return NotebookNode({**self.nb, "cells": cells})

    # -- what the server sees

    def begin(self, cell: str, source: str, behind: str) -> None:
        """The kernel is about to run a cell; one that no browser has saved yet is put behind the cell `behind`."""
        if not self.has(cell):
            places = [each.id for each in self.nb.cells]
            at = places.index(behind) + 1 if behind in places else len(places)
            self.nb.cells.insert(at, new_code_cell(source, id=cell))
        ran = self._ran.get(cell) or new_code_cell(id=cell)
        self._before[cell] = copy.deepcopy(self._ran.get(cell)), self._outputs.get(cell)
        self._ran[cell] = ran
        begin_again(ran, source)
        ran.execution_count = None
        self._outputs[cell] = CellOutputs()
        ran.outputs = self._outputs[cell].outputs
        self.dirty = True

    def count(self, cell: str, number: int | None) -> None:
        """The kernel says the number of this execution."""
        self._ran[cell].execution_count = number
        self.dirty = True

    def withdraw(self, cell: str) -> None:
        """The kernel did not run the cell after all: what is known of it is what was known before."""
        ran, outputs = self._before[cell]
        self._ran.pop(cell)
        if ran and outputs:
            self._ran[cell], self._outputs[cell] = ran, outputs
            outputs.outputs = ran.outputs
        self.dirty = True

    def end(self, cell: str, cause: Cause = "", reason: str = "", interrupted: bool = False) -> None:
        """A cell ended: well, or with a cause and a reason."""
        ran = self._ran[cell]
        if not cause and (reason := failed_checks(ran)):  # in check mode, which goes on
            cause = "error"
        if cause:
            mark(ran, "interrupted" if interrupted else "failed", cause, reason)
        else:
            mark(ran, outcome(ran))
        self.dirty = True

    def take(self, cell: str, kind: str, content: dict[str, Any], size: int) -> None:
        """A message of the kernel about this cell's outputs: see `CellOutputs.take`."""
        self._outputs[cell].take(kind, content, size)
        self.dirty = True

    def update(self, content: dict[str, Any], size: int) -> None:
        """A message that changes outputs, in whichever cell they are: see `CellOutputs.update`."""
        for outputs in self._outputs.values():
            outputs.update(content, size)
        self.dirty = True

    @property
    def ran(self) -> bool:
        """Whether any cell was run, or an item of a list ticked."""
        return bool(self._ran) or any(kept(cell) for cell in (self.kept.cells if self.kept else ()))

    def shown(self, mime: str) -> list[Any]:
        """What the outputs hold of this type, in the notebook's order."""
        cells = [self._ran[cell.id] for cell in self.nb.cells if cell.id in self._ran]
        return [each.data[mime] for cell in cells for each in cell.outputs if mime in each.get("data", {})]

    # -- the record

    def _recorded(self, cell: NotebookNode) -> NotebookNode:
        ran = self._ran.get(cell.id)
        metadata = {name: each for name, each in cell.metadata.items() if name not in ("hubrun", "trusted")}
        if ran is None and cell.cell_type != "code":
            return NotebookNode({**cell, "metadata": NotebookNode(metadata)})
        if ran is None:
            ran = new_code_cell(cell.source, id=cell.id)
            if is_code(cell):
                mark(ran, "not run")
                ran.metadata["hubrun"]["earlier"] = []
        if "hubrun" in ran.metadata:
            metadata["hubrun"] = ran.metadata["hubrun"]
        return NotebookNode({**ran, "metadata": NotebookNode(metadata)})

    def save(self) -> None:
        """Write the copy without secrets, whole. What cannot be written is tried again later: `error` says why."""
        begun = time.monotonic()
        self.counts = Counter()
        recorded = NotebookNode({**self.nb, "cells": [self._recorded(cell) for cell in self.nb.cells]})
        self.kept = ticks(self.kept, HERE.data(recorded, self.counts), self.who, now())
        self.dirty = False
        text = nbformat.writes(self.kept)
        try:
            atomic_write.write(self.file, text.encode())
            self.error, self.unsaved = None, ""
        except OSError as error:
            self.error, self.unsaved, self.dirty = error, text, True
        self._saved = time.monotonic()
        self._took = self._saved - begun

    def save_if_behind(self) -> None:
        """Save when something is new and the last save is long enough ago. Called again and again."""
        if self.dirty and time.monotonic() - self._saved > max(BEHIND, _PAUSE * self._took):
            self.save()
