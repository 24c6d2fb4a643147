"""The kernels of a session, and the browsers' connections to them: what goes through is told to the recorder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any, cast

import zmq
from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from jupyter_server.services.sessions.sessionmanager import SessionManager
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError
from typing_extensions import override

from hubrun.environment import ENGINE, MESSAGE, PROJECT
from hubrun.records.lab.recorder import Recorder, Request
from hubrun.records.run.kernels import ARGUMENTS, SALT
from hubrun.records.run.signals import REASONS

# Seconds that a kernel has to come up.
_START = 60.0
# With a session that is killed its kernels end at once, and run nothing more: prctl(2), PR_SET_PDEATHSIG. Elsewhere than on
# Linux they notice within a second (ipykernel).
_END_WITH_US = ["--IPKernelApp.exec_lines=__import__('ctypes').CDLL(None).prctl(1, 9) or None"]
_ARGUMENTS = ARGUMENTS + (_END_WITH_US if sys.platform == "linux" else [])
_DIED = "the kernel died: what this step did until then is known to the server alone"


class RecordedKernel(ServerKernelManager):  # type: ignore[misc]
    """One kernel. Its sockets have short names: a path may have 104 characters (unix(7); so many on macOS)."""

    @override
    def _ip_default(self) -> str:
        folder, _, name = self.connection_file.rpartition("/")
        return f"{folder}/{name.removeprefix('kernel-')[:8]}"


class RecordedKernels(AsyncMappingKernelManager):  # type: ignore[misc]
    """The kernels; what they say to everybody is heard here, whether or not there is a browser."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.opened: dict[str, str] = {}  # kernel → the runbook for which it was started
        self._streams: dict[str, Any] = {}
        self._shells: dict[str, Any] = {}  # for what a browser left behind
        self._answers: set[str] = set()  # kernels that were heard
        self.context.setsockopt(zmq.RCVHWM, 0)  # nothing that a kernel says is dropped here

    @property
    def recorder(self) -> Recorder:
        """That of the server."""
        recorder: Recorder = self.parent.recorder
        return recorder

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

    def send(self, kernel_id: str, header: dict[str, Any], metadata: dict[str, Any], content: dict[str, Any]) -> None:
        """Give a kernel a request for which no browser waits any more."""
        kernel = self.get_kernel(kernel_id)
        if kernel_id not in self._shells:
            self._shells[kernel_id] = kernel.connect_shell()
        kernel.session.send(self._shells[kernel_id], "execute_request", content, header=header, metadata=metadata)

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


class RecordedSessions(SessionManager):  # type: ignore[misc]
    """What belongs together: a notebook in a browser, and its kernel."""

    @override
    async def start_kernel_for_session(self, session_id: str, path: Any, name: Any, *more: Any, **named: Any) -> str:
        # JupyterLab says a name of its own making for the path until the kernel is there, and the notebook's as the name.
        known = self.kernel_manager.recorder.copy(name or "")
        path = name if known else path
        return str(await super().start_kernel_for_session(session_id, path, name, *more, **named))


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
        if header["msg_type"] != "execute_request" or content.get("silent") or not self.channels:
            super().handle_incoming_message(incoming_msg)
            return
        self._kernels.recorder.asked(
            Request(
                kernel=self.kernel_id,
                message=header["msg_id"],
                cell=str(metadata.get("cellId", "")),
                opened=self._kernels.opened[self.kernel_id],
                source=content["code"],
                send=lambda: self._send(header, metadata, content),
                refuse=lambda: self._refuse(header),
                stops=bool(content.get("stop_on_error", True)),
            )
        )

    def _send(self, header: dict[str, Any], metadata: dict[str, Any], content: dict[str, Any]) -> None:
        """Give the kernel a request, which may have waited so long that the browser is gone, and its words' form with it."""
        shell = self.channels.get("shell")
        if shell is not None and not shell.closed():
            self.session.send(shell, "execute_request", content, header=header, metadata=metadata)
        else:
            self._kernels.send(self.kernel_id, header, metadata, content)

    def _refuse(self, header: dict[str, Any]) -> None:
        """Tell the browser, as a kernel does, that a cell is not run after the error of one before it."""
        for kind, channel, content in (
            ("execute_reply", "shell", {"status": "aborted"}), ("status", "iopub", {"execution_state": "idle"}),
        ):  # fmt: skip
            message = self.session.msg(kind, content, parent=header)
            with contextlib.suppress(WebSocketClosedError):
                if self.subprotocol == "v1.kernel.websocket.jupyter.org":
                    packed = serialize_msg_to_ws_v1(message, channel, self.session.pack)
                    self.write_message(packed, binary=True)
                else:
                    self.write_message(json.dumps({**message, "channel": channel}, default=json_default))

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
