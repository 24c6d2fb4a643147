"""Tells a student's server whether the next start would bring another image."""

# mypy: disable-error-code="import-not-found,misc"
from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from tornado.web import HTTPError


class NewerImage(BaseHandler):
    """/hub/hubrun-image: {"newer": "…"}, the beginning of the other image's id; "" for a server that has the current one.

    By a token in the header alone, and one that may say what its owner does, as their own server's may.
    """

    _accept_cookie_auth = False
    _accept_token_auth = True

    async def get(self) -> None:
        token = self.get_token()
        owner = token.user if token is not None else None
        if owner is None or not self.has_scope(f"users:activity!user={owner.name}"):
            raise HTTPError(403)
        self.set_header("Cache-Control", "no-store")
        user = self._user_from_orm(owner)
        # A server's own token opens that server (JupyterHub, Spawner.server_token_scopes).
        names = (name for name in user.orm_spawners if self.has_scope(f"access:servers!server={owner.name}/{name}"))
        self.finish({"newer": await newer(user.spawners[next(names, "")])})


async def newer(spawner: Any) -> str:
    """The beginning of the id of the image with which this spawner would start now, if its container has another."""
    container = await spawner.get_object()
    image = await spawner.docker("inspect_image", spawner.image)
    differs = bool(container) and container["Image"] != image["Id"]
    return str(image["Id"]).removeprefix("sha256:")[:12] if differs else ""


ROUTES = [("/hubrun-image", NewerImage)]
