"""Says at once that the memory limit was reached, where it happened: below the cell that runs.

When a process of the container takes more than the limit, the kernel of Linux ends one, mostly the notebook's. Jupyter then
shows for a while nothing, and starts another.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.memory"}]


def _load_jupyter_server_extension(app: Any) -> None:
    from .limit import watch  # not before the server is there: a list of extensions needs none of it

    watch(app.log)
