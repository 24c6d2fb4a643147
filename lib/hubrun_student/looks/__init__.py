"""Says in JupyterLab that somebody who teaches the student's courses looks at this server, or did (hubrun_hub/looking).

The hub tells the server that there is something to ask for, and shares it only after the server has asked. When a look is
over, what its visitor has open here is closed. On a hub where nobody may look, nothing is changed.
"""

from __future__ import annotations

import os
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.looks"}]


def _load_jupyter_server_extension(app: Any) -> None:
    if os.environ.get("HUBRUN_LOOKS"):
        from .told import add  # not before the server is there: a list of extensions needs none of it

        add(app)
