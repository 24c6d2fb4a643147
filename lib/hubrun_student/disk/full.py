"""Says why a file is not saved, where Jupyter would say "Unexpected error" and a number."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tornado.web import HTTPError

# What of a ContentsManager writes.
_WRITES = ("save", "rename", "create_checkpoint", "restore_checkpoint")
_README = Path.home() / "snapshots" / "README.txt"
_FULL = (
    "Your files have reached their limit on this hub, so nothing more can be saved. {used}Delete something that you do not "
    "need, then save again: keep this tab open until then. What you delete frees its space at once, and what was there at "
    "the last full hour is still in the folder snapshots."
)


def explain(manager: Any) -> None:
    """Let this server's ContentsManager say so, whatever its class is."""
    for name in _WRITES:
        setattr(manager, name, _explained(getattr(manager, name)))


def _explained(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def explained(*args: Any, **kwargs: Any) -> Any:
        try:
            return await write(*args, **kwargs)
        except Exception as error:
            if not is_full(error):
                raise
            # 507: Insufficient Storage (RFC 4918, 11.5)
            raise HTTPError(507, message().replace("%", "%%")) from error

    return explained


def is_full(error: BaseException | None) -> bool:
    """Whether the limit is the reason of this error, or of one that led to it."""
    while error:
        if isinstance(error, OSError) and error.errno == errno.EDQUOT:
            return True
        error = error.__cause__ or error.__context__
    return False


def message(readme: Path = _README) -> str:
    """For the student; how much they had an hour ago is in the folder of their snapshots."""
    try:
        used = readme.read_text().splitlines()[0] + " "
    except (OSError, IndexError):
        used = ""
    return _FULL.format(used=used)
