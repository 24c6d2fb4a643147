"""Ctrl-C and other signals that end a run: first they stop what goes on in an orderly way, then at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line catches signals before it imports what is slow
    from hubrun.records.ledger.manifest import Cause

_CAUSES: dict[int, Cause] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
REASONS: dict[Cause, str] = {
    "Ctrl-C": "stopped with Ctrl-C",
    "SIGTERM": "the run was told to end (SIGTERM)",
    "SIGHUP": "the terminal was closed (SIGHUP)",
    "stopped": "stopped in JupyterLab",
}


class Stopped(KeyboardInterrupt):
    """The run was stopped by a signal; `cause` says by which."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


@contextlib.contextmanager
def on_signal(stop: Callable[[Cause], None]) -> Iterator[None]:
    """While the block runs, `stop` is called when the process is told to end; outside the main thread it is not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: FrameType | None) -> None:
        stop(_CAUSES[number])

    before = {number: signal.getsignal(number) for number in _CAUSES}
    # Under nohup the terminal may close: what is ignored stays ignored.
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])


def at_once(cause: Cause) -> None:
    """For `on_signal`: raise Stopped where the program is."""
    raise Stopped(cause)
