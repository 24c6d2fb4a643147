"""Keeps a notebook on disk while it runs: what papermill's manager does, truthful, whole and without secrets.

Papermill stamps cells that never ran `completed`, saves every 30 s at most and writes in place. Here a cell that did
not run stays `pending`, and what is on disk is at most a second behind.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io
from typing_extensions import override

from hubrun import atomic_write
from hubrun.records.ledger.clock import CLOCK
from hubrun.records.ledger.manifest import Cause
from hubrun.records.ledger.steps import failed_checks, is_code, mark, outcome
from hubrun.redaction.redact import HERE

# Seconds that what is on disk may be behind.
BEHIND = 0.5


class NotebookSaver(NotebookExecutionManager):  # type: ignore[misc]
    """The state of one notebook while it runs.

    kept: the notebook as it was saved last, without secrets; counts: how often each was taken out of it. A save that
    fails (a full disk) is tried again later and never stops the run: `error` says why, `unsaved` holds what should be
    on disk.
    """

    def __init__(self, nb: NotebookNode, **kwargs: Any) -> None:
        super().__init__(nb, **kwargs)
        self.kept: NotebookNode | None = None
        self.counts: Counter[str] = Counter()
        self.dirty = True
        self.error: OSError | None = None
        self.unsaved = ""
        self._saved = 0.0
        self._taken_out: Counter[str] = Counter()
        # Of each cell, as it was when it was redacted last: how much was known then, itself, and what came of it.
        self._cleaned: dict[int, tuple[int, str, NotebookNode, Counter[str]]] = {}

    @override
    def now(self) -> datetime.datetime:
        return CLOCK.now()

    @override
    def notebook_start(self, **kwargs: Any) -> None:
        for cell in self.nb.cells:
            cell.metadata.pop("hubrun", None)
            if is_code(cell):
                mark(cell, "not run")
        super().notebook_start(**kwargs)

    @override
    def cell_start(self, cell: NotebookNode, cell_index: int | None = None, **kwargs: Any) -> None:
        if is_code(cell):
            mark(cell, "running")
            super().cell_start(cell, cell_index, **kwargs)

    def cell_ended(self, cell: NotebookNode, cause: Cause = "", reason: str = "", interrupted: bool = False) -> None:
        """Say how a code cell ended: well, or with a cause and a reason."""
        papermill = cell.metadata.papermill
        if not cause and (reason := failed_checks(cell)):  # in a plan, which goes on
            cause = "error"
        if cause:
            mark(cell, "interrupted" if interrupted else "failed", cause, reason)
            papermill["exception"], papermill["status"] = True, self.FAILED
            self.nb.metadata.papermill["exception"] = True
        else:
            mark(cell, outcome(cell))
            papermill["status"] = self.COMPLETED
        end = self.now()
        papermill["end_time"] = end.isoformat()
        if papermill["start_time"]:
            papermill["duration"] = (end - datetime.datetime.fromisoformat(papermill["start_time"])).total_seconds()
        if self.pbar:
            self.pbar.update(1)
        self.dirty = True

    def passed(self, cell: NotebookNode) -> None:
        """A cell that is not for the kernel was passed."""
        cell.metadata.papermill["status"] = self.COMPLETED
        if self.pbar:
            self.pbar.update(1)

    @override
    def notebook_complete(self, **kwargs: Any) -> None:
        self.end_time = self.now()
        self.nb.metadata.papermill["end_time"] = self.end_time.isoformat()
        self.nb.metadata.papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        self.cleanup_pbar()
        # From here on papermill may write and show it in its own way.
        clean = self.clean(self._taken_out)
        self.nb.clear()
        self.nb.update(clean)
        self.save(as_nbformat=True)

    @override
    def autosave_cell(self) -> None:
        self.dirty = True

    def save_if_behind(self) -> None:
        """Save when something is new and the last save is long enough ago. Called again and again."""
        if self.dirty and time.monotonic() - self._saved > BEHIND:
            self.save()

    def clean(self, counts: Counter[str] | None = None) -> NotebookNode:
        """The notebook without secrets; counts grows by what was taken out. Cells that are as they were are not looked
        through again: there are many, and one of them runs."""
        rest = {name: value for name, value in self.nb.items() if name != "cells"}
        clean = NotebookNode(HERE.data(rest, counts))
        cells = [self._clean_cell(number, cell) for number, cell in enumerate(self.nb.cells)]
        dict.update(clean, cells=[cell for cell, _ in cells])
        if counts is not None:
            for _, taken_out in cells:
                counts.update(taken_out)
        return clean

    def _clean_cell(self, number: int, cell: NotebookNode) -> tuple[NotebookNode, Counter[str]]:
        state = HERE.learned, json.dumps(cell)
        known = self._cleaned.get(number)
        if not known or known[:2] != state:
            counts: Counter[str] = Counter()
            known = self._cleaned[number] = (*state, HERE.data(cell, counts), counts)
        return known[2:]

    def save(self, as_nbformat: bool = False, **kwargs: Any) -> None:
        """Write the notebook without secrets, whole. as_nbformat: in the form in which notebooks are kept; else in one line
        of JSON, which takes a tenth of the time."""
        self.counts = self._taken_out.copy()
        self.kept = self.clean(self.counts)
        self.dirty = False
        self._saved = time.monotonic()
        if self.output_path:
            self.unsaved = nbformat.writes(self.kept) if as_nbformat else json.dumps(self.kept)
            try:
                papermill_io.write(self.unsaved, self.output_path)
                self.error, self.unsaved = None, ""
            except OSError as error:
                self.error, self.dirty = error, True


def patch_papermill() -> None:
    """Let papermill's own last write (after the engine, and once more for a failed notebook) be whole as well.

    It opens the file in place: a runner that is killed there leaves a torn notebook. papermill 2.7, iorw.py,
    LocalHandler.write.
    """

    def write_whole(handler: LocalHandler, text: str, path: str) -> None:
        place = os.path.join(handler._cwd or "", path)
        atomic_write.write(Path(place), text.encode())

    LocalHandler.write = write_whole
