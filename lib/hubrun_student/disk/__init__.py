"""A home with a limit (hubrun_hub/homes): who has reached it reads why nothing is saved, and can delete.

JupyterLab would move what is deleted into a trash in the home, where it counts on, and at the limit not even that can be
done. So it is deleted: the snapshots have it. On a hub whose homes have no limit, nothing is changed.
"""

from __future__ import annotations

import os
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.disk"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Nothing yet: an extension that comes later may put another ContentsManager there, as jupytext's does."""


async def _start_jupyter_server_extension(app: Any) -> None:
    if os.environ.get("HUBRUN_USER_DISK"):  # where homes have a limit
        from .full import explain  # not before the server is there: a list of extensions needs none of it

        app.contents_manager.delete_to_trash = False
        explain(app.contents_manager)
