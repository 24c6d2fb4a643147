"""The states of logins with the hub, each in a cookie of its own, and what becomes of an answer that has none."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

import html
import time
from typing import Any
from unittest import mock

from jupyterhub.services import auth

# Again so often within so many seconds, and not more: a browser that keeps no cookies would go round for ever.
RESTARTS, WITHIN_S = 6, 20

# JupyterHub's own page for this says "403: Forbidden" and nothing else.
_BLOCKED = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Your server does not recognize you</title></head>
<body style="font-family: sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em">
<h1>Your server does not recognize you</h1>
<p>Your browser did not keep the cookie by which your server recognizes you.</p>
<p><strong>Allow cookies for this site, then go on. Your files are as you left them.</strong></p>
<p><a href="{home}">Open JupyterHub</a></p>
</body></html>
"""


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
            log.warning("Logins with the hub come back with states that are not this browser's, again and again")
            self.set_status(403)
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.set_header(
                "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
            )
            self.finish(_BLOCKED.format(home=html.escape(f"{hub_auth.hub_host}{hub_auth.hub_prefix}home")))
            return
        log.warning("The hub's answer to a login has a state that is not this browser's: the login begins again")
        next_url = hub_auth.get_next_url(state)
        hub_auth.clear_oauth_state(state)
        self.redirect(next_url)

    oauth.set_state_cookie = set_state_cookie_of_its_own
    callback.get = get_or_begin_again
