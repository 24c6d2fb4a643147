"""What the server took of somebody (hubrun_hub/exams/collect.py) is among their submissions, and its feedback comes to them.

nbgrader finds a student's submissions where it kept a copy of each as it was sent (`Exchange.cache`), below a folder that is
called USER+ASSIGNMENT+TIME. What was taken has a link there to where it lies.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

from nbgrader.exchange import default

_ROOT = 0


class _WithTaken:
    root: str
    cache: str
    log: Any

    def init_src(self) -> None:
        try:
            for path in Path(self.root).glob("*/inbound/*+*+*+*"):
                link = Path(self.cache, path.parts[-3], path.name.rpartition("+")[0])
                # No student can make a folder of root's. An empty one says that there was nothing.
                if path.lstat().st_uid == _ROOT and any(path.iterdir()) and not link.is_symlink():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path)
        except OSError as error:  # the home is full, or something of theirs is in the way
            self.log.warning("What was taken when it was due is not listed: %s", error)
        super().init_src()


class ListAssignments(_WithTaken, default.ExchangeList):
    """Lists what was taken among what was submitted."""


class FetchFeedback(_WithTaken, default.ExchangeFetchFeedback):
    """Fetches feedback on what was taken, too."""
