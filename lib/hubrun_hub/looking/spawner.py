"""The part of a spawner that ends looks at its server when they may not go on."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from pathlib import Path
from typing import Any

from ..awaited import awaited
from ..docker_filter import settings
from . import looks

_GONE = "the server ended"


class Looked:
    """Comes before a DockerSpawner among the base classes. The hub asks each server that runs every 30 s (`poll`)."""

    site_file: Any = settings.SITE

    async def start(self: Any) -> Any:
        self._end_looks(_GONE)  # of one that ended while the hub was down
        return await super().start()

    async def poll(self: Any) -> Any:
        status = await super().poll()
        if status is None and self.ready and self._end_looks():
            await looks.tell(self)
        return status

    async def run_post_stop_hook(self: Any) -> None:
        await awaited(super().run_post_stop_hook())
        self._end_looks(_GONE)

    def _end_looks(self: Any, why: str = "") -> int:
        """End those that may not go on, or for the reason `why` all of them. How many that were."""
        found = looks.on(self.db, self.user.orm_user, self.name)
        over = [(look, reason) for look in found if (reason := why or self._reason(look))]
        for look, reason in over:
            looks.end(self, look, reason, self.log)
        return len(over)

    def _reason(self: Any, look: looks.Look) -> str:
        if looks.is_over(look):
            return looks.OVER
        try:
            reason = looks.why_not(looks.read_site(Path(self.site_file)), look.viewer, self.user.orm_user)
        except settings.Refused as error:
            return f"the site's file cannot be read ({error})"
        return reason and f"{self.user.name} {reason}"

    def get_env(self: Any) -> dict[str, str]:
        return {**super().get_env(), "HUBRUN_LOOKS": "1"}
