"""Launches at one a second while something goes on, and what came of them: nobody is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from canvas import Student
from machines import Machine

# How often a launch is sent again while the page is there that waits and goes on by itself.
WAITS = 60


@dataclass
class Launches:
    """What came of them: how many were sent, who was refused, how often the page that goes on by itself was seen, and the
    seconds that the slowest took."""

    sent: int = 0
    waited: int = 0
    refused: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def launch(self, machine: Machine, name: str, pair: tuple[str, str]) -> None:
        """Launch `name` with this key and secret, as a browser does: once more after a second at the page that waits, and
        where a hub that ends sends it on to the next one."""
        began = time.monotonic()
        with Student(machine.info, name) as student:
            for _ in range(WAITS):
                try:
                    page = student.launch(*pair)
                except httpx.TransportError as error:
                    return self._note(began, f"{name}: {error!r}")
                if 'data-hubrun="away"' not in page.text and page.status_code != 307:
                    break
                with self._lock:
                    self.waited += 1
                time.sleep(1)
            came_in = page.status_code == 302 and student.logged_in
            self._note(began, "" if came_in else f"{name}: {page.status_code} {page.text[:300]}")

    def _note(self, began: float, refused: str) -> None:
        took = time.monotonic() - began
        with self._lock:
            self.slowest = max(self.slowest, took)
            if refused:
                self.refused.append(f"{refused} after {took:.1f} s, at {time.strftime('%H:%M:%S')}")

    def __str__(self) -> str:
        return (
            f"{self.sent} launches, {len(self.refused)} refused, {self.waited} waits at the page that goes on, "
            f"the slowest {self.slowest:.1f} s"
        )


@contextmanager
def launches(machine: Machine, what: str, sign: Callable[[], tuple[str, str]]) -> Iterator[Launches]:
    """A launch each second while this lasts, signed as Canvas does at that moment; afterwards none was refused.

    what: what goes on meanwhile, for the line of figures that is printed.
    """
    seen, over = Launches(), threading.Event()

    def all_of_them(pool: ThreadPoolExecutor) -> None:
        while not over.wait(1):
            pool.submit(seen.launch, machine, f"turn{seen.sent % 5}", sign())
            seen.sent += 1

    with ThreadPoolExecutor(30) as pool, ThreadPoolExecutor(1) as other:
        going = other.submit(all_of_them, pool)
        try:
            yield seen
            time.sleep(3)
        finally:
            over.set()
            going.result()
    print(f"{what}: {seen}")
    assert seen.sent > 5 and not seen.refused, "\n".join(seen.refused)
