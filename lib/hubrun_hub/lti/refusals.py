"""Why a launch is refused: for the person who made it a page, for the operator a line in the log."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Each has a page in `pages`. The word is shown there too, so that a student can quote it."""

    NO_SESSION = "no-session"
    GET = "not-launched"
    MALFORMED = "no-launch"
    SIGNATURE_METHOD = "signature-method"
    LTI_VERSION = "lti-version"
    WRONG_MESSAGE = "wrong-message"
    UNTRUSTED = "not-trusted"
    EXPIRED = "expired"
    CLOCK = "clock"
    REPLAYED = "replayed"
    NO_NAME = "no-name"
    NO_PEOPLE = "no-people"
    BAD_LINK = "bad-link"
    NO_COOKIE = "no-cookie"
    LMS_ERROR = "lms-error"
    NO_KEYS = "no-keys"
    NOT_IN_COURSE = "not-in-course"
    NOT_STAFF = "not-staff"
    NOT_ADMITTED = "not-admitted"
    DISK_FULL = "disk-full"
    FRAMED = "in-a-frame"
    LATE_CLICK = "late-click"
    REGISTRATION_LINK = "registration-link"
    REGISTRATION = "registration"


# What anybody can send by the thousand, without a secret.
FORGED = frozenset({Reason.MALFORMED, Reason.SIGNATURE_METHOD, Reason.UNTRUSTED, Reason.REGISTRATION_LINK})


class RateLimit:
    """How many forged launches get a page and a line in the log: `rate` a second, and `burst` at once.

    It counts those that were refused, from anywhere, and looks at nothing else: a launch that is in order is never held
    up by it, whoever else is behind the same address.
    """

    def __init__(self, rate: float = 10, burst: float = 100) -> None:
        self.rate, self.burst = rate, burst
        self._left, self._at = burst, 0.0

    def take(self, now: float) -> bool:
        """Whether one more is within the limit, at the time `now` (seconds of a monotonic clock)."""
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Refusal(Exception):
    """`detail` and `consumer` are for the log only.

    They hold neither a secret nor a signature, and of the person nothing at all. `used` is the launch that was used before
    (REPLAYED): its digest (`nonces`), where it leads, and the group of its course.
    """

    def __init__(
        self, reason: Reason, detail: str, consumer: str = "", used: tuple[bytes, str, str] | None = None
    ) -> None:
        super().__init__(reason.value, detail, consumer)
        self.reason = reason
        self.detail = detail
        self.consumer = consumer
        self.used = used

    def __str__(self) -> str:
        """One line for the log; control characters, which could fake another line, are shown escaped."""
        of = f" by consumer {self.consumer}" if self.consumer else ""
        text = f"LTI launch{of} refused ({self.reason.value}): {self.detail}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
