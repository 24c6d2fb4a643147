"""A teacher chooses in the LMS what a link opens: LTI Deep Linking 2.0. Pure.

The LMS sends an LtiDeepLinkingRequest (3.4), the hub shows a page (`pick_handler`), and what was chosen goes back as a JWT
that the tool's key signs (4.1): the hub itself, a file of a git repository, or an assignment of the course, with a column.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from .launch import CLAIM, DEEP_LINKING, Launch
from .refusals import Reason, Refusal
from .services import lms_dates
from .services.course_grades import resource_of

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
LINK = "ltiResourceLink"
KEEP_S = 3600
_LIMIT = 1000
_GOOD_FOR_S = 300
# git-check-ref-format(1), and what a path in a repository may be: no control characters, no parts that lead out.
_BRANCH = re.compile(r"(?!-)[A-Za-z0-9._/+@-]{1,200}")


class NotChosen(ValueError):
    """What is wrong with what was entered, in words for a teacher."""


@dataclass(frozen=True)
class GitFile:
    """A file of a git repository, as a teacher entered it; "" for the repository's own branch, and for all of its files."""

    repo: str
    branch: str = ""
    path: str = ""


@dataclass
class Choices:
    """Requests that wait for a choice, for KEEP_S seconds, in memory: after a restart of the hub the LMS asks again."""

    _kept: dict[str, tuple[float, Launch]] = field(default_factory=dict)

    def put(self, launch: Launch, now: float) -> str:
        """Keep a verified request; return its ticket. `now`: seconds of a monotonic clock."""
        self._kept = {key: each for key, each in self._kept.items() if each[0] > now}
        while len(self._kept) >= _LIMIT:
            del self._kept[next(iter(self._kept))]
        ticket = secrets.token_urlsafe(24)
        self._kept[ticket] = (now + KEEP_S, launch)
        return ticket

    def of(self, ticket: str, now: float) -> Launch:
        """The request of a ticket. Raises Refusal. It stays until it ends: a browser goes back, and chooses again."""
        until, launch = self._kept.get(ticket, (0.0, None))
        if launch is None or until <= now:
            raise Refusal(Reason.LATE_CLICK, "something was chosen for a request that is not known any more")
        return launch


def return_url(launch: Launch) -> str:
    """Where the choice goes (3.4.1, deep_link_return_url). Raises Refusal for a request that takes no link."""
    settings = launch.asks.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    url, kinds = settings.get("deep_link_return_url"), settings.get("accept_types")
    parts = urlsplit(url) if isinstance(url, str) and url.isprintable() and len(url) <= 4000 else None
    if parts is None or not (parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost")):
        raise Refusal(
            Reason.MALFORMED, "deep_link_return_url is missing, or not an https address", launch.consumer.name
        )
    if not isinstance(kinds, list) or LINK not in kinds:
        raise Refusal(Reason.WRONG_MESSAGE, f"content is chosen, but it takes no {LINK}", launch.consumer.name)
    return parts.geturl()


def git_next(git: GitFile) -> str:
    """The page of the hub that pulls the repository and opens the file: nbgitpuller's link. Raises NotChosen."""
    try:
        repo = urlsplit(git.repo)
        host, _ = repo.hostname, repo.port
    except ValueError:
        host = None
    if not host or repo.scheme != "https" or "@" in repo.netloc or repo.query or repo.fragment or not _plain(git.repo):
        raise NotChosen(
            "The repository's address must be one that git clone takes, as in https://github.com/school/course"
        )
    folder = repo.path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    if folder in ("", ".", ".."):
        raise NotChosen("The repository's address does not end in its name")
    if git.branch and not (_BRANCH.fullmatch(git.branch) and ".." not in git.branch):
        raise NotChosen("This cannot be the name of a branch")
    path = git.path.strip("/")
    if path and (not _plain(path) or any(part in ("", ".", "..") for part in path.split("/"))):
        raise NotChosen("The file must be given as in week1/lab.ipynb")
    opened = f"lab/tree/{quote(folder, safe='')}/{quote(path)}".rstrip("/")
    query = {"repo": git.repo, "branch": git.branch, "urlpath": opened, "targetPath": folder}
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value)
    return f"/hub/user-redirect/git-pull?{pairs}"


def link(launch_url: str, title: str, going_on: str = "") -> dict[str, Any]:
    """A content item that launches the tool in a new tab (4.2.1); `going_on` is the page of the hub to go on to."""
    custom = {"custom": {"next": going_on}} if going_on else {}
    return {"type": LINK, "title": title, "url": launch_url, "window": {"targetName": "_blank"}, **custom}


def with_column(item: Mapping[str, Any], assignment: str, maximum: float) -> dict[str, Any]:
    """The item with a column of the gradebook for an assignment (4.2.1, lineItem). maximum: points."""
    column = {"label": assignment, "scoreMaximum": maximum, "resourceId": resource_of(assignment), "tag": "hubrun"}
    return {**item, "lineItem": column}


def with_date(item: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """The item, whose launches say when the assignment is due."""
    return {**item, "custom": {**item.get("custom", {}), **lms_dates.asked(assignment)}}


def response(launch: Launch, item: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The claims of the answer (4.1.1), which the tool's key signs. `now`: seconds since 1970."""
    settings, platform = launch.asks["settings"], launch.consumer.platform
    data = {f"{DL}data": settings["data"]} if "data" in settings else {}
    return {
        "iss": launch.services.client_id, "aud": platform.issuer if platform else "", "iat": int(now),
        "exp": int(now) + _GOOD_FOR_S, "nonce": secrets.token_urlsafe(24), f"{CLAIM}version": "1.3.0",
        f"{CLAIM}message_type": DEEP_LINKING.replace("Request", "Response"),
        f"{CLAIM}deployment_id": launch.asks["deployment_id"], f"{DL}content_items": [dict(item)], **data,
    }  # fmt: skip


def _plain(text: str) -> bool:
    return len(text) <= 1000 and text.isprintable() and "\\" not in text
