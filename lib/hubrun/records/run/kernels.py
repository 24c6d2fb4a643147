"""The kernel of a run: its runbooks run in it one after another, each in a namespace of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from dataclasses import dataclass
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


@dataclass
class Kernel:
    """A kernel that was started. Its sockets are in a folder that only this account can open.

    Over TCP, others on this machine could listen. By default the sockets would be in the working directory, and
    kernels of two runs would meet there.
    """

    name: str
    manager: Any
    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def start(cls, name: str) -> Kernel:
        """Start a kernel and let it import what runbooks use; it is not waited for."""
        folder = tempfile.TemporaryDirectory(prefix="hubrun-", ignore_cleanup_errors=True)
        config = Config({"AsyncKernelManager": {"transport": "ipc", "ip": f"{folder.name}/kernel"}})
        kernel = cls(name, AsyncKernelManager(kernel_name=name, config=config), folder)
        arguments = ["--HistoryManager.hist_file=:memory:", _IMPORT]
        try:
            run_sync(kernel.manager.start_kernel)(extra_arguments=arguments, env={**os.environ, ENGINE: SALT})
        except BaseException:
            kernel.close()
            raise
        return kernel

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return bool(run_sync(self.manager.is_alive)())

    def close(self) -> None:
        """End it at once, and remove its sockets."""
        with contextlib.suppress(RuntimeError):  # there is none: it died, or never came up
            run_sync(self.manager.shutdown_kernel)(now=True)
        self.folder.cleanup()


class SharedKernel:
    """The one kernel of a run. Leaving the block ends it."""

    def __init__(self) -> None:
        self._kernel: Kernel | None = None

    def __enter__(self) -> SharedKernel:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def take(self, name: str = "python3") -> Kernel:
        """The kernel; a new one where there is none yet, or it is dead or of another kind. It is not waited for."""
        if self._kernel and (self._kernel.name != name or not self._kernel.alive):
            self._close()
        if not self._kernel:
            self._kernel = Kernel.start(name)
        return self._kernel

    def _close(self) -> None:
        kernel, self._kernel = self._kernel, None
        if kernel:
            kernel.close()
