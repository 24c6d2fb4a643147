"""Files and directories."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts, unified
from hubrun.shell import quote

# A file larger than this is compared by its digest alone, and its diff is not shown.
SHOWN_BYTES = 65536

# In a container /etc/hosts and the like are bind mounts: a rename over them fails (EBUSY), so they are written in place.
_WRITE = """
path={} mode={} owner={}
candidate=$(mktemp "$(dirname "$path")/.hubrun.XXXXXX")
trap 'rm -f "$candidate" "$candidate.old"' EXIT
cat > "$candidate"
chmod "$mode" "$candidate"
chown "$owner" "$candidate"
"""
_MOVE = """
put() { mv -fT "$1" "$path" 2>/dev/null || cat "$1" > "$path"; }
if [ -e "$path" ]; then cp -a "$path" "$candidate.old"; fi
put "$candidate"
"""
# What was there comes back when the check fails: a broken configuration never stays.
_CHECK_IN_PLACE = """
if ! ( {check} ) 2>&1; then
    if [ -e "$candidate.old" ]; then put "$candidate.old"; else rm -f "$path"; fi
    {undone}
    exit 1
fi
"""


@dataclass(frozen=True)
class File(Resource):
    """A file with this content, mode and owner ("user:group").

    check: a command that must succeed before the content stays. With {} in it, it is given the candidate before it is
    moved into place (`visudo -cf {}`); without, it runs with the candidate in place, and the old file comes back when
    it fails (`nginx -t`); then `undone` runs. create_only: an existing file's content is left alone.
    """

    path: str
    content: str
    mode: int = 0o644
    owner: str = "root:root"
    check: str = ""
    create_only: bool = False
    undone: str = ":"

    label_format = "file {path}"
    event = "{path}"

    @property
    def digest(self) -> str:
        """The SHA-256 of its content."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @override
    def probe(self) -> str:
        return quote(
            """path={}
            if [ -e "$path" ] || [ -L "$path" ]; then
                stat -Lc 'kind=%F
mode=%a
owner=%U:%G
size=%s' "$path" || echo kind=broken
                if [ -f "$path" ]; then
                    echo "sha256=$(sha256sum < "$path" | cut -d' ' -f1)"
                    if [ "$(stat -Lc %s "$path")" -le {} ]; then echo "text=$(base64 -w0 < "$path")"; fi
                fi
            fi""",
            self.path, SHOWN_BYTES,
        )  # fmt: skip

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        if f"repaired:{self.path}" in written:  # an earlier step writes it as it is here
            return f"mode={self.mode:o}\nowner={self.owner}\nsha256={self.digest}"
        return "" if self.path in written else found  # an earlier step takes it away

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        same = now.get("sha256") == self.digest or (self.create_only and "sha256" in now)
        if not same:
            old = base64.b64decode(now.get("text", "")).decode(errors="replace")
            return [
                Action(
                    f"write {self.path}" if now else f"create {self.path}",
                    self._script(),
                    f"editor {self.path}   # {self.mode:o} {self.owner}",
                    self.content.encode(),
                    unified(self.path, old, self.content),
                )
            ]
        actions, mode = [], f"{self.mode:o}"
        if now["mode"] != mode:
            actions.append(Action(f"mode {now['mode']} → {mode} of {self.path}", quote("chmod {} {}", mode, self.path)))
        if now["owner"] != self.owner:
            title = f"owner {now['owner']} → {self.owner} of {self.path}"
            actions.append(Action(title, quote("chown {} {}", self.owner, self.path)))
        return actions

    def _script(self) -> str:
        write = quote(_WRITE, self.path, f"{self.mode:o}", self.owner)
        if "{}" in self.check:
            return write + self.check.replace("{}", '"$candidate"') + "\n" + _MOVE
        return write + _MOVE + (self._checked() if self.check else "")

    def _checked(self) -> str:
        return _CHECK_IN_PLACE.replace("{check}", self.check).replace("{undone}", self.undone)


@dataclass(frozen=True)
class Directory(Resource):
    """A directory with this mode and owner ("user:group")."""

    path: str
    mode: int = 0o755
    owner: str = "root:root"

    label_format = "directory {path}"
    # Not the path itself: who watches what is in a folder is not concerned by its mode.
    event = "directory:{path}"

    @override
    def probe(self) -> str:
        return quote("stat -Lc 'state=%F|%a|%U:%G' {}", self.path)

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        made = {self.path, *self.writes}.intersection(written)
        return f"state=directory|{self.mode:o}|{self.owner}" if made else found

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found).get("state") == f"directory|{self.mode:o}|{self.owner}":
            return []
        user, _, group = self.owner.partition(":")
        script = quote("install -d -m {} -o {} -g {} {}", f"{self.mode:o}", user, group, self.path)
        return [Action(f"make {self.path}", script)]


@dataclass(frozen=True)
class Absent(Resource):
    """Nothing at `path`. A file or link goes; a directory is never removed with what is in it."""

    path: str

    label_format = "no {path}"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote("if [ -e {} ] || [ -L {} ]; then echo there=yes; fi", self.path, self.path)

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return "there=yes" if self.path in written else found

    @override
    def plan(self, found: str) -> list[Action]:
        return [Action(f"remove {self.path}", quote("rm -f -d {}", self.path))] if facts(found) else []


@dataclass(frozen=True)
class OnlyFiles(Resource):
    """No files in the folder `path` but those of these names, and hidden ones. Others go, for good.

    account: whose folder it is, where it is not root's. Their files go with their rights: they could put a link in the
    folder's place while this runs.
    """

    path: str
    names: tuple[str, ...]
    account: str = "root"

    label_format = "nothing else in {path}"

    @override
    def probe(self) -> str:
        return quote("find {} -mindepth 1 -maxdepth 1 ! -name '.*' -printf 'file=%f\\n' 2>/dev/null || true", self.path)

    @override
    def plan(self, found: str) -> list[Action]:
        there = [line.removeprefix("file=") for line in found.splitlines() if line.startswith("file=")]
        return [
            Action(f"remove {self.path}/{name}", quote(f"{self._as_owner}rm -f {{}}", f"{self.path}/{name}"))
            for name in sorted(there)
            if name not in self.names
        ]

    @property
    def _as_owner(self) -> str:
        return "" if self.account == "root" else quote("runuser -u {} -- ", self.account)
