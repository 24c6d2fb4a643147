"""What came of autograding: COURSE/graded/USER, beside what was taken (`courses.due_records`), by the same keys.

{"ASSIGNMENT/MOMENT": {"tries": how many there were, "last": when the last one began, "said": words, "done": whether that is all}}
A key with FEEDBACK behind it is for sending feedback back, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

FEEDBACK = "/feedback"
# After each try that failed, so long until the next: Docker restarts, a disk is full, an assignment is not generated yet.
PAUSES = tuple(timedelta(minutes=each) for each in (1, 10, 60, 6 * 60, 24 * 60))


class Try(NamedTuple):
    """What came of it until now. tries: 0 for never."""

    tries: int = 0
    last: datetime | None = None
    said: str = ""
    done: bool = False

    def is_wanted(self, now: datetime) -> bool:
        """Whether it is to be tried at this moment."""
        if self.done or self.tries > len(PAUSES):
            return False
        return self.last is None or now >= self.last + PAUSES[self.tries - 1]

    def begun(self, now: datetime) -> Try:
        """The next try has begun."""
        return Try(self.tries + 1, now, "it was ended in between")

    def kept(self) -> dict[str, Any]:
        """As a record has it."""
        return {**self._asdict(), "last": self.last.isoformat() if self.last else ""}


def tries(record: Mapping[str, Mapping[str, Any]]) -> dict[str, Try]:
    """What a record says. Raises KeyError, TypeError, ValueError where it is none."""
    return {
        key: Try(
            int(each["tries"]), datetime.fromisoformat(each["last"]) if each["last"] else None, each["said"], each["done"]
        )
        for key, each in record.items()
    }  # fmt: skip
