"""The states of logins with the hub, each in a cookie of its own, and what becomes of an answer that has none."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import time
from typing import Any
from unittest import mock

from jupyterhub.services import auth
from tornado.web import HTTPError

# Again so often within so many seconds, and not more: a browser that keeps no cookies would go round for ever.
RESTARTS, WITHIN_S = 6, 20

_BLOCKED = (
    "Your browser did not keep the cookie by which this server recognizes you. Allow cookies for this site, close this tab, "
    "and open JupyterHub from your course again."
)


class Restarts:
    """How often logins began again lately, those of all tabs: a server is one person's."""

    def __init__(self) -> None:
        self._at: list[float] = []

    def take(self, now: float) -> bool:
        """Whether one more may, at the time `now` (seconds of a monotonic clock)."""
        self._at = [at for at in self._at if now - at < WITHIN_S]
        if len(self._at) >= RESTARTS:
            return False
        self._at.append(now)
        return True


def patch(log: Any) -> None:
    """Change how this server's process keeps states. Where its JupyterHub is another, it stays as it is."""
    oauth, callback = auth.HubOAuth, auth.HubOAuthCallbackHandler
    needed = ("set_state_cookie", "get_state_cookie_name", "get_next_url", "clear_oauth_state")
    if not all(hasattr(oauth, name) for name in needed):
        log.warning("This JupyterHub keeps the states of its logins in another way, which is left as it is")
        return
    restarts, set_state_cookie, get = Restarts(), oauth.set_state_cookie, callback.get

    def set_state_cookie_of_its_own(self: Any, handler: Any, *given: Any, **options: Any) -> Any:
        # JupyterHub takes another name, at random, where the browser brings a cookie of the usual one; and warns of it.
        with mock.patch.object(handler, "get_cookie", return_value="taken"), mock.patch.object(auth, "app_log"):
            return set_state_cookie(self, handler, *given, **options)

    async def get_or_begin_again(self: Any) -> None:
        hub_auth, state = self.hub_auth, self.get_argument("state", "")
        kept = self.get_secure_cookie(hub_auth.get_state_cookie_name(state))
        fails = self.get_argument("error", "") or not self.get_argument("code", "") or not state
        if fails or kept == state.encode() or (not kept and self.current_user):
            await get(self)
            return
        if not restarts.take(time.monotonic()):
            raise HTTPError(403, _BLOCKED)
        log.warning("The hub's answer to a login has a state that is not this browser's: the login begins again")
        next_url = hub_auth.get_next_url(state)
        hub_auth.clear_oauth_state(state)
        self.redirect(next_url)

    oauth.set_state_cookie = set_state_cookie_of_its_own
    callback.get = get_or_begin_again
