"""Papermill's engine with eyes: tells a listener which step of a runbook goes on, and what came of it."""

from __future__ import annotations

import time
from typing import Any

from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine
from traitlets.config import Config

from hubrun.display import MIME
from hubrun.record.steps import Listener, Step, report, titles

# Over a socket of the file system, which only this account can open: over TCP the kernel warns of others listening.
_KERNEL = Config({"KernelManager": {"transport": "ipc"}})


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    listener: Listener | None = None

    def papermill_execute_cells(self) -> None:
        self._titles = titles(self.nb)
        self._step: Step | None = None
        self._since = time.monotonic()
        try:
            super().papermill_execute_cells()
        finally:
            self._close()

    def execute_cell(self, cell: NotebookNode, cell_index: int, **kwargs: Any) -> NotebookNode:
        if cell.cell_type == "code" and (self._step is None or self._step.title != self._titles[cell_index]):
            self._close()
            self._step, self._since = Step(self._titles[cell_index]), time.monotonic()
            if self.listener:
                self.listener.started(self._step)
        try:
            return super().execute_cell(cell, cell_index, **kwargs)
        finally:
            if self._step and cell.cell_type == "code":
                report(self._step, cell)

    def _close(self) -> None:
        if self._step:
            self._step.seconds = time.monotonic() - self._since
            if self.listener:
                self.listener.ended(self._step)
        self._step = None

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        if self.listener and msg["msg_type"] in ("display_data", "update_display_data"):
            data = msg["content"]["data"]
            if MIME not in data and "text/plain" in data:
                self.listener.progress(data["text/plain"])
        return super().process_message(msg, cell, cell_index)


class HubrunEngine(NBClientEngine):  # type: ignore[misc]
    """The engine `hubrun` (entry point papermill.engine)."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, listener: Listener | None = None, start_timeout: int = 60, **kwargs: Any
    ) -> Any:
        client = _Client(nb_man, startup_timeout=start_timeout, kernel_name=kernel_name, timeout=None, config=_KERNEL)
        client.listener = listener
        return client.execute()
