"""A resource that only some servers have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote


@dataclass(frozen=True)
class WhenFileHas(Resource):
    """`resource`, on a server whose file `path` holds `text` in a line; on others nothing is done."""

    path: str
    text: str
    resource: Resource

    @property
    @override
    def label(self) -> str:
        return self.resource.label

    @override
    def probe(self) -> str:
        return (
            quote("grep -qsF -- {} {} || { echo elsewhere=yes; exit 0; }\n", self.text, self.path)
            + self.resource.probe()
        )

    @override
    def plan(self, found: str) -> list[Action]:
        return [] if "elsewhere" in facts(found) else self.resource.plan(found)

    @property
    @override
    def writes(self) -> tuple[str, ...]:
        return self.resource.writes

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return found if "elsewhere" in facts(found) else self.resource.foresee(found, written)
