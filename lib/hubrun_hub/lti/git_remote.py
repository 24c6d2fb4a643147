"""Whether a git repository can be cloned without a password: its list of branches, by git's own protocol over HTTP.

gitprotocol-http(5), "Discovering References", and gitprotocol-common(5), pkt-line. Asked at addresses that `outbound`
allows: a teacher enters them, and the hub stands where a browser does not.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .deep_linking import GitFile, NotChosen
from .outbound import NotAnswered, send

# A repository with some ten thousand branches and tags.
_LIMIT_BYTES = 4 << 20
_KIND = "application/x-git-upload-pack-advertisement"


async def check(git: GitFile, inner: bool) -> None:
    """Raise NotChosen where it does not clone. `inner`: it may be inside the institution."""
    url = f"{git.repo.rstrip('/')}/info/refs?service=git-upload-pack"
    where = urlsplit(git.repo).netloc
    try:
        answer = await send("GET", url, {"Accept": "*/*"}, inner=inner, limit=_LIMIT_BYTES)
    except NotAnswered as error:
        raise NotChosen(f"The repository cannot be reached from the hub: {error}") from None
    if 300 <= answer.status < 400:
        raise NotChosen(f"{where} has it at another address: open it in a browser, and copy the address from there")
    if answer.status in (401, 403, 404):
        raise NotChosen(
            f"{where} shows no such repository to who has no password, and students have none: is it public?"
        )
    if answer.status != 200 or not answer.headers.get("Content-Type", "").startswith(_KIND):
        raise NotChosen(f"What is there is not a git repository ({where} answered {answer.status})")
    if git.branch and git.branch not in branches(answer.body):
        raise NotChosen(f"The repository has no branch {git.branch}")


def branches(body: bytes) -> set[str]:
    """The branches in a list of references; what is not one is passed over."""
    found, rest = set(), body
    while len(rest) >= 4:
        try:
            length = int(rest[:4], 16)
        except ValueError:
            break
        line, rest = rest[4:length], rest[max(length, 4) :]
        _, _, name = line.split(b"\0")[0].strip().partition(b" ")
        if name.startswith(b"refs/heads/"):
            found.add(name.removeprefix(b"refs/heads/").decode(errors="replace"))
    return found
