"""A TCP proxy on loopback that adds latency and counts round trips on the wire.

    python -m benchmarks.proxy PORT [MILLISECONDS]      (PORT of 127.0.0.1; the round trip's length, else 50)

**Round trip**, as counted here: the longest chain of payloads in which each could be the answer to the one before. What
the client sends after it was handed an answer of round trip n opens round trip n + 1; it counts when an answer to it is
handed to the client. What is sent while nothing new has arrived belongs to the round trip that is open already, however
many pieces it comes in. So a count n on a connection means that it lasted n round trips at least, whatever else it did.
TCP's own handshake carries no payload and is not counted; its time is added all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

MOST = 64  # connections at a time
_PIECE = 1 << 16


@dataclass
class Trips:
    """The round trips of one connection. `sent`, `answered`: the highest that each side has been handed."""

    client_knows: int = 0  # answers of this round trip have been handed to the client
    server_knows: int = 0
    to_server: int = 0  # bytes
    to_client: int = 0

    @property
    def count(self) -> int:
        return self.client_knows

    def client_sends(self, size: int) -> int:
        """The round trip that a payload of the client belongs to."""
        self.to_server += size
        return self.client_knows + 1

    def server_sends(self, size: int) -> int:
        self.to_client += size
        return self.server_knows

    def handed_to_server(self, trip: int) -> None:
        self.server_knows = max(self.server_knows, trip)

    def handed_to_client(self, trip: int) -> None:
        self.client_knows = max(self.client_knows, trip)


@dataclass
class Proxy:
    """Forwards connections on a free port of 127.0.0.1 to `target`, another port there; a context manager.

    delay: seconds added each way. connections: what each connection came to, in the order in which they were opened.
    """

    target: int
    delay: float = 0.025
    port: int = 0
    connections: list[Trips] = field(default_factory=list)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), daemon=True)
        self._thread.start()
        if not ready.wait(5) or not self.port:
            raise OSError("the proxy did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(5)

    def take(self) -> list[Trips]:
        """The connections so far; counting begins again."""
        taken, self.connections = self.connections, []
        return taken

    async def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
        finally:
            ready.set()
        await self._over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MOST:
            writer.close()
            return
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
        trips = Trips()
        self.connections.append(trips)
        try:
            # SYN, SYN-ACK and ACK: a server sees a connection, and may speak first, one and a half round trips after.
            await asyncio.sleep(3 * self.delay)
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                await asyncio.gather(
                    self._forward(reader, back, trips.client_sends, trips.handed_to_server),
                    self._forward(there, writer, trips.server_sends, trips.handed_to_client),
                )
            finally:
                back.close()
        except OSError:
            pass  # one end has gone: so does the other
        finally:
            writer.close()
            if task:
                self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sends, handed) -> None:  # type: ignore[no-untyped-def]
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, int, bytes]] = asyncio.Queue(maxsize=1024)

        async def receive() -> None:
            async for piece in _pieces(reader):
                await waiting.put((loop.time() + self.delay, sends(len(piece)), piece))
            await waiting.put((loop.time() + self.delay, 0, b""))

        receiving = asyncio.ensure_future(receive())
        try:
            while True:
                due, trip, piece = await waiting.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not piece:
                    break
                handed(trip)
                writer.write(piece)
                await writer.drain()
            with contextlib.suppress(OSError):
                writer.write_eof()
        finally:
            receiving.cancel()


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What arrives, until the other side has no more to send or the connection breaks."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            yield piece


def main() -> None:
    if len(sys.argv) not in (2, 3) or not all(word.isdigit() for word in sys.argv[1:]):
        sys.exit(__doc__)
    round_trip = int(sys.argv[2]) if len(sys.argv) == 3 else 50
    with Proxy(int(sys.argv[1]), round_trip / 2000) as proxy:
        print(f"127.0.0.1:{proxy.port} leads to 127.0.0.1:{proxy.target}, {round_trip} ms a round trip; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        for number, trips in enumerate(proxy.connections, 1):
            print(
                f"connection {number}: {trips.count} round trips, {trips.to_server} bytes out, {trips.to_client} bytes in"
            )


if __name__ == "__main__":
    main()
