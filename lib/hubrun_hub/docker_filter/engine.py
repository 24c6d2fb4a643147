"""One engine of Docker: the manager's, or a node's by its connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..nodes.nodes_file import MANAGER

# Of all students' containers, and of one: a node that was taken over may say what it likes, to each of many questions at once,
# and this service has 256 MB for all of them.
LIST_BYTES = 8 * 1024 * 1024
_NODE_BYTES = 512 * 1024
# What Docker does may take so long (a stop waits for 10 s).
_DOCKER_S = 300.0
_Late = asyncio.TimeoutError  # a class of its own in Python 3.10


class FilterError(Exception):
    """A request that is not answered by Docker: the status, and a line for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Engine:
    """node: whose it is. socket: where it is asked."""

    def __init__(self, node: str, socket: str | Path) -> None:
        self.node, self.socket = node, str(socket)

    @property
    def on_node(self) -> bool:
        """Whether it is another server's than the hub's."""
        return self.node != MANAGER

    async def ask(self, method: str, path: str, body: bytes = b"", most: int = 0) -> bytes:
        """Docker's whole answer. HTTP/1.0: it comes in one piece, and the connection ends with it. most: bytes; 0: what is usual.

        Raises FilterError, and OSError where the manager's does not answer.
        """
        most = most or (_NODE_BYTES if self.on_node else LIST_BYTES)

        async def exchange() -> bytes:
            reader, writer = await asyncio.open_unix_connection(self.socket)
            try:
                head = f"{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                found = bytearray()
                while piece := await reader.read(65536):
                    found += piece
                    if len(found) > most:
                        raise FilterError(502, "Docker's answer is too long")
                return bytes(found)
            finally:
                writer.close()

        try:
            found = await asyncio.wait_for(exchange(), _DOCKER_S)
        except _Late as error:
            raise FilterError(504, f"Docker does not answer within {_DOCKER_S:g} s") from error
        except OSError as error:
            if not self.on_node:
                raise
            raise FilterError(503, f"node {self.node} is away: {error}") from error
        # The connection with a node takes in a question whose answer nobody gives.
        if self.on_node and not found:
            raise FilterError(503, f"node {self.node} is away: its Docker does not answer")
        return found
