"""What a command on a server came to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Output:
    """What a command printed, and its exit code.

    at: when, in seconds since the epoch; since: the same of a clock that nobody sets. early: it was asked before its turn
    came. begun: the mark came; else stdout and stderr are what the login printed in its place.
    """

    exit_code: int
    stdout: str
    stderr: str = ""
    at: float = field(default_factory=time.time)
    since: float = field(default_factory=time.monotonic)
    early: bool = False
    begun: bool = True
