"""The kernel of a run: its runbooks run in it one after another, each in a namespace of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from traitlets.config import Config

from hubrun.environment import ENGINE

# Its presence tells the kernel that the engine listens; its value salts the digests of the server's secrets.
SALT = secrets.token_hex(16)
# ipykernel runs it before its first cell, and no name of it stays. What fails here fails again, and is told, in a cell.
# scrapbook, which takes longest, is wanted last.
_IMPORT = (
    "--IPKernelApp.exec_lines=[__import__('hubrun'),"
    " __import__('threading').Thread(target=__import__, args=('scrapbook',), daemon=True).start()] and None"
)
# Its own arguments: nothing of what is run goes to the file with IPython's history.
ARGUMENTS = ["--HistoryManager.hist_file=:memory:", _IMPORT]


class SharedKernel:
    """The one kernel of a run. Leaving the block ends it.

    Its sockets are in a folder that only this account can open. Over TCP, others on this machine could listen. By default
    the sockets would be in the working directory, and kernels of two runs would meet there.
    """

    def __init__(self) -> None:
        self._manager: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> SharedKernel:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._manager:
            with contextlib.suppress(RuntimeError):  # there is no process: it died, or never came up
                run_sync(self._manager.shutdown_kernel)(now=True)
        if self._folder:
            self._folder.cleanup()
        self._manager = self._folder = None

    def take(self, name: str = "python3") -> Any:
        """The kernel's manager; a new one where there is none yet, or it is dead or of another kind.

        The kernel imports what runbooks use, and is not waited for.
        """
        if self._manager and (self._manager.kernel_name != name or not run_sync(self._manager.is_alive)()):
            self._close()
        if not self._manager:
            self._folder = tempfile.TemporaryDirectory(prefix="hubrun-", ignore_cleanup_errors=True)
            config = Config({"AsyncKernelManager": {"transport": "ipc", "ip": f"{self._folder.name}/kernel"}})
            self._manager = AsyncKernelManager(kernel_name=name, config=config)
            run_sync(self._manager.start_kernel)(extra_arguments=ARGUMENTS, env={**os.environ, ENGINE: SALT})
        return self._manager
