"""The pages /git-pull (asks, then shows the progress) and /git-pull/api (pulls)."""

# mypy: disable-error-code="import-not-found,misc,attr-defined"
from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
import nbgitpuller
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from hubrun_hub import pull_ticket

from . import git
from .links import FolderTaken, Pull, Refused, allowed, place, read, same

_HERE = Path(__file__).parent
_THEIRS = Path(nbgitpuller.__file__).parent
# nbgitpuller's own page is rendered without escaping (1.3): what a link says would run in it.
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader([_HERE / "templates", _THEIRS / "templates"]), autoescape=True
)
# Not in a frame: a click into it could be stolen.
_QUIET = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_PROGRESS = _QUIET + "; script-src 'self'; connect-src 'self'; font-src 'self' data:"
# From the page to the request of its script.
_CONFIRMED_FOR_S = 60


class Confirmed:
    """Pulls that somebody agreed to, each good once and for a minute."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, ...], float] = {}

    def add(self, pull: Pull) -> None:
        now = time.monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        self._until[pull.key] = now + _CONFIRMED_FOR_S

    def take(self, pull: Pull) -> bool:
        return self._until.pop(pull.key, 0) > time.monotonic()


class _Page(JupyterHandler):
    def initialize(self, confirmed: Confirmed, lock: asyncio.Lock) -> None:
        self.confirmed, self.pulling = confirmed, lock

    @property
    def content_security_policy(self) -> str:
        return _QUIET

    def wanted(self) -> tuple[Pull, Path]:
        """What the address asks for, and the folder. Raises Refused."""
        app, parent = os.environ.get("NBGITPULLER_APP", "notebook"), os.environ.get("NBGITPULLER_PARENTPATH", "")
        pull = read(pull_ticket.arguments(self.request.query), app, parent)
        folder = place(Path(self.settings["server_root_dir"]).expanduser(), pull)
        if folder.exists() and not pull.backup:
            origin = git.origin(folder)
            if not same(origin, pull.repo):
                raise FolderTaken(f"The folder “{pull.target}” holds another repository: {origin or 'a local one'}.")
        return pull, folder

    def show(self, template: str, **values: Any) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(_PAGES.get_template(template).render(**{**self.template_namespace, **values}))


class Link(_Page):
    """/git-pull: what a link opens."""

    @web.authenticated
    def get(self) -> None:
        query, environment = self.request.query, os.environ
        pull = self._pull()
        launched = pull_ticket.came_by_launch(query, environment.get(pull_ticket.KEY, ""), time.time())
        if pull and launched and allowed(pull.repo, environment.get(pull_ticket.HOSTS, "").split()):
            self._go_on(pull)
        elif pull:
            self.show("ask.html", pull=pull)

    @web.authenticated
    def post(self) -> None:
        """The click. That it is one on our own page says the XSRF token, which the server checks before."""
        if pull := self._pull():
            self._go_on(pull)

    def _pull(self) -> Pull | None:
        try:
            return self.wanted()[0]
        except Refused as refused:
            self.set_status(400)
            query = pull_ticket.arguments(self.request.query) | {"backup": "true"}
            self.show(
                "refused.html", why=str(refused), again=urlencode(query) if isinstance(refused, FolderTaken) else ""
            )
            return None

    def _go_on(self, pull: Pull) -> None:
        self.confirmed.add(pull)
        self.set_header("Content-Security-Policy", _PROGRESS)
        self.show(
            "status.html", repo=pull.repo, branch=pull.branch, path=pull.path, depth=pull.depth,
            targetpath=pull.target, backup="true" if pull.backup else "", version=nbgitpuller.__version__,
        )  # fmt: skip


class Sync(_Page):
    """/git-pull/api: pulls what was confirmed. By GET, as the script of nbgitpuller's page asks (EventSource)."""

    def get_login_url(self) -> str:
        raise web.HTTPError(403)  # no script follows a redirect to a login

    @web.authenticated
    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        try:
            pull, folder = self.wanted()
            if not self.confirmed.take(pull):
                raise Refused("Nobody has agreed to this pull, or it was done already. Open the link again.")
            if self.pulling.locked():
                raise Refused("Another pull is going on. Try again in a few minutes.")
        except Refused as refused:
            await self._send(_failure(str(refused)))
            return
        async with self.pulling:
            await self._run(pull, folder)

    async def _run(self, pull: Pull, folder: Path) -> None:
        self.log.info("pulling %s into %s", pull.repo, folder)
        wanted = json.dumps(asdict(pull) | {"folder": str(folder)})
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", "hubrun_student.pull.run", wanted,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=folder.parent if folder.parent.is_dir() else None, env=git.environment(os.environ), limit=1 << 20,
        )  # fmt: skip
        assert process.stdout
        message: dict[str, Any] = {}
        # To its end, also when the browser has gone: a pull that is cut off leaves half a repository.
        while line := await process.stdout.readline():
            message = json.loads(line)
            await self._send(message)
        await process.wait()
        if message.get("phase") not in ("finished", "error"):
            await self._send(_failure("The pull ended early."))

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            self.write(f"data: {json.dumps(message)}\n\n")
            await self.flush()
        except Exception:
            self.log.debug("nobody listens to the pull any more")


def _failure(why: str) -> dict[str, Any]:
    error = {"code": "refused", "message": why, "traceback": ""}
    return {"phase": "error", "message": why, "error": error, "output": why + "\n"}


def add_handlers(app: Any) -> None:
    """Serve the pages below this server's root."""
    base = app.web_app.settings["base_url"]
    shared = {"confirmed": Confirmed(), "lock": asyncio.Lock()}
    static = {"path": str(_THEIRS / "static")}
    app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "git-pull"), Link, shared),
            (url_path_join(base, "git-pull/api"), Sync, shared),
            (url_path_join(base, "git-pull/static/(.*)"), web.StaticFileHandler, static),
        ],
    )
