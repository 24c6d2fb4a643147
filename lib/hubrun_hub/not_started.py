"""A start of a student's server that failed, whichever part of the spawner says so."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from tornado.web import HTTPError


class NotStarted(HTTPError):
    """A start that failed, in words for the student; the hub's log says more."""

    def __init__(self, message: str, status: int = 503) -> None:
        super().__init__(status, message.replace("%", "%%"))
        self.jupyterhub_message = message
