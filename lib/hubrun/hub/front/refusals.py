"""Why a launch is refused: for the person who made it a page, for the operator a line in the log."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Each has a page in `pages`. The word is shown there too, so that a student can quote it."""

    NO_SESSION = "no-session"
    GET = "not-launched"
    MALFORMED = "no-launch"
    WRONG_MESSAGE = "wrong-message"
    UNTRUSTED = "not-trusted"
    EXPIRED = "expired"
    CLOCK = "clock"
    REPLAYED = "replayed"
    NO_NAME = "no-name"
    OTHER_PERSON = "other-person"
    BAD_LINK = "bad-link"
    NO_COOKIE = "no-cookie"
    LMS_ERROR = "lms-error"
    NO_KEYS = "no-keys"
    NOT_ADMITTED = "not-admitted"
    DISK_FULL = "disk-full"


class Refusal(Exception):
    """`detail` and `consumer` are for the log only.

    They hold neither a secret nor a signature, and of the person nothing at all.
    """

    def __init__(self, reason: Reason, detail: str, consumer: str = "") -> None:
        super().__init__(reason.value, detail, consumer)
        self.reason = reason
        self.detail = detail
        self.consumer = consumer

    def __str__(self) -> str:
        """One line for the log; control characters, which could fake another line, are shown escaped."""
        of = f" by consumer {self.consumer}" if self.consumer else ""
        text = f"LTI launch{of} refused ({self.reason.value}): {self.detail}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
