"""One shallow tree of errors: each says what failed, on what, and what to do next."""

from __future__ import annotations

from typing_extensions import override


class HubrunError(Exception):
    """What failed (`what`), where it failed (`where`), and what to do next (`remedy`).

    `exit_code` is what a command ends with: 1 for a failure, 2 for bad input (`plan`: 1; docs/reference/exit-codes.md).
    `detail` is the evidence (the end of a command's output). `shown`: a card has said all of it to the person.
    """

    exit_code = 1

    def __init__(self, what: str, where: str = "", remedy: str = "", detail: str = "") -> None:
        super().__init__(what, where, remedy, detail)
        self.what = what
        self.where = where
        self.remedy = remedy
        self.detail = detail
        self.shown = False

    @override
    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.remedy:
            text += f"{'' if text.endswith('?') else '.'} {self.remedy}"
        return text


class BadInput(HubrunError):
    """A parameter, a file or an option that cannot be right; nothing was touched."""

    exit_code = 2


class Unreachable(BadInput):
    """The server cannot be logged in to: wrong address, key, host key or sudo password."""


class ConnectionLost(HubrunError):
    """The SSH connection ended while something ran on the server."""


class CommandFailed(HubrunError):
    """A command on the server ended with an error or ran out of time."""


class CheckFailed(HubrunError):
    """A check found something else than what must be true."""


class EngineMissing(HubrunError):
    """The practice server's Docker engine cannot be had on this machine."""
