"""Shows a course's folders in the home, where JupyterLab looks: ~/COURSE/shared, groups and data are links to them.

What is mounted where, and who may write to it: hubrun_hub/courses/course_folders.py. A folder of a group is written to by
other students, and git runs programs that a repository's settings name (git-config(1), core.fsmonitor): JupyterLab's
extension for git leaves these folders alone.
"""

# mypy: disable-error-code="misc"
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path("/srv/nbgrader")


def links(root: Path, data: dict[str, str]) -> dict[str, Path]:
    """Path in the home → where it leads, of what is mounted below `root`, and of `data` (course → folder)."""
    found = {
        f"{path.name}/{kind}": path
        for kind in ("shared", "groups")
        if (root / kind).is_dir()
        for path in sorted((root / kind).iterdir())
    }
    return found | {f"{course}/data": Path(folder) for course, folder in data.items()}


def show(home: Path, wanted: dict[str, Path]) -> None:
    """Make the links. Those of ours whose folder is not there any more go; what else is in the home stays. Raises OSError."""
    for course in home.iterdir():
        for old in (course / "shared", course / "groups", course / "data"):
            if old.is_symlink() and not old.exists():
                target = old.readlink()
                if target.is_absolute() and not target.is_relative_to(home):
                    old.unlink()
    for name, folder in wanted.items():
        path = home / name
        path.parent.mkdir(exist_ok=True)
        if not os.path.lexists(path):
            path.symlink_to(folder)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.shared_folders"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Comes after `nbgrader.own_folders`, which gives a course's folder its name: extensions are loaded by their names."""
    try:
        show(Path.home(), links(ROOT, json.loads(os.environ.get("HUBRUN_COURSE_DATA") or "{}")))
    except OSError as error:  # the home is full, or something of theirs is in the way
        app.log.warning("A folder of a course is not shown in the home: %s", error)
