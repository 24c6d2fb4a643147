"""The one way to an operator's terminal. What a server, a record or a student says arrives there as text, and gives no orders.

A terminal takes orders by control characters (xterm, "Control Sequences"): they retitle it, hide what was printed, or
write to its clipboard. So they are shown by their names, such as \\x1b.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from typing_extensions import override

from hubrun.control_characters import plain


class Terminal(Console):
    """A console of rich's, without its markup: in what somebody else wrote, [bold] is a word in brackets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"highlight": False, "markup": False, "emoji": False} | options))

    @override
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


def echo(text: object, err: bool = False) -> None:
    """Print a line, or several."""
    click.echo(plain(str(text)), err=err)


def show_uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """For sys.excepthook: the traceback of what nobody caught; its message may be a server's."""
    sys.stderr.write(plain("".join(traceback.format_exception(kind, error, where))))
