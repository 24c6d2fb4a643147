"""Tells people in JupyterLab that the next start of their server brings a newer image; the hub knows. In an exam it tells of
that instead."""

# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-unimported"
from __future__ import annotations

import json
import os

from jupyterlab.handlers.announcements import CheckForUpdateABC
from tornado.httpclient import AsyncHTTPClient

_SECONDS = 5.0


class NewerImage(CheckForUpdateABC):
    """What JupyterLab asks when its page is opened, in place of PyPI (LabApp.check_for_updates_class)."""

    async def __call__(self) -> str | tuple[str, tuple[str, str]] | None:
        """The notice, with a link to the hub's page where it has one; None where there is nothing newer."""
        if notice := os.environ.get("HUBRUN_NOTICE"):
            return notice
        # This server's own way to the hub, .../hub/api; the answer is beside it.
        base = os.environ["JUPYTERHUB_API_URL"].rstrip("/").removesuffix("/api")
        headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}"}
        try:
            answer = await AsyncHTTPClient().fetch(f"{base}/hubrun-image", headers=headers, request_timeout=_SECONDS)
            newer = str(json.loads(answer.body)["newer"])
        except Exception as error:  # the hub is away, or of a version before: a notice less
            self.logger.debug("no word of a newer image: %s", error)
            return None
        if not newer:
            return None
        # Its name is in the text, because JupyterLab shows no text again that somebody has closed.
        said = (
            f"A newer version of your server's software is there ({newer}). When you are ready: save your work, "
            "open File → Hub Control Panel, stop your server, and start it again."
        )
        page = os.environ.get("JUPYTERHUB_PUBLIC_HUB_URL", "")
        return (said, ("Hub Control Panel", f"{page}home")) if page else said
