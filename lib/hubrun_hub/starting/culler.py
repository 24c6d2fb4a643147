"""Configuration of jupyterhub-idle-culler (its `--config`): each server's own time, where a course says how long.

It runs in the culler's process, which asks the hub for all servers that run; the spawner tells the time by the server's
`user_options` (student_container.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

IDLE_MINUTES = "hubrun_idle_minutes"


def is_idle(*, inactive: timedelta, inactive_limit: float, server: dict[str, Any], **_: object) -> bool:
    """Whether this server has been idle for long enough to be stopped. inactive_limit: the site's, in seconds; 0: never."""
    minutes = (server.get("user_options") or {}).get(IDLE_MINUTES)
    seconds = inactive_limit if minutes is None else 60 * minutes
    return bool(seconds) and inactive.total_seconds() >= seconds


if "get_config" in globals():  # traitlets runs this file (traitlets/config/loader.py)
    globals()["get_config"]().IdleCuller.cull_arbiter_hook = is_idle
