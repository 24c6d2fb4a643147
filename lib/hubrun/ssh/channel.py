"""One command over one SSH channel."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paramiko import Channel
from paramiko.ssh_exception import SSHException

from hubrun.errors import CommandFailed, ConnectionLost


@dataclass(frozen=True)
class Output:
    """What a command printed, and its exit code.

    at: when, in seconds since the epoch. early: it was asked before its turn came.
    """

    exit_code: int
    stdout: str
    stderr: str = ""
    at: float = field(default_factory=time.time)
    early: bool = False


def execute(
    transport: Any,
    where: str,
    command: str,
    data: bytes,
    seconds: float,
    on_output: Callable[[str], None] | None = None,
) -> Output:
    """Run `command` with `data` as its standard input: 2 round trips and the output.

    on_output gets each piece of standard output, and "" once a second while there is none. seconds: time limit.
    Raises ConnectionLost (`where` says to what), CommandFailed when the time is over.
    """
    try:
        channel = transport.open_session(timeout=20)
        channel.settimeout(1.0)
        channel.exec_command(command)
        errors: list[bytes] = []
        workers = [
            threading.Thread(target=_feed, args=(channel, data), daemon=True),
            threading.Thread(target=_drain, args=(channel, errors), daemon=True),
        ]
        for worker in workers:
            worker.start()
        chunks: list[bytes] = []
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
            chunks.append(chunk)
            if on_output:
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
    return Output(exit_code, b"".join(chunks).decode(errors="replace"), b"".join(errors).decode(errors="replace"))


def _lost(reason: str, where: str) -> ConnectionLost:
    return ConnectionLost(
        f"the SSH connection was lost ({reason or 'no reason given'})",
        where,
        "Run it again: it carries on from what is there",
    )


def _feed(channel: Channel, data: bytes) -> None:
    # Not through a file: invoke writes a string's bytes one by one.
    sent = 0
    with contextlib.suppress(OSError, SSHException):
        while sent < len(data) and not channel.closed:
            with contextlib.suppress(TimeoutError):
                sent += channel.send(data[sent : sent + (1 << 15)])
        channel.shutdown_write()


def _drain(channel: Channel, into: list[bytes]) -> None:
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
        into.append(chunk)
