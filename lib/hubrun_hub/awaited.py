"""What a hook returned, whether it is a coroutine or not: JupyterHub takes both (jupyterhub/utils.py, maybe_future)."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any


async def awaited(given: Any) -> Any:
    """What was given, or what it comes to when it can be awaited."""
    return await given if isawaitable(given) else given
