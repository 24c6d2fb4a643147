"""A student's server asks the hub who is there (OAuth): two tabs at once, and answers that come too late.

JupyterHub 6.1 keeps the state of each login in a cookie. Two tabs that wait for one server are sent on in the same moment:
neither request brings a cookie yet, so both get one of the same name, and the second overwrites the first. The first
answer then meets the other's state and takes the cookies away, and both tabs end in "403 : Forbidden"
(jupyterhub/jupyterhub#1438; services/auth.py, `set_state_cookie` and `HubOAuthCallbackHandler`). Here:

- Each login has a cookie of its own, so none overwrites another.
- An answer whose state is not this browser's logs nobody in, as before. But it does not end there: the login begins again,
  at the page that was asked for. Only when that happens again and again, a page says why.

It runs in the students' image, as an extension of the server, which a student can turn off for themselves.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubrun_student.oauth"}]


def _load_jupyter_server_extension(app: Any) -> None:
    from .states import patch  # not before the server is there: a list of extensions needs none of it

    patch(app.log)
