"""A home whose folders of courses are still called by the courses' ids gets those with names that people read.

The version before had the ids in every path. What is there keeps its content; where something of the new name is there
already, both stay.
"""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import courses


def rename(home: Path, data: Path) -> list[str]:
    """Rename the folders of fetched assignments in `home`, and of submissions in nbgrader's cache below `data`.

    Returns the courses (folders' names) of which one was renamed.
    """
    renamed = []
    for folder, course in courses.ids().items():
        for place in (home, data / "nbgrader_cache"):
            old, new = place / course, place / folder
            if old != new and old.is_dir() and not old.is_symlink() and not os.path.lexists(new):
                old.rename(new)
                renamed.append(folder)
    return renamed


def _load_jupyter_server_extension(app: Any) -> None:
    from jupyter_core.paths import jupyter_data_dir

    try:
        for folder in rename(Path.home(), Path(jupyter_data_dir())):
            app.log.info("A folder of the course %s has its name now", folder)
    except OSError as error:  # it is theirs, and may be anything
        app.log.warning("A folder of a course keeps its old name: %s", error)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.nbgrader.own_folders"}]
