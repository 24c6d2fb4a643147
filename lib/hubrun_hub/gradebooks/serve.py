"""One who asks for a course's gradebook: a connection of the socket hubrun-gradebooks, which the hub's account may use.

It sends the course's id in a line, and gets a line of JSON: what `read` returns; {} where there is no gradebook yet; or
{"error": "why"}.
"""

from __future__ import annotations

import json
import socket
import sys
from contextlib import suppress
from pathlib import Path

from ..courses.mounts import ROOT, is_name
from ..failed import Failed
from ..joining.confined import as_owner
from .read import read

_SECONDS = 20
_LINE = 1000


def serve(connection: socket.socket, root: Path = Path(ROOT)) -> None:
    """Answer once. `root` is the folder of all courses."""
    connection.settimeout(_SECONDS)
    with connection, suppress(OSError):
        with connection.makefile("rb") as lines:
            course = lines.readline(_LINE).decode(errors="replace").strip()
        connection.sendall(json.dumps(_answer(course, root)).encode() + b"\n")


def _answer(course: str, root: Path) -> object:
    book = root / course / "course" / "gradebook.db"
    if not is_name(course):
        return {"error": "this is not a course"}
    if not book.is_file() or book.is_symlink():
        return {}
    try:
        return as_owner(book, read, seconds=_SECONDS)
    except (Failed, OSError) as error:
        print(f"<4>{error}", file=sys.stderr)
        return {"error": " ".join(str(error).split())[:300]}
