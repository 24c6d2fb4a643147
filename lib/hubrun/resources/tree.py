"""A folder of the server that holds these files and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable

from hubrun.plan import Action, Resource, quote
from hubrun.tarball import packed

# Owner and mode of all that is there, and a digest of each file; what Python compiled beside its sources is no one's.
_PROBE = """
cd {} 2>/dev/null || exit 0
echo folder
find . -name __pycache__ -prune -o ! -perm -0444 -printf 'closed %P\\n' -o ! -user root -printf 'foreign %P\\n' \\
    -o -perm /022 ! -type l -printf 'open %P\\n'
find . -name __pycache__ -prune -o -type f -print0 | xargs -0r sha256sum
"""
# Beside the old one first, so that there is never half of it.
_WRITE = """
path={}
new=$(mktemp -d "$path.XXXXXX")
trap 'rm -rf "$new"' EXIT
tar -xm --no-same-owner -C "$new"
chmod -R u=rwX,go=rX "$new"
rm -rf "$path"
mv -T "$new" "$path"
"""


def sources(folder: Traversable, below: str = "") -> dict[str, str]:
    """The text of each file in a folder of ours, by its path there; without what Python compiled."""
    found: dict[str, str] = {}
    for each in sorted(folder.iterdir(), key=lambda one: one.name):
        if each.is_dir() and each.name != "__pycache__":
            found |= sources(each, f"{below}{each.name}/")
        elif each.is_file():
            found[below + each.name] = each.read_text(encoding="utf-8")
    return found


@dataclass(frozen=True)
class Tree(Resource):
    """A folder with these files (path in it → text), root's, which everybody may read: a program that is not packaged.

    The folder is replaced as a whole; what else was in it goes.
    """

    path: str
    files: dict[str, str] = field(hash=False)

    @property
    def label(self) -> str:
        return f"program {self.path}"

    @property
    def writes(self) -> tuple[str, ...]:
        return (self.path,)

    def probe(self) -> str:
        return quote(_PROBE, self.path)

    def foresee(self, found: str, written: Sequence[str]) -> str:
        return "" if self.path in written else found

    def plan(self, found: str) -> list[Action]:
        lines = found.splitlines()
        wanted = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.files.items()}
        now, wrong = {}, []
        for line in lines[1:]:
            digest, sign, name = line.partition("  ./")
            if sign:
                now[name] = digest
            else:
                wrong.append(line)
        differing = [f"new {name}" for name in wanted if name not in now] if lines else []
        differing += [f"changed {name}" for name, digest in wanted.items() if now.get(name, digest) != digest]
        differing += [f"surplus {name}" for name in now if name not in wanted] + wrong
        if lines and not differing:
            return []
        title = f"write {self.path}" + (f" ({', '.join(differing[:5])})" if differing else "")
        shown = f"install {len(self.files)} files in {self.path}"
        data = packed({name: text.encode() for name, text in self.files.items()})
        return [Action(title, quote(_WRITE, self.path), shown, data)]
