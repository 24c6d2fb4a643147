"""Jupyter's server for a session, with the parts of ours in place of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jupyter_server.serverapp import ServerApp
from tornado.ioloop import PeriodicCallback
from typing_extensions import override

from hubrun.records.lab.notebook_copy import BEHIND
from hubrun.records.lab.recorder import Recorder

# Seconds that a cell has to end when the session does, so that what it had done is on record.
_GRACE = 8.0


class LabServer(ServerApp):  # type: ignore[misc]
    """The server of a session. Its signals are its caller's; when it ends, so do its kernels, and what they run first.

    ready: called when it serves.
    """

    recorder: Recorder
    ready: Callable[[], None]

    @override
    def init_signal(self) -> None:
        pass

    @override
    async def _post_start(self) -> None:
        await super()._post_start()
        self._saving = PeriodicCallback(self.recorder.look, BEHIND * 500)
        self._saving.start()
        self.ready()

    @override
    async def _cleanup(self) -> None:
        self.recorder.stopping = self.recorder.stopping or "stopped"
        for kernel in self.recorder.busy():
            if kernel in self.kernel_manager:
                await self.kernel_manager.interrupt_kernel(kernel)
        for _ in range(int(_GRACE / 0.1)):
            if not self.recorder.busy():
                break
            await asyncio.sleep(0.1)
        # A kernel that restarts just then cannot be shut down (jupyter_client, `_async_shutdown_kernel`: InvalidStateError).
        # Nothing keeps the session from ending; what is left is killed by its caller.
        try:
            await super()._cleanup()
        except Exception as error:
            self.log.error("at the end of the session: %r", error)
