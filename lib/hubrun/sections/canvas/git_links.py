"""Links that pull a git repository into a student's files and open one of them: nbgitpuller's, for Canvas. Pure.

The form of the links: jupyterhub/nbgitpuller, docs/topic/url-options.rst and docs/_static/link_gen/link.js
(generateRegularUrl, generateCanvasUrl). How they are read: nbgitpuller/handlers.py (UIHandler), of 1.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from hubrun.control_characters import CONTROL
from hubrun.errors import BadInput
from hubrun.lms.lti11 import LAUNCH_PATH
from hubrun.params.consumers import repository_name

_CLONED = "Give the address that git clone takes, as in https://github.com/school/course"


@dataclass(frozen=True)
class GitLink:
    """A file, or a folder, of a git repository, to be opened in JupyterLab on this hub.

    hub: https://DOMAIN. repo: http(s) address to clone from, which students need no password for. branch: empty for
    the repository's own. path: file or folder in the repository; empty for all of it. folder: in the student's files; empty
    for the repository's name. Each as the schema of a site's
    parameters takes it; raises BadInput for what that does not see.
    """

    hub: str
    repo: str
    branch: str = ""
    path: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        repo = urlsplit(self.repo)
        if repo.query or repo.fragment:
            raise BadInput("the repository's address holds a query or a fragment", "link: repository", _CLONED)
        if self.directory in ("", ".", "..") or "/" in self.directory or CONTROL.search(self.directory):
            raise BadInput("the repository's address does not end in a name", "link: repository", _CLONED)
        if "//" in self.path:
            raise BadInput(
                f"{self.path!r} is not a path in a repository", "link: file", "Give it as in week1/lab.ipynb"
            )

    @property
    def directory(self) -> str:
        """The folder that the repository is cloned into."""
        return self.folder or repository_name(self.repo)

    @property
    def next(self) -> str:
        """Where on the hub the launch goes on, a path with its query: the value of the launch field `custom_next`.

        For a tool of its own it is the custom field `next`: Canvas puts custom_ before the name. The authenticator redirects to it as it is (hubrun_hub/lti/launch_targets.py).
        """
        # As a URL, since nbgitpuller sends the browser to it: a # or ? in a file's name would end it.
        opened = f"lab/tree/{quote(self.directory, safe='')}/{quote(self.path.strip('/'))}".rstrip("/")
        query = {"repo": self.repo, "branch": self.branch, "urlpath": opened}
        if self.directory != self.repo.rstrip("/").rpartition("/")[2]:
            # It would take the end of the address as it stands, with .git (UIHandler.get, targetPath).
            query["targetPath"] = self.directory
        pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value)
        return f"/hub/user-redirect/git-pull?{pairs}"

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
