"""python -I -m hubrun_student.pull.run JSON: one pull, as nbgitpuller does it, with a line of JSON for each of its messages.

A process of its own, since git takes most of what is set here from its environment, and a student's terminals and
kernels shall keep theirs.
"""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from nbgitpuller.errors import GitPullerError
from nbgitpuller.pull import GitPuller

from .links import Refused


class Puller(GitPuller):
    """nbgitpuller's, which believes what the repository's server says of branches and files."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not re.fullmatch(r"[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]*", self.branch_name):
            raise Refused("The repository's own branch has a name that git does not allow.")

    def rename_local_untracked(self) -> Iterator[str]:
        """As it is, for what is inside of the repository: a link in it may lead to other files of the student's."""
        inside = os.path.realpath(self.repo_dir) + os.sep
        for name in self.find_upstream_changed("A"):
            folder = os.path.realpath(os.path.dirname(os.path.join(self.repo_dir, name))) + os.sep
            if not folder.startswith(inside):
                raise Refused(f"The repository puts {name} behind a link that leads out of its folder.")
        yield from super().rename_local_untracked()


def main(text: str) -> None:
    """Pull what `text`, a JSON object, asks for; progress and errors go to standard output, one JSON object a line."""
    wanted = json.loads(text)
    depth = int(wanted["depth"]) if wanted["depth"] else None
    try:
        puller = Puller(
            wanted["repo"], wanted["folder"], branch=wanted["branch"] or None, depth=depth, backup=wanted["backup"]
        )
        for line in puller.pull():
            say({"output": line, "phase": "syncing"})
    except Exception as error:
        known = GitPullerError.from_exception(error)
        trace = known.traceback or GitPullerError.format_traceback(error)
        say({"phase": "error", "message": str(known), "error": known.to_dict(), "output": trace})
    else:
        say({"phase": "finished"})


def say(message: dict[str, Any]) -> None:
    """Print a message for the server that started this."""
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
