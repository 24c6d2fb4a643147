"""Kernels of a run's runbooks: the next one starts, and imports what it will need, while the present one works."""

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

from hubrun.notebook import ENGINE

# Its presence tells the kernel that the engine listens; its value salts the digests of the server's secrets.
SALT = secrets.token_hex(16)
# ipykernel runs it before its first cell, and no name of it stays. What fails here fails again, and is told, in a cell.
_IMPORT = "--IPKernelApp.exec_lines=[__import__(name) for name in ('hubrun', 'scrapbook')] and None"


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
    def start(cls, name: str, ahead: bool = False) -> Kernel:
        """Start a kernel; it is not waited for. ahead: let it import now what runbooks use."""
        folder = tempfile.TemporaryDirectory(prefix="hubrun-", ignore_cleanup_errors=True)
        config = Config({"AsyncKernelManager": {"transport": "ipc", "ip": f"{folder.name}/kernel"}})
        kernel = cls(name, AsyncKernelManager(kernel_name=name, config=config), folder)
        arguments = ["--HistoryManager.hist_file=:memory:", *([_IMPORT] if ahead else [])]
        try:
            run_sync(kernel.manager.start_kernel)(extra_arguments=arguments, env={**os.environ, ENGINE: SALT})
        except BaseException:
            kernel.close()
            raise
        return kernel

    @property
    def alive(self) -> bool:
        return bool(run_sync(self.manager.is_alive)())

    def close(self) -> None:
        """End it at once, and remove its sockets."""
        with contextlib.suppress(RuntimeError):  # there is none: it died, or never came up
            run_sync(self.manager.shutdown_kernel)(now=True)
        self.folder.cleanup()


class Ahead:
    """The kernel for the runbook after the present one, if there is one."""

    def __init__(self) -> None:
        self._kernel: Kernel | None = None

    def prepare(self, name: str) -> None:
        """Start it, once."""
        if self._kernel is None:
            self._kernel = Kernel.start(name, ahead=True)

    def take(self, name: str) -> Kernel:
        """The kernel that was prepared, or a new one where there is none, or that one is dead."""
        kernel, self._kernel = self._kernel, None
        if kernel and kernel.name == name and kernel.alive:
            return kernel
        if kernel:
            kernel.close()
        return Kernel.start(name)

    def close(self) -> None:
        """End what was prepared and not taken."""
        if self._kernel:
            self._kernel.close()
            self._kernel = None
