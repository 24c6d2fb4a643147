"""Where backups go: restic's own words for it ("Preparing a new repository", restic.readthedocs.io). Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH = r"(/[\w.@+,=~-]+)+"
_FOLDER = re.compile(rf"{_PATH}/?")
_SFTP = re.compile(rf"sftp:(?P<user>{_NAME})@(?P<host>{_NAME}):(?P<path>/?[\w.@+,=~-]+(/[\w.@+,=~-]+)*/?)")
_SFTP_URL = re.compile(rf"sftp://(?P<user>{_NAME})@(?P<host>{_NAME})(:(?P<port>[0-9]{{1,5}}))?/{_PATH}/?")
_WEB = re.compile(rf"(s3|rest):https?://(?P<host>{_NAME})(:(?P<port>[0-9]{{1,5}}))?(/|{_PATH}/?)")


class Target(NamedTuple):
    """kind: folder, sftp, s3 or rest. host, port, user: who answers; "" and 0 for a folder on the server."""

    kind: str
    host: str = ""
    port: int = 0
    user: str = ""


def parse(text: str) -> Target | None:
    """What `text` says; None when it is none of the four."""
    if ".." in text.split("/"):
        return None
    if _FOLDER.fullmatch(text):
        return Target("folder")
    if found := _SFTP.fullmatch(text) or _SFTP_URL.fullmatch(text):
        return Target("sftp", found["host"], int(found.groupdict().get("port") or 22), found["user"])
    if found := _WEB.fullmatch(text):
        if found[1] == "s3" and not urlsplit(text.removeprefix("s3:")).path.strip("/"):
            return None  # the bucket
        secure = text.startswith(f"{found[1]}:https:")
        return Target(found[1], found["host"], int(found["port"] or (443 if secure else 80)))
    return None
