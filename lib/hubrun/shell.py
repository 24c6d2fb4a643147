"""Values in shell scripts and in the lines of files on a server."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from hubrun.control_characters import CONTROL
from hubrun.errors import BadInput


def quote(template: str, *args: object) -> str:
    """`template` with each {} replaced by the shell-quoted argument: the one place where quoting is done.

    A list or tuple becomes several quoted words. Raises TypeError when the counts differ.
    """
    words = [
        " ".join(shlex.quote(str(word)) for word in arg) if isinstance(arg, (list, tuple)) else shlex.quote(str(arg))
        for arg in args
    ]
    pieces = template.split("{}")
    if len(pieces) != len(words) + 1:
        raise TypeError(f"{template!r} takes {len(pieces) - 1} arguments, {len(words)} given")
    return "".join(piece + word for piece, word in zip(pieces, [*words, ""], strict=True))


def exports(values: Mapping[str, str]) -> str:
    """Shell that puts these variables into the environment of what follows."""
    return "".join(quote("export {}\n", f"{name}={value}") for name, value in values.items())


def one_line(text: str) -> str:
    """`text`, for one line of a file on the server. Raises BadInput when it would make a second one, or hide something."""
    if CONTROL.search(text):
        raise BadInput(f"a line for the server would hold a control character: {text!r:.100}", "parameters")
    return text
