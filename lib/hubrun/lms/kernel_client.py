"""Executing code in a running kernel through the websocket that JupyterLab uses.

By a client with one thread: OpenSSL allows no two at one connection, and one that reads in a thread of its own loses a
message after the TLS handshake now and then: https://github.com/miguelgrinberg/python-engineio/issues/461.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from websocket import (
    WebSocket,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketTimeoutException,
    create_connection,
)

from hubrun.errors import CheckFailed
from hubrun.lms.connect_to import Route

# Seconds after which a kernel that has not answered is asked again.
_ASK_AGAIN_S = 2.0


def execute(route: Route, url: str, headers: Mapping[str, str], code: str, timeout_s: float) -> str:
    """Execute `code` and return what it printed, then the text of its last value, stripped at the end.

    `url` is the kernel's channels (wss://…/api/kernels/<id>/channels), `headers` the browser's cookies.
    Raises CheckFailed when the websocket is refused or closes, the code raises, or `timeout_s` seconds go by. The
    messages are those of https://jupyter-client.readthedocs.io/en/stable/messaging.html, as JSON, since no subprotocol
    is asked for.
    """
    deadline = time.monotonic() + timeout_s
    at_nginx = (
        "nginx must pass Upgrade and Connection on (proxy_http_version 1.1) and wait a long time (proxy_read_timeout)."
    )
    try:
        channels = _open(route, url, headers, timeout_s)
        try:
            _await_kernel(channels, deadline)
            return _execute(channels, code, deadline)
        finally:
            with contextlib.suppress(WebSocketException, OSError):
                channels.close(timeout=2)
    except (WebSocketTimeoutException, TimeoutError) as error:
        raise CheckFailed(
            f"the kernel did not answer within {timeout_s:g} s",
            url,
            "Look at the container's log (docker logs), and at the memory and load of the server.",
        ) from error
    except WebSocketBadStatusException as error:  # its own text has the answer's headers, cookies among them
        raise CheckFailed(f"the websocket of the kernel is refused: {error.status_code}", url, at_nginx) from None
    except (WebSocketException, OSError) as error:
        raise CheckFailed(f"the websocket of the kernel failed: {str(error).rstrip('.')}", url, at_nginx) from error


def _open(route: Route, url: str, headers: Mapping[str, str], timeout_s: float) -> WebSocket:
    """Open the kernel's websocket. Jupyter Server answers when it has heard the kernel, for a minute at most
    (jupyter_server, kernel_info_timeout).
    """
    context = route.ssl_context() if url.startswith("wss:") else None
    sock = None
    if route.is_direct:
        sock = socket.create_connection(route.target("http" + url.removeprefix("ws")), timeout=timeout_s)
        if context:
            sock = context.wrap_socket(sock, server_hostname=urlsplit(url).hostname)
    # Origin is among the headers.
    return create_connection(
        url, timeout_s, header=dict(headers), socket=sock, sslopt={"context": context} if context else None,
        suppress_origin=True, redirect_limit=0,
    )  # fmt: skip


def _received(channels: WebSocket, until: float) -> Any:
    """The next message. Raises WebSocketTimeoutException at `until`, of time.monotonic()."""
    channels.settimeout(max(0.01, until - time.monotonic()))
    text = channels.recv()
    if not text:
        raise WebSocketConnectionClosedException("Jupyter Server closed it")
    return json.loads(text)


def _await_kernel(channels: WebSocket, deadline: float) -> None:
    """Ask what the kernel is until its status comes back: what a kernel says before its outputs are listened to is lost.

    So jupyter_client does it too (BlockingKernelClient.wait_for_ready). A kernel that starts on a busy server takes
    seconds. Raises WebSocketTimeoutException.
    """
    asked: set[str] = set()
    while time.monotonic() < deadline:
        request = _request("kernel_info_request", {})
        asked.add(request["header"]["msg_id"])
        channels.send(json.dumps(request))
        again = min(deadline, time.monotonic() + _ASK_AGAIN_S)
        with contextlib.suppress(WebSocketTimeoutException):
            while True:
                message = _received(channels, again)
                # Idle, and not busy: what is sent while it answers this question can be lost too.
                if (
                    message["parent_header"].get("msg_id") in asked
                    and message["content"].get("execution_state") == "idle"
                ):
                    return
    raise WebSocketTimeoutException


def _execute(channels: WebSocket, code: str, deadline: float) -> str:
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    request = _request("execute_request", content)
    channels.send(json.dumps(request))
    printed: list[str] = []
    value = ""
    error = ""
    replied = idle = False
    # the reply and the outputs travel on two channels: either may be the last to arrive
    while not (replied and idle):
        message = _received(channels, deadline)
        if message["msg_type"] == "status" and message["content"]["execution_state"] in ("restarting", "dead"):
            raise CheckFailed("the kernel ended while it executed the cell", "kernel", detail="".join(printed))
        if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
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
