"""Something that hubrun brought to a server, taken away again."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.server_paths import BEFORE
from hubrun.shell import quote

# was "package nginx": whether it was there before hubrun; without a note nothing is known to be ours. came: it was
# not, and there is a note. paths FILE…: those that are there, each with its size.
PRELUDE = f"""
before={BEFORE}
noted() {{ [ -e "$before" ]; }}
was() {{ grep -qxF -- "$1" "$before" 2> /dev/null; }}
came() {{ noted && ! was "$1"; }}
paths() {{ for each in "$@"; do
    if [ -e "$each" ] || [ -L "$each" ]; then echo "there $each, $(timeout 20 du -shx "$each" 2> /dev/null | cut -f1)"; fi
done; }}
"""
# A run that was killed, or lost its connection, may still be at it on the server.
_ALONE = "exec 9> /run/lock/hubrun-gone\nflock -w 600 9\n"
_SHOWN = 12


@dataclass(frozen=True)
class Gone(Resource):
    """What `look` names, a line "there WHAT" each, is not there any more; `take` takes it away.

    look and take are shell behind PRELUDE; what is taken away half-way is looked for, and taken, again. files: paths that go
    with all that is in them, each as it is looked for.
    """

    what: str
    look: str = ""
    take: str = ""
    files: tuple[str, ...] = ()
    seconds: float = 600

    label_format = "no {what}"

    @override
    def probe(self) -> str:
        return f"{PRELUDE}\n{quote('paths {}', self.files) if self.files else ''}\n{self.look}\ntrue"

    @override
    def plan(self, found: str) -> list[Action]:
        there = [line.removeprefix("there ") for line in found.splitlines() if line.startswith("there ")]
        if not there:
            return []
        shown = "; ".join(there[:_SHOWN]) + (f"; and {len(there) - _SHOWN} more" if len(there) > _SHOWN else "")
        remove = quote("rm -rf --one-file-system -- {}\n", self.files) if self.files else ""
        by_hand = "\n".join(f"# {line}" for line in there)
        return [Action(f"remove {shown}", f"{_ALONE}{PRELUDE}\n{self.take}\n{remove}", by_hand, seconds=self.seconds)]
