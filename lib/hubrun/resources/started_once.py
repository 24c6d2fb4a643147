"""The proof that a student's server starts, made once for each image and configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# Whatever could keep a server from starting: the image, the hub's settings and code, and what Docker's filter allows.
_DIGEST = """
digest=$({ docker image inspect -f '{{.Id}}' {} || echo none; cat {}; } 2>/dev/null | sha256sum | cut -d' ' -f1)
"""
_PROBE = """
echo "digest=$digest"
echo "proven=$(grep -xF -e "$digest" {} 2>/dev/null)"
"""
_START = """
docker tag {image} {candidate}
trap 'docker image rm {candidate} > /dev/null 2>&1 || true' EXIT
began=$(date '+%Y-%m-%d %H:%M:%S')
if ! said=$({command} 2>&1); then
    echo "The hub's log says of it:"
    journalctl -u jupyterhub --since "$began" --no-pager -o cat | grep -F {user} | grep -v ' 200 \\| 302 ' | tail -n 30
    echo "$said"
    exit 1
fi
{forget}
"""
# Those of before, too: the way back to an image that worked takes no new proof.
_KEEP = """stamp={}
{ grep -vxF -e "$digest" "$stamp" 2> /dev/null || true; echo "$digest"; } | tail -n 10 > "$stamp.new"
mv -fT "$stamp.new" "$stamp"
"""


@dataclass(frozen=True)
class StartedOnce(Resource):
    """A server of `image` was started by the hub, in the way of a launch, with `files` as they are.

    image: REPOSITORY:ID, which nobody else need get yet. candidate: what it is called meanwhile. command: shell that does
    so for the hub's user `user`. forget: shell that removes that user's files. stamp: the file on the server that keeps
    the proofs.
    """

    image: str
    candidate: str
    files: tuple[str, ...]
    command: str
    user: str
    forget: str
    stamp: str

    label_format = "a start of {image}"

    @override
    def probe(self) -> str:
        return self._digest() + quote(_PROBE, self.stamp)

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        image = f"image:{self.image.rpartition(':')[0]}"
        return "" if {image, *self.files}.intersection(written) else found

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if now.get("proven") and now["proven"] == now.get("digest"):
            return []
        script = _START.replace("{command}", self.command).replace("{forget}", self.forget)
        for name in ("image", "candidate", "user"):
            script = script.replace(f"{{{name}}}", quote("{}", getattr(self, name)))
        keep = quote(_KEEP, self.stamp)
        title = "start a student's server once, as a launch does"
        return [Action(title, script + self._digest() + keep, "", seconds=400)]

    def _digest(self) -> str:
        return quote(_DIGEST, self.image, self.files)
