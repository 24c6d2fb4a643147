"""Code of ours on the server: a folder with exactly these files, and none of a version before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.shell import quote
from hubrun.tarball import packed

# Owner and mode of all that is there, and a digest of each file; what Python compiled beside its sources does not count.
_PROBE = """
cd {} 2>/dev/null || exit 0
echo folder
find . -name __pycache__ -prune -o ! -perm -0444 -printf 'closed %P\\n' -o ! -user root -printf 'foreign %P\\n' \\
    -o -perm /022 ! -type l -printf 'open %P\\n'
find . -name __pycache__ -prune -o -type f -print0 | xargs -0r sha256sum
"""
# Beside the old one first, so that there is never half of it. A file that stays as it is keeps its time: a service is
# restarted for what it reads, and for nothing else in the folder. Python's own times for what it compiled would not do then;
# who runs this code cannot write here, and would compile it at each start.
_WRITE = """
path={}
new=$path.new old=$path.old
rm -rf "$new" "$old"
mkdir "$new"
tar -xm --no-same-owner -C "$new"
python3 -I -m compileall -q --invalidation-mode checked-hash -s "$new" -p "$path" "$new"
chmod -R u=rwX,go=rX "$new"
if [ -d "$path" ]; then
    (cd "$new" && find . -type f) | while IFS= read -r file; do
        ! cmp -s "$new/$file" "$path/$file" || touch -r "$path/$file" "$new/$file"
    done
    mv -T "$path" "$old"
fi
mv -T "$new" "$path"
rm -rf "$old"
"""
_FORMER = """
for path in {}; do
    [ -e "$path" ] || continue
    echo "there $path"
    grep -lsw -- "$(basename "$path" .py)" {files} | sed "s#^#named $path #"
done
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
class SourceTree(Resource):
    """A folder with these files (path in it → text), root's, which everybody may read: a package that is not installed.

    The folder is replaced as a whole; what else was in it goes. create_only: a folder that is there stays as it is.
    """

    path: str
    files: dict[str, str] = field(hash=False)
    create_only: bool = False

    label_format = "program {path}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.path)

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        if self.path not in written:
            return found
        return "\n".join(["folder", *(f"{digest}  ./{name}" for name, digest in self._digests().items())])

    @override
    def plan(self, found: str) -> list[Action]:
        lines = found.splitlines()
        if self.create_only and lines:
            return []
        wanted = self._digests()
        now, wrong = {}, []
        for line in lines[1:]:
            digest, sign, name = line.partition("  ./")
            if sign:
                now[name] = digest
            else:
                wrong.append(line)
        differing = [name for name, digest in wanted.items() if now.get(name) != digest]
        said = [f"{'changed' if name in now else 'new'} {name}" for name in differing] if lines else []
        said += [f"surplus {name}" for name in now if name not in wanted] + wrong
        if lines and not said:
            return []
        title = f"write {self.path}" + (f" ({', '.join(said[:5])})" if said else "")
        shown = f"install {len(self.files)} files in {self.path}"
        data = packed({name: text.encode() for name, text in self.files.items()})
        writes = (self.path, *(f"{self.path}/{name}" for name in differing))
        return [Action(title, quote(_WRITE, self.path), shown, data, writes=writes)]

    def _digests(self) -> dict[str, str]:
        return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.files.items()}


@dataclass(frozen=True)
class Superseded(Resource):
    """Files and folders of ours, of a version before, are gone from the server as soon as nothing names them any more.

    named_in: patterns of the files on the server that may still name one, by its name without the folder; in an
    operator's own file too. What still is named stays. Use it behind the services that read these files: a process that
    runs may still import from the old folders until it is restarted.
    """

    paths: tuple[str, ...]
    named_in: tuple[str, ...]

    label_format = "code of versions before"

    @override
    def probe(self) -> str:
        # Patterns, and so not quoted; they are ours.
        return quote(_FORMER.replace("{files}", " ".join(self.named_in)), self.paths)

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        lines = (line.split(" ") for line in found.splitlines())
        return "\n".join(" ".join(line) for line in lines if line[0] != "named" or line[2] not in written)

    @override
    def plan(self, found: str) -> list[Action]:
        lines = [line.split(" ") for line in found.splitlines()]
        named = {line[1] for line in lines if line[0] == "named"}
        gone = [line[1] for line in lines if line[0] == "there" and line[1] not in named]
        if not gone:
            return []
        return [Action(f"remove {', '.join(gone)} (of a version before)", quote("rm -rf {}", gone))]
