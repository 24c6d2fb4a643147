"""The kernel of a run: its runbooks run in it one after another, each in a namespace of its own."""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import tempfile
import time
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from traitlets.config import Config

from hubrun.environment import ENGINE

# Its presence tells the kernel that the engine listens; its value salts the digests of the server's secrets.
SALT = secrets.token_hex(16)
# As ipykernel_launcher, which takes the working directory from the path as well; but hubrun comes first, which leaves out
# what is slow and not needed (hubrun/slow_modules.py).
_LAUNCHER = ["-P", "-c", "import hubrun; from ipykernel import kernelapp; kernelapp.launch_new_instance()"]
# ipykernel runs it before its first cell, and no name of it stays. What fails here fails again, and is told, in a cell.
_IMPORT = "--IPKernelApp.exec_lines=[__import__('hubrun.runbook'), __import__('hubrun.desired.nodes')] and None"
# Its own arguments: nothing of what is run goes to the file with IPython's history.
ARGUMENTS = ["--HistoryManager.hist_file=:memory:", _IMPORT]


class SharedKernel:
    """The one kernel of a run, and the one client that talks to it. Leaving the block ends both.

    free: nothing that was stopped may still go on in it.

    Its sockets are in a folder that only this account can open. Over TCP, others on this machine could listen. By default
    the sockets would be in the working directory, and kernels of two runs would meet there.
    """

    def __init__(self) -> None:
        self.free = True
        self._manager: Any = None
        self._client: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> SharedKernel:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._client:
            self._client.stop_channels()
        if self._manager:
            with contextlib.suppress(RuntimeError):  # there is no process: it died, or never came up
                if self._manager.has_kernel:
                    process = self._manager.provisioner.process
                    process.kill()
                    process.wait()  # jupyter_client looks for its end every 0.1 s
                run_sync(self._manager.shutdown_kernel)(now=True)
        if self._folder:
            self._folder.cleanup()
        self._manager = self._client = self._folder = None

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
            command = self._manager.kernel_spec.argv
            if command[1:3] == ["-m", "ipykernel_launcher"]:
                command[1:3] = _LAUNCHER
            run_sync(self._manager.start_kernel)(extra_arguments=ARGUMENTS, env={**os.environ, ENGINE: SALT})
        return self._manager

    def client(self, name: str = "python3", seconds: float = 60) -> Any:
        """A client of the kernel that `take` gives, which answers. Raises RuntimeError when it dies, or does not in time."""
        manager = self.take(name)
        if not self._client:
            client = manager.client()
            client.start_channels(stdin=False)  # nobody is there to answer: a cell that asks for a line gets an error
            self._client = client
            run_sync(_answers)(manager, client, seconds)
        return self._client


async def _answers(manager: Any, client: Any, seconds: float) -> None:
    """Wait until the kernel answers, and is heard. jupyter_client's own wait_for_ready listens for 0.2 s more."""
    end = time.monotonic() + seconds
    while True:
        client.kernel_info()
        with contextlib.suppress(queue.Empty):
            await client.get_shell_msg(timeout=1)
            await client.get_iopub_msg(timeout=0.2)
            return
        if not await manager.is_alive():
            raise RuntimeError("Kernel died before replying to kernel_info")
        if time.monotonic() > end:
            raise RuntimeError(f"Kernel didn't respond in {seconds:.0f} seconds")
