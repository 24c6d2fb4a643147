"""Papermill's engine `hubrun`: says truthfully what became of each cell, and keeps secrets out of what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

from jupyter_core.utils import run_sync
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine

from hubrun.desired.cards import MIME
from hubrun.environment import MESSAGE
from hubrun.records.ledger.manifest import Cause
from hubrun.records.ledger.steps import Listener, derive, is_code, titles
from hubrun.records.run.kernels import SharedKernel
from hubrun.records.run.notebook_saver import BEHIND, NotebookSaver, patch_papermill
from hubrun.records.run.signals import REASONS, Stopped, on_signal
from hubrun.redaction.redact import HERE
from hubrun.ssh.prefetch_store import RunbookProbes

# Seconds that a cell has to end after Ctrl-C, so that what it had done is on record. One more Ctrl-C: at once.
_GRACE = 8
# Seconds that outputs may come after the kernel's reply. nbclient's own 4 lose them where a disk makes this process wait.
_OUTPUTS = 120
_DIED = "the kernel died: what this step did until then is known to the server alone"


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    nb_man: NotebookSaver
    listener: Listener | None = None
    cause: Cause = ""
    _step_goes_on = False
    asked: RunbookProbes | None = None

    # -- the cells, one after another

    def papermill_execute_cells(self) -> None:
        try:
            self._execute_cells()
        except Stopped as stopped:
            # The signal may have come at any moment: also while a cell's beginning or end was written down.
            for cell in self.nb.cells:
                if is_code(cell) and cell.metadata.hubrun["status"] == "running":
                    self.nb_man.cell_ended(cell, stopped.cause, REASONS[stopped.cause], interrupted=True)
            raise
        finally:
            if self._step_goes_on:
                self._tell_ended()

    def _execute_cells(self) -> None:
        asked = self.asked or RunbookProbes()
        self._silently(asked.begin())
        steps = titles(self.nb)
        last = max((index for index, cell in enumerate(self.nb.cells) if is_code(cell)), default=-1)
        title = ""
        for index, cell in enumerate(self.nb.cells):
            if not is_code(cell):
                self.nb_man.passed(cell)
                continue
            if self.cause:
                raise Stopped(self.cause)
            if not title or title != steps[index]:
                title = steps[index]
                self._tell_started(title)
            ended = self._execute(cell, index)
            following = next((steps[i] for i in range(index + 1, last + 1) if is_code(self.nb.cells[i])), None)
            if not ended or following != title:
                self._tell_ended()
            if not ended:
                return
        if self.cause:  # the last cell ended well in spite of it
            raise Stopped(self.cause)
        asked.take(self._silently("", {"asked": asked.expression})["asked"])

    def _silently(self, code: str, expressions: dict[str, str] | None = None) -> dict[str, Any]:
        """Run code of ours in the kernel, past the notebook; what the expressions came to, as the kernel shows it."""
        sent = self.kc.execute(code, silent=True, store_history=False, user_expressions=expressions or {})
        reply = self.wait_for_reply(sent)
        return dict(reply["content"].get("user_expressions", {})) if reply else {}

    def _execute(self, cell: NotebookNode, index: int) -> bool:
        """Run one cell and mark what became of it. False: the runbook ends here. Raises Stopped, DeadKernelError."""
        saver = self.nb_man
        saver.cell_start(cell, index)
        try:
            self.execute_cell(cell, index)
        except CellExecutionError as error:
            if self.cause:
                raise Stopped(self.cause) from None
            lost = error.ename == "ConnectionLost"
            saver.cell_ended(cell, "connection lost" if lost else "error", f"{error.ename}: {error.evalue}", lost)
            return False
        except CellTimeoutError as error:
            saver.cell_ended(cell, "time-out", f"the cell did not end within {self.timeout} s")
            raise CellTimeoutError(HERE.text(str(error))) from None  # it shows the beginning of the cell
        except DeadKernelError:
            if self.cause:
                raise Stopped(self.cause) from None
            saver.cell_ended(cell, "kernel died", _DIED, interrupted=True)
            raise
        except Exception as error:
            saver.cell_ended(cell, "error", f"{type(error).__name__}: {error}")
            raise
        saver.cell_ended(cell)
        return True

    async def async_execute_cell(self, cell: NotebookNode, cell_index: int, **kwargs: Any) -> NotebookNode:
        saving = asyncio.ensure_future(self._keep_saving())
        try:
            return await super().async_execute_cell(cell, cell_index, **kwargs)
        finally:
            saving.cancel()

    execute_cell = run_sync(async_execute_cell)

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(BEHIND / 2)
            self.nb_man.save_if_behind()

    # -- being stopped

    def stop(self, cause: Cause) -> None:
        """Called by a signal's handler: interrupt the cell, and give it some seconds to end by itself."""
        again, self.cause = bool(self.cause), cause
        process = getattr(getattr(self.km, "provisioner", None), "process", None)
        task = getattr(self, "task_poll_for_reply", None)
        if again or process is None or task is None or task.done():
            raise Stopped(cause)
        os.kill(process.pid, signal.SIGINT)
        task.get_loop().call_soon_threadsafe(self._grace, task, _GRACE)

    def _grace(self, task: asyncio.Task[Any], left: int) -> None:
        """One second after another: seconds in which this process waited for its own disk, and did not listen, are one."""
        if left:
            task.get_loop().call_later(1, self._grace, task, left - 1)
        else:
            task.cancel()

    # -- what the kernel says

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        if msg["msg_type"] == MESSAGE:
            HERE.take_in(msg["content"]["kind"], msg["content"]["what"])
            return None
        if self.listener and msg["msg_type"] in ("display_data", "update_display_data"):
            data = msg["content"]["data"]
            if MIME not in data and "text/plain" in data:
                self.listener.progress(HERE.text(data["text/plain"]))
        output = super().process_message(msg, cell, cell_index)
        before = cell.outputs[-2] if len(cell.get("outputs", [])) > 1 else None
        if output and before and output.output_type == before.output_type == "stream" and output.name == before.name:
            # What was written in pieces is one text again: half a secret would not be known for what it is.
            before.text += cell.outputs.pop().text
        return output

    def log_output_message(self, output: NotebookNode) -> None:
        super().log_output_message(HERE.data(output))

    def _tell_started(self, title: str) -> None:
        self._step_goes_on = True
        if self.listener:
            self.listener.started(HERE.text(title))

    def _tell_ended(self) -> None:
        self._step_goes_on = False
        if self.listener:
            begun = [step for step in derive(self.nb_man.clean()) if step.status != "not run"]
            if begun:
                self.listener.ended(begun[-1])


class HubrunEngine(NBClientEngine):  # type: ignore[misc]
    """The engine `hubrun` (entry point papermill.engine). Raises what stopped it: Stopped, DeadKernelError, …"""

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        listener: Listener | None = None,
        savers: list[NotebookSaver] | None = None,
        kernel: SharedKernel | None = None,
        asked: RunbookProbes | None = None,
        **_: Any,
    ) -> NotebookNode:
        """As papermill's own engines do it; its `autosave_cell_every` is not needed.

        savers gets the saver. kernel: that of the run. asked: what this runbook is expected to ask of the server.
        """
        patch_papermill()
        HERE.learn_environment(os.environ)
        saver = NotebookSaver(nb, output_path=output_path, log_output=log_output, progress_bar=progress_bar)
        if savers is not None:
            savers.append(saver)
        with contextlib.ExitStack() as stack:
            saver.notebook_start()
            stack.callback(saver.notebook_complete)
            kernel = kernel or stack.enter_context(SharedKernel())
            client = _Client(
                saver,
                startup_timeout=start_timeout,
                timeout=execution_timeout,
                iopub_timeout=_OUTPUTS,
                kernel_name=kernel_name,
                log_output=log_output,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
                km=kernel.take(kernel_name),
            )
            client.listener, client.asked = listener, asked
            client.kc = kernel.client(kernel_name, start_timeout)
            with on_signal(client.stop):
                kernel.free = False
                client.execute(cleanup_kc=False)
                kernel.free = True
        return saver.nb
