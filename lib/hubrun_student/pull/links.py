"""What a link may ask nbgitpuller for. `read` and `allowed` are pure; `place` looks at the home.

The forms of the links: jupyterhub/nbgitpuller, docs/topic/url-options.rst; how they are read: handlers.py (UIHandler) of
1.3, whose defaults are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

# Not a branch: what git refuses (git-check-ref-format(1)), or takes for an option.
_NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|\.lock(/|$)|^[/-]|[/.]$|^@$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The views of JupyterLab and Notebook 7 that open a file or show a folder. Not: pages that do something.
_VIEW = re.compile(r"(lab|lab/tree|tree|notebooks|edit)(/|$)")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST = 1000


class Refused(ValueError):
    """What a link must not ask for. The text is for the person who followed it."""


class FolderTaken(Refused):
    """The folder is there and is something else; it can be moved away (`backup`)."""


@dataclass(frozen=True)
class Pull:
    """What a link asks for. repo: address. branch: empty for the repository's own. depth: empty for nbgitpuller's own.

    target: the folder, from the home. path: what is opened, from the server's root, percent-encoded. backup: whether the
    folder is to be renamed first.
    """

    repo: str
    branch: str
    depth: str
    target: str
    path: str
    backup: bool

    @property
    def opened(self) -> str:
        """What is opened, for people."""
        return unquote(self.path)

    @property
    def key(self) -> tuple[str, ...]:
        """All that decides what is pulled and where to."""
        return (self.repo, self.branch, self.depth, self.target, str(self.backup))


def read(given: Mapping[str, str], app: str = "notebook", parent: str = "") -> Pull:
    """Return what the arguments of a link ask for. Raises Refused.

    app and parent: NBGITPULLER_APP and NBGITPULLER_PARENTPATH, which are the site's.
    """
    repo = _repo(given.get("repo", ""))
    branch, depth = given.get("branch", ""), given.get("depth", "")
    if branch and _NO_BRANCH.search(branch):
        raise Refused("git has no branch with such a name.")
    if not re.fullmatch(r"([0-9]{1,6})?", depth):
        raise Refused("The depth is not a number.")
    named = given.get("targetpath") or given.get("targetPath") or repo.rstrip("/").rpartition("/")[2]
    target = _folder("/".join(filter(None, [parent.strip("/"), named.rstrip("/")])))
    backup = given.get("backup", "").lower() not in ("", "0", "false")
    if backup:
        path = _view(given.get("app") or app, parent.strip("/"))
    elif opened := given.get("urlpath") or given.get("urlPath"):
        path = opened.lstrip("/")
    else:
        below = given.get("subpath") or given.get("subPath") or ""
        path = _view(given.get("app") or app, f"{target}/{below}" if below.strip("./") else target)
    return Pull(repo, branch, depth, target, _path(path), backup)


def _repo(repo: str) -> str:
    if not repo.startswith(("https://", "http://")):
        # Whatever else git takes: a path, user@host:path, ssh, git, file, and helpers, of which ext:: runs a command
        # (git-remote-ext(1)).
        raise Refused("Only repositories at an http or https address can be pulled.")
    url = _split(repo)
    if "@" in url.netloc:
        raise Refused("The repository's address holds a user's name or password.")
    parts = unquote(url.path).split("/")
    if url.query or url.fragment or _CONTROL.search(unquote(repo)) or re.search(r"[\s\\<>\"'`{}|^]", repo):
        raise Refused("The repository's address holds a query, a fragment, or characters that an address has not.")
    if {".", ".."} & set(parts) or not url.path.strip("/") or len(repo) > _LONGEST:
        raise Refused("The repository's address is not one.")
    return repo


def _split(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        if url.hostname and url.port != 0:
            return url
    except ValueError:
        pass
    raise Refused("The repository's address is not one.")


def _folder(target: str) -> str:
    parts = target.split("/")
    # Hidden ones hold what programs read and run: .jupyter, .local, .ipython, .git.
    if any(part == "" or part.startswith((".", "-", "~")) for part in parts):
        raise Refused("The folder to pull into must be one of your own, not hidden, without . and .. in its path.")
    if "\\" in target or _CONTROL.search(target) or len(target.encode("utf-8", "replace")) > _LONGEST:
        raise Refused("The folder to pull into has no name that a folder may have.")
    return target


def _view(app: str, path: str) -> str:
    if app.lower() == "lab":
        return "lab/tree/" + quote(path)
    return ("notebooks/" if path.lower().endswith(".ipynb") else "tree/") + quote(path)


def _path(path: str) -> str:
    """A page of this server that shows a file or a folder. As a browser reads it: WHATWG URL, 4.4."""
    if not _VIEW.match(path) or re.search(r"[?#\\]|\s", path) or _CONTROL.search(path):
        raise Refused("Only a file or a folder can be opened after the pull.")
    decoded = path
    while True:
        # Step by step, and none of them skipped: whoever is on the way decodes as often as they like.
        if {".", ".."} & set(decoded.split("/")) or _CONTROL.search(decoded):
            raise Refused("What is to be opened has . or .. in its path.")
        if (further := unquote(decoded)) == decoded:
            return path
        decoded = further


def place(home: Path, pull: Pull) -> Path:
    """Return the folder to pull into. Raises Refused, FolderTaken.

    `home` is the server's folder. No link on the way is followed: one that an earlier pull brought could lead anywhere.
    """
    folder = home
    for part in pull.target.split("/"):
        folder /= part
        if folder.is_symlink():
            raise Refused(f"“{pull.target}” is a symbolic link, or below one.")
        if folder.exists() and not folder.is_dir():
            raise Refused(f"“{pull.target}” is a file, or below one.")
    git = folder / ".git"
    # Without one of its own, git would look for one above; as a file, it would name a repository elsewhere.
    if folder.exists() and not pull.backup and (git.is_symlink() or not git.is_dir()):
        raise FolderTaken(f"There is a folder “{pull.target}” already, and it was not made by a pull.")
    return folder


def same(one: str, other: str) -> bool:
    """Whether two addresses are of one repository: user names, the case of the host, .git and / at the end aside."""
    return _plain(one) == _plain(other)


def _plain(address: str) -> tuple[str, str, int | None, str]:
    try:
        url = urlsplit(address)
        port = url.port or _DEFAULT_PORTS.get(url.scheme)
    except ValueError:
        return ("", "", None, address)
    return (url.scheme, url.hostname or "", port, url.path.rstrip("/").removesuffix(".git"))


def allowed(repo: str, hosts: Iterable[str]) -> bool:
    """Whether `repo` is at one of `hosts`: HOST, HOST:PORT, each with a /FOLDER or not; http:// before it for plain HTTP."""
    scheme, host, port, path = _plain(repo)
    parts = path.strip("/").split("/")
    for entry in hosts:
        wanted = _plain(entry if "://" in entry else f"https://{entry}")
        below = [part for part in wanted[3].split("/") if part]
        if (scheme, host, port) == wanted[:3] and parts[: len(below)] == below:
            return True
    return False
