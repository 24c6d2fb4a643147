"""Links that pull a git repository into a student's files and open one of them: nbgitpuller's, for Canvas. Pure.

The form of the links: jupyterhub/nbgitpuller, docs/topic/url-options.rst and docs/_static/link_gen/link.js
(generateRegularUrl, generateCanvasUrl). How they are read: nbgitpuller/handlers.py (UIHandler), of 1.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from hubrun.errors import BadInput
from hubrun.lms.lti11 import LAUNCH_PATH
from hubrun.params.text_kinds import NO_BRANCH

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class GitLink:
    """A file, or a folder, of a git repository, to be opened in JupyterLab on this hub.

    hub: https://DOMAIN. repo: http(s) address to clone from, which students need no password for. branch: empty for
    the repository's own. path: file or folder in the repository; empty for all of it.
    Raises BadInput for what cannot be right.
    """

    hub: str
    repo: str
    branch: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        hub = urlsplit(self.hub)
        if hub.scheme != "https" or not hub.hostname or hub.path.strip("/") or hub.query or hub.fragment:
            raise BadInput(f"{self.hub!r} is not the address of a hub", "link", "Give it as in https://hub.example.edu")
        self._check_repo()
        if self.branch and NO_BRANCH.search(self.branch):
            raise BadInput(f"git has no branch named {self.branch!r}", "link: branch")
        if _CONTROL.search(self.path) or {".", ".."} & set(self.path.split("/")) or "//" in self.path:
            raise BadInput(
                f"{self.path!r} is not a path in a repository", "link: file", "Give it as in week1/lab.ipynb"
            )

    def _check_repo(self) -> None:
        try:
            parts = urlsplit(self.repo)
            hostname, _ = parts.hostname, parts.port
        except ValueError:
            parts, hostname = urlsplit(""), None
        remedy = "Give the address that git clone takes, as in https://github.com/school/course"
        if "@" in parts.netloc:
            # Not shown: it may be a password.
            raise BadInput("the repository's address holds a user's name or password", "link: repository", remedy)
        if parts.scheme not in ("http", "https") or not hostname:
            raise BadInput("not an http or https address: students have no key for others", "link: repository", remedy)
        if parts.query or parts.fragment or _CONTROL.search(self.repo) or " " in self.repo:
            raise BadInput("the repository's address holds a query, a fragment or a space", "link: repository", remedy)
        if self.directory in ("", ".", "..") or "/" in self.directory or _CONTROL.search(self.directory):
            raise BadInput("the repository's address does not end in a name", "link: repository", remedy)

    @property
    def directory(self) -> str:
        """The folder that the repository is cloned into: its name, as git clone has it."""
        return unquote(urlsplit(self.repo).path.rstrip("/").rpartition("/")[2].removesuffix(".git"))

    @property
    def next(self) -> str:
        """Where on the hub the launch goes on: the value of `custom_next`, a path with its query.

        The authenticator redirects to it as it is (hubrun_hub/lti/launch_targets.py).
        """
        # As a URL, since nbgitpuller sends the browser to it: a # or ? in a file's name would end it.
        opened = "/".join(["lab/tree", quote(self.directory, safe=""), *self._encoded_path()])
        query = {"repo": self.repo, "branch": self.branch, "urlpath": opened}
        if self.directory != self.repo.rstrip("/").rpartition("/")[2]:
            # It would take the end of the address as it stands, with .git (UIHandler.get, targetPath).
            query["targetPath"] = self.directory
        pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value)
        return f"/hub/user-redirect/git-pull?{pairs}"

    def _encoded_path(self) -> list[str]:
        path = self.path.strip("/")
        return [quote(path)] if path else []

    @property
    def url(self) -> str:
        """The link for somebody who is logged in, or logs in, at the hub itself."""
        return self.hub.rstrip("/") + self.next

    @property
    def launch_url(self) -> str:
        """The URL to enter in Canvas for an assignment or a module item: of the tool, with the file to open.

        Canvas copies what the query says into the launch's form (external_tools_controller.rb, oauth_compliant).
        """
        return f"{self.hub.rstrip('/')}{LAUNCH_PATH}?custom_next={quote(self.next, safe='')}"

    @property
    def custom_fields(self) -> dict[str, str]:
        """The same as a custom field of a tool of its own; Canvas puts custom_ before the name."""
        return {"next": self.next}
