"""The parts of Jupyter Server that a session puts in place of its own: what a browser and the kernels say goes through them.

Nothing but the runbooks' copies can be read or written, and a kernel runs for them alone.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import sys
from collections.abc import Callable
from typing import Any, cast

from jupyter_client.session import Session
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.checkpoints import Checkpoints
from jupyter_server.services.contents.manager import ContentsManager
from jupyter_server.services.kernels.connection.base import deserialize_binary_message, deserialize_msg_from_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import PeriodicCallback
from tornado.web import HTTPError
from typing_extensions import override

from hubrun.environment import ENGINE, MESSAGE, PROJECT
from hubrun.records.lab.notebook_copy import BEHIND, NotebookCopy
from hubrun.records.lab.recorder import Recorder
from hubrun.records.ledger.manifest import sha256
from hubrun.records.run.kernels import ARGUMENTS, SALT
from hubrun.records.run.signals import REASONS

# Seconds that a cell has to end when the session does, so that what it had done is on record.
_GRACE = 8.0
# Seconds that a kernel has to come up.
_START = 60.0
# With a session that is killed its kernels end at once, and run nothing more: prctl(2), PR_SET_PDEATHSIG. Elsewhere than on
# Linux they notice within a second (ipykernel).
_END_WITH_US = ["--IPKernelApp.exec_lines=__import__('ctypes').CDLL(None).prctl(1, 9) or None"]
_ARGUMENTS = ARGUMENTS + (_END_WITH_US if sys.platform == "linux" else [])
_DIED = "the kernel died: what this step did until then is known to the server alone"


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
        self._saving = PeriodicCallback(self.recorder.save_if_behind, BEHIND * 500)
        self._saving.start()
        self.ready()

    @override
    async def _cleanup(self) -> None:
        self.recorder.stopping = self.recorder.stopping or "stopped"
        for kernel in self.recorder.busy():
            await self.kernel_manager.interrupt_kernel(kernel)
        for _ in range(int(_GRACE / 0.1)):
            if not self.recorder.busy():
                break
            await asyncio.sleep(0.1)
        await super()._cleanup()


class NoCheckpoints(Checkpoints):  # type: ignore[misc]
    """JupyterLab asks for a checkpoint with each save. There is nothing to go back to: it would hide what was done."""

    @override
    def create_checkpoint(self, contents_mgr: Any, path: str) -> dict[str, Any]:
        return {"id": "none", "last_modified": datetime.datetime.now(datetime.UTC)}

    @override
    def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        return []


class CopiesManager(ContentsManager):  # type: ignore[misc]
    """The runbooks' copies, and nothing else."""

    @property
    def _recorder(self) -> Recorder:
        return cast(LabServer, self.parent).recorder

    def _copy(self, path: str) -> NotebookCopy:
        copy = self._recorder.copy(path.strip("/"))
        if copy is None:
            raise HTTPError(403, "A session has its runbooks, and no other files")
        return copy

    @override
    def dir_exists(self, path: str) -> bool:
        return not path.strip("/")

    @override
    def file_exists(self, path: str) -> bool:
        return self._recorder.copy(path.strip("/")) is not None

    @override
    def is_hidden(self, path: str) -> bool:
        return False

    @override
    def get_kernel_path(self, path: str, model: Any = None) -> str:
        return self._copy(path).file.name

    @override
    def get(
        self, path: str, content: bool = True, type: str | None = None, format: str | None = None,
        require_hash: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        if not path.strip("/"):
            entries = [_model(copy) for copy in self._recorder.copies] if content else None
            return _fields("", "directory", self._recorder.copies[0].saved_at) | {
                "content": entries, "format": "json" if content else None,
            }  # fmt: skip
        copy = self._copy(path)
        return _model(copy, copy.opened() if content else None, require_hash)

    @override
    def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        copy = self._copy(path)
        if model.get("type") != "notebook" or not model.get("content"):
            raise HTTPError(403, "A session has its runbooks, and no other files")
        try:
            copy.merge(model["content"])
        except ValueError as error:
            raise HTTPError(400, f"This is not a notebook: {error}") from None
        copy.save()
        if copy.error:
            raise HTTPError(500, f"The record cannot be written: {copy.error.strerror}")
        return _model(copy, require_hash=True)

    @override
    def delete_file(self, path: str) -> None:
        raise HTTPError(403, "The runbooks of a session are its record: they cannot be deleted")

    @override
    def rename_file(self, old_path: str, new_path: str) -> None:
        raise HTTPError(403, "The runbooks of a session are its record: they cannot be renamed")


def _fields(name: str, kind: str, modified: float) -> dict[str, Any]:
    when = datetime.datetime.fromtimestamp(modified, datetime.UTC)
    return {
        "name": name, "path": name, "type": kind, "writable": True, "created": when, "last_modified": when,
        "mimetype": None, "content": None, "format": None,
    }  # fmt: skip


def _model(copy: NotebookCopy, content: Any = None, require_hash: bool = False) -> dict[str, Any]:
    """A copy as Jupyter's contents API shows it. Its time and hash are of what a browser saved: what the server writes
    meanwhile is no conflict."""
    model = _fields(copy.file.name, "notebook", copy.saved_at)
    if content is not None:
        model |= {"content": content, "format": "json"}
    if require_hash:
        model |= {"hash": sha256(str(copy.version).encode()), "hash_algorithm": "sha256"}
    return model


class RecordedKernels(AsyncMappingKernelManager):  # type: ignore[misc]
    """The kernels; what they say to everybody is heard here, whether or not there is a browser."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.opened: dict[str, str] = {}  # kernel → the runbook for which it was started
        self._streams: dict[str, Any] = {}
        self._answers: set[str] = set()  # kernels that were heard

    @property
    def recorder(self) -> Recorder:
        """That of the session."""
        return cast(LabServer, self.parent).recorder

    @override
    def cwd_for_path(self, path: str, **kwargs: Any) -> str:
        return str(PROJECT)  # what a cell writes beside itself must not get into the record

    async def _async_start_kernel(self, *, kernel_id: str | None = None, path: str | None = None, **kwargs: Any) -> str:
        if self.recorder.stopping or self.recorder.copy(path or "") is None:
            raise HTTPError(403, "A kernel is started for a runbook of the session")
        environment = {**kwargs.pop("env", {}), ENGINE: SALT}
        kernel = str(
            await super()._async_start_kernel(
                kernel_id=kernel_id, path=path, env=environment, extra_arguments=_ARGUMENTS, **kwargs
            )
        )
        self.opened[kernel] = path or ""
        self.add_restart_callback(kernel, lambda: self._died(kernel), "restart")
        self.add_restart_callback(kernel, lambda: self._died(kernel), "dead")
        return kernel

    start_kernel = _async_start_kernel

    async def _async_shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> Any:
        self._ended(kernel_id)
        return await super()._async_shutdown_kernel(kernel_id, now=now, restart=restart)

    shutdown_kernel = _async_shutdown_kernel

    async def _async_restart_kernel(self, kernel_id: str, now: bool = False) -> Any:
        self._ended(kernel_id)
        return await super()._async_restart_kernel(kernel_id, now=now)

    restart_kernel = _async_restart_kernel

    def _ended(self, kernel: str) -> None:
        cause = self.recorder.stopping or "stopped"
        self.recorder.lost(kernel, cause, REASONS[cause])
        self._answers.discard(kernel)

    def _died(self, kernel: str) -> None:
        self.recorder.lost(kernel, "kernel died", _DIED)
        self._answers.discard(kernel)

    @override
    def start_watching_activity(self, kernel_id: str) -> None:
        super().start_watching_activity(kernel_id)
        kernel = self.get_kernel(kernel_id)
        session = Session(config=kernel.session.config, key=kernel.session.key)
        stream = self._streams[kernel_id] = kernel.connect_iopub()

        def hear(parts: list[Any]) -> None:
            _, frames = session.feed_identities(parts)
            message = session.deserialize(frames)
            self._answers.add(kernel_id)
            parent = message["parent_header"].get("msg_id", "")
            size = sum(len(frame) for frame in frames)
            self.recorder.heard(kernel_id, message["msg_type"], parent, message["content"], size)

        stream.on_recv(hear)

    @override
    def stop_watching_activity(self, kernel_id: str) -> None:
        super().stop_watching_activity(kernel_id)
        self._streams.pop(kernel_id).close()

    async def until_heard(self, kernel_id: str) -> None:
        """Wait until what a kernel says arrives here: a subscription takes effect some time after it was made (zmq_socket(3)).

        Raises HTTPError when that takes too long.
        """
        shell = self.get_kernel(kernel_id).connect_shell()
        try:
            for _ in range(int(_START / 0.1)):
                if kernel_id in self._answers:
                    return
                self.get_kernel(kernel_id).session.send(shell, "kernel_info_request")
                await asyncio.sleep(0.1)
        finally:
            shell.close()
        raise HTTPError(500, "The kernel does not answer")


class RecordedConnection(ZMQChannelsWebsocketConnection):  # type: ignore[misc]
    """A browser's connection to a kernel: what it wants to be run is known here first."""

    @property
    def _kernels(self) -> RecordedKernels:
        return cast(RecordedKernels, self.multi_kernel_manager)

    @override
    async def prepare(self) -> None:
        await super().prepare()
        await self._kernels.until_heard(self.kernel_id)

    @override
    def handle_incoming_message(self, incoming_msg: Any) -> None:
        header, metadata, content = self._read(incoming_msg)
        if header["msg_type"] == "execute_request" and self.channels:
            recorder = self._kernels.recorder
            if recorder.stopping:
                return
            if not content.get("silent"):
                opened = self._kernels.opened[self.kernel_id]
                recorder.asked(
                    self.kernel_id, opened, header["msg_id"], str(metadata.get("cellId", "")), content["code"]
                )
        super().handle_incoming_message(incoming_msg)

    def _read(self, message: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Header, metadata and content of what a browser sends. Jupyter Server's documentation, "WebSocket protocols"."""
        if self.subprotocol == "v1.kernel.websocket.jupyter.org":
            _, parts = deserialize_msg_from_ws_v1(message)
            header, _, metadata, content = (self.session.unpack(part) for part in parts[:4])
        else:
            read = deserialize_binary_message(message) if isinstance(message, bytes) else json.loads(message)
            header, metadata, content = read["header"], read["metadata"], read["content"]
        return header, metadata, content

    @override
    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        _, frames = self.session.feed_identities(outgoing_msg)
        kind = self.session.unpack(frames[1])["msg_type"]
        if kind == MESSAGE:
            return
        if kind == "execute_reply":
            parent = self.session.unpack(frames[2]).get("msg_id", "")
            self._kernels.recorder.replied(parent, self.session.unpack(frames[4]))
        super().handle_outgoing_message(stream, outgoing_msg)
