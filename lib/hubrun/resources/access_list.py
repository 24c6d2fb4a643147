"""An entry of a file's access list (acl(5)): a right for one account besides those of the mode."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote


@dataclass(frozen=True)
class AccessList(Resource):
    """`path` has the entry `entry`, such as user:1000:--x, in force: the rights of the group, which bound it, hold it too."""

    path: str
    entry: str

    label_format = "{entry} on {path}"

    @override
    def probe(self) -> str:
        # -n: numbers, as an account may have no name. What the mode takes away again stands behind it as "#effective".
        return quote("getfacl -n -p {} 2> /dev/null | grep -qx -- {} && echo there=yes", self.path, self.entry)

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found):
            return []
        return [Action(f"{self.entry} on {self.path}", quote("setfacl -m {} {}", self.entry, self.path))]
