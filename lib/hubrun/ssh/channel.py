"""One command over one SSH channel."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from paramiko import Channel
from paramiko.ssh_exception import SSHException

from hubrun.errors import CommandFailed, ConnectionLost
from hubrun.ssh.output import Output


class _Stream:
    """What one of the two streams brings behind the line with the mark, which the login's own files know nothing of."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{mark}\n".encode()
        self.content = b""
        self.begun = False

    def take(self, chunk: bytes) -> bytes:
        """The part of the chunk that counts."""
        self.content += chunk
        if not self.begun:
            # What comes before may end with a newline or without.
            _, mark, chunk = self.content.partition(self._mark)
            if not mark:
                return b""
            self.begun, self.content = True, chunk
        return chunk

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


def execute(
    transport: Any,
    where: str,
    command: str,
    data: bytes,
    seconds: float,
    mark: str,
    on_output: Callable[[str], None] | None = None,
) -> Output:
    """Run `command` with `data` as its standard input: 2 round trips and the output.

    mark: a line that the command prints first, on both of its streams. on_output gets each piece of standard
    output, and "" once a second while there is none. seconds: time limit.
    Raises ConnectionLost (`where` says to what), CommandFailed when the time is over.
    """
    out, errors = _Stream(mark), _Stream(mark)
    try:
        channel = transport.open_session(timeout=20)
        channel.settimeout(1.0)
        channel.exec_command(command)
        workers = [
            threading.Thread(target=_feed, args=(channel, data), daemon=True),
            threading.Thread(target=_drain, args=(channel, errors), daemon=True),
        ]
        for worker in workers:
            worker.start()
        deadline = time.monotonic() + seconds
        while True:
            try:
                chunk = channel.recv(1 << 16)
            except TimeoutError:
                if time.monotonic() > deadline:
                    channel.close()
                    raise CommandFailed(f"timed out after {seconds:.0f} s", where) from None
                if on_output:
                    on_output("")
                continue
            if not chunk:
                break
            chunk = out.take(chunk)
            if on_output and chunk:
                on_output(chunk.decode(errors="replace"))
        for worker in workers:
            worker.join(5)
        alive = transport.is_active()
        exit_code = channel.recv_exit_status() if channel.exit_status_ready() or alive else -1
        channel.close()
    except (SSHException, EOFError, OSError) as error:
        raise _lost(str(error), where) from None
    if exit_code == -1 and not transport.is_active():
        raise _lost("the server closed it", where)
    return Output(exit_code, out.text, errors.text, begun=out.begun)


def _lost(reason: str, where: str) -> ConnectionLost:
    return ConnectionLost(
        f"the SSH connection was lost ({reason or 'no reason given'})",
        where,
        "Run it again: it carries on from what is there",
    )


def _feed(channel: Channel, data: bytes) -> None:
    sent = 0
    with contextlib.suppress(OSError, SSHException):
        while sent < len(data) and not channel.closed:
            with contextlib.suppress(TimeoutError):
                sent += channel.send(data[sent : sent + (1 << 15)])
        channel.shutdown_write()


def _drain(channel: Channel, into: _Stream) -> None:
    while True:
        try:
            chunk = channel.recv_stderr(1 << 16)
        except TimeoutError:
            if channel.closed:
                return
            continue
        except (OSError, SSHException):
            return
        if not chunk:
            return
        into.take(chunk)
