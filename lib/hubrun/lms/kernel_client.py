"""Executing code in a running kernel through the websocket that JupyterLab uses."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid
from collections.abc import Mapping
from typing import Any

from websockets.exceptions import InvalidMessage, WebSocketException
from websockets.sync.client import ClientConnection, connect

from hubrun.errors import CheckFailed
from hubrun.lms.connect_to import Route

# Seconds after which a kernel that has not answered is asked again, and after which it is over a new websocket: as when
# somebody reloads the page.
_ASK_AGAIN_S = 2.0
_RELOAD_S = 15.0
# Seconds without a word after which a kernel that executes is asked whether it still does.
_QUIET_S = 8.0


class _Silent(Exception):
    """The kernel does not even say that it is there, or has done with a cell and its answer is lost."""


def execute(route: Route, url: str, headers: Mapping[str, str], code: str, timeout_s: float) -> str:
    """Execute `code` and return what it printed, then the text of its last value, stripped at the end.

    `url` is the kernel's channels (wss://…/api/kernels/<id>/channels), `headers` the browser's cookies.
    A cell whose answer is lost on the way is executed once more. Raises CheckFailed when the websocket is refused or
    closes, the code raises, or `timeout_s` seconds go by. The messages are those of
    https://jupyter-client.readthedocs.io/en/stable/messaging.html, as JSON, since no subprotocol is asked for.
    """
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            with contextlib.suppress(_Silent), _open(route, url, headers, deadline) as channels:
                _await_kernel(channels, deadline)
                return _execute(channels, code, deadline)
            if time.monotonic() >= deadline:
                raise CheckFailed(
                    f"neither the kernel nor its answer came within {timeout_s:g} s, over several websockets",
                    url,
                    "Look at the container's log (docker logs), and at the memory and load of the server.",
                )
    except TimeoutError as error:
        raise CheckFailed(
            f"the kernel did not finish within {timeout_s:g} s", url, "Look at the memory and load of the server."
        ) from error
    except (WebSocketException, OSError) as error:
        raise CheckFailed(
            f"the websocket of the kernel failed: {error}",
            url,
            "nginx must pass Upgrade and Connection on (proxy_http_version 1.1) and wait a long time (proxy_read_timeout).",
        ) from error


def _open(route: Route, url: str, headers: Mapping[str, str], deadline: float) -> ClientConnection:
    """Open the kernel's websocket. Jupyter Server answers when it heard the kernel, and hangs up when it did not within
    a minute (jupyter_server, kernel_info_timeout): _Silent, since JupyterLab opens another one then.
    """
    limit = max(1.0, min(_RELOAD_S, deadline - time.monotonic()))
    secure = route.ssl_context() if url.startswith("wss:") else None
    target = route.target("http" + url.removeprefix("ws"))
    sock = socket.create_connection(target, timeout=limit) if route.is_direct else None
    try:
        return connect(
            url, sock=sock, ssl=secure, additional_headers=headers, open_timeout=limit, close_timeout=2, max_size=None
        )
    except (TimeoutError, InvalidMessage) as error:
        raise _Silent from error


def _await_kernel(channels: ClientConnection, deadline: float) -> None:
    """Ask what the kernel is until its status comes back: what a kernel says before its outputs are listened to is lost.

    So jupyter_client does it too (BlockingKernelClient.wait_for_ready). A kernel that starts on a busy server takes
    seconds. Raises _Silent after _RELOAD_S seconds.
    """
    asked: set[str] = set()
    silent = min(deadline, time.monotonic() + _RELOAD_S)
    while time.monotonic() < silent:
        request = _request("kernel_info_request", {})
        asked.add(request["header"]["msg_id"])
        channels.send(json.dumps(request))
        again = min(silent, time.monotonic() + _ASK_AGAIN_S)
        with contextlib.suppress(TimeoutError):
            while True:
                message = json.loads(channels.recv(timeout=max(0.0, again - time.monotonic())))
                # Idle, and not busy: what is sent while it answers this question can be lost too.
                if (
                    message["parent_header"].get("msg_id") in asked
                    and message["content"].get("execution_state") == "idle"
                ):
                    return
    raise _Silent


def _execute(channels: ClientConnection, code: str, deadline: float) -> str:
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    request = _request("execute_request", content)
    channels.send(json.dumps(request))
    printed: list[str] = []
    value = ""
    error = ""
    replied = idle = False
    # the reply and the outputs travel on two channels: either may be the last to arrive
    asked: set[str] = set()
    while not (replied and idle):
        try:
            message = json.loads(channels.recv(timeout=max(0.0, min(_QUIET_S, deadline - time.monotonic()))))
        except TimeoutError:
            if time.monotonic() >= deadline:
                raise
            # It answers one request after another: when it answers this one, it has done with the cell.
            question = _request("kernel_info_request", {})
            asked.add(question["header"]["msg_id"])
            channels.send(json.dumps(question))
            continue
        parent = message["parent_header"].get("msg_id")
        if message["msg_type"] == "status" and message["content"]["execution_state"] in ("restarting", "dead"):
            raise CheckFailed("the kernel ended while it executed the cell", "kernel", detail="".join(printed))
        if parent in asked and message["msg_type"] == "kernel_info_reply":
            raise _Silent
        if parent != request["header"]["msg_id"]:
            continue
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                printed.append(content["text"])
            case "execute_result":
                value = content["data"].get("text/plain", "")
            case "error":
                error = f"{content['ename']}: {content['evalue']}"
            case "execute_reply":
                replied = True
            case "status":
                idle = content["execution_state"] == "idle"
    if error:
        raise CheckFailed(f"the cell ended with {error}", "kernel", detail="".join(printed))
    return ("".join(printed) + value).rstrip()


def _request(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": kind,
        "session": uuid.uuid4().hex,
        "username": "",
        "version": "5.3",
    }
    return {
        "channel": "shell",
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "buffers": [],
    }
