"""Starts a student's server as a launch does, through the hub itself, runs a line in a kernel there, and stops it again.

ENV_FILE URL IMAGE [NODE]: the file with the token of the service that may do so for one test user, the hub's address, and the
name of the image that is tried, which is on the manager alone; with NODE: of that which counts, and starts there. Prints what
came of it, and ends with 1 when no server came, or it runs no code. It is run by root, with the hub's Python.
"""

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from hubrun_hub.docker_command import docker, engines
from hubrun_hub.failed import Failed
from hubrun_hub.nodes import drained
from hubrun_hub.student_container import TRIES

_SECONDS = 300
_KERNEL_SECONDS = 60


class NoKernel(Exception):
    """The server runs, and no code in it; the text says why."""


async def run_line(server: str, token: str) -> None:
    """Run a line in a new kernel of the server at this address, http://HOST:PORT/BASE/. Raises NoKernel.

    https://jupyter-server.readthedocs.io/en/latest/developers/rest-api.html and
    https://jupyter-client.readthedocs.io/en/stable/messaging.html
    """
    from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
    from tornado.websocket import websocket_connect

    headers = {"Authorization": f"token {token}"}
    client = AsyncHTTPClient()
    try:
        address = f"{server}api/kernels"
        made = await client.fetch(address, method="POST", headers=headers, body="{}", request_timeout=_KERNEL_SECONDS)
        kernel = f"{address}/{json.loads(made.body)['id']}"
        socket = await websocket_connect(HTTPRequest(f"ws{kernel.removeprefix('http')}/channels", headers=headers))
        asked = uuid4().hex
        header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": asked, "version": "5.3"}
        content = {"code": "print(6 * 7)", "silent": False, "store_history": False, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await socket.write_message(json.dumps(message))
        while True:
            said = await socket.read_message()
            if said is None:
                raise NoKernel("its kernel ended")
            answer = json.loads(said)
            if answer["parent_header"].get("msg_id") != asked or answer["msg_type"] not in ("stream", "error"):
                continue
            if answer["content"].get("text", "").strip() == "42":
                return
            raise NoKernel(f"its kernel says {str(answer['content'])[:200]} to print(6 * 7)")
    except HTTPClientError as error:
        body = error.response.body.decode(errors="replace") if error.response and error.response.body else ""
        raise NoKernel(f"it starts no kernel: {error} {body[:300]}") from error
    except (OSError, ValueError, KeyError) as error:
        raise NoKernel(f"it starts no kernel: {error!r}") from error


def server_of(container: Any) -> tuple[str, str]:
    """The image of a container, and the address of the server in it, from what `docker inspect` says of it."""
    (network,) = container["NetworkSettings"]["Networks"].values()
    given = dict(line.split("=", 1) for line in container["Config"]["Env"] if "=" in line)
    url = urlsplit(given["JUPYTERHUB_SERVICE_URL"])
    return container["Config"]["Image"], f"http://{network['IPAddress']}:{url.port}{url.path}"


def _container() -> Any:
    """What Docker says of the container of the one who tries, wherever it is. Raises Failed."""
    for node in engines():
        if found := docker("ps", "-q", "--filter", f"label=hubrun.student={TRIES}", node=node).split():
            return json.loads(docker("inspect", found[0], node=node))[0]
    raise Failed("the hub says that a server runs, and no Docker knows it")


def _why_not(token: str, image: str) -> str:
    """What is wrong with the server that runs; "" for nothing. Raises Failed."""
    started, address = server_of(_container())
    if started != image:
        return f"the hub started {started} in place of {image}: it runs with code of before; run 02 and 04 first"
    try:
        asyncio.run(asyncio.wait_for(run_line(address, token), _KERNEL_SECONDS))
    except NoKernel as error:
        return f"a server starts, but {error}"
    except asyncio.TimeoutError:  # noqa: UP041 - a class of its own in Python 3.10
        return f"a server starts, but its kernel answers nothing within {_KERNEL_SECONDS} s"
    return ""


def main(env_file: str, url: str, image: str, node: str = "") -> int:
    """Return the exit code."""
    if node in drained.read():
        print(f"{node} is drained: no server starts there")
        return 0
    from dotenv import dotenv_values  # type: ignore[import-not-found]

    token = dotenv_values(env_file)["HUBRUN_VERIFY_TOKEN"]

    def call(method: str, path: str, *known: int, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{url}/hub/api{path}", method=method, headers={"Authorization": f"token {token}"},
            data=json.dumps(body).encode() if body else None,
        )  # fmt: skip
        try:
            return urllib.request.urlopen(request, timeout=_SECONDS)  # nosec B310 - the hub on loopback
        except urllib.error.HTTPError as error:
            if error.code in known:
                return error
            sys.exit(f"{method} {path}: {error.code} {error.read()[:300].decode(errors='replace')}")

    def stop() -> None:
        until = time.monotonic() + _SECONDS
        while call("DELETE", f"/users/{TRIES}/server", 400, 404).status != 204 and time.monotonic() < until:
            # 202: it is being stopped; 400: it is starting, being stopped, or not there.
            if not json.load(call("GET", f"/users/{TRIES}")).get("servers"):
                return
            time.sleep(1)

    call("POST", f"/users/{TRIES}", 409)
    stop()
    last: dict[str, Any] = {}
    until = time.monotonic() + _SECONDS
    wrong = ""
    try:
        options: dict[str, Any] = {"node": node} if node else {"candidate": True}
        call("POST", f"/users/{TRIES}/server", 400, 500, 503, body={"user_options": options})
        for line in call("GET", f"/users/{TRIES}/server/progress", 400, 404):
            if line.startswith(b"data: "):
                last = json.loads(line.removeprefix(b"data: "))
            if last.get("ready") or last.get("failed") or time.monotonic() > until:
                break
        wrong = (
            _why_not(token, image) if last.get("ready") else last.get("message") or "the hub said nothing of the start"
        )
    except Failed as error:
        wrong = str(error)
    finally:
        stop()
        call("DELETE", f"/users/{TRIES}", 404)
    print(wrong or "a server starts, and runs a line")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
