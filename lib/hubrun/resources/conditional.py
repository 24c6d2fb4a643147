"""Resources that only some servers have, or need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.files import File
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


@dataclass(frozen=True)
class WhenMissing(Resource):
    """`resource`, on a server that has no file `path`: what brings it came in another way, and is not ours."""

    path: str
    resource: Resource

    @property
    @override
    def label(self) -> str:
        return self.resource.label

    @override
    def probe(self) -> str:
        return quote("[ ! -e {} ] || { echo there=yes; exit 0; }\n", self.path) + self.resource.probe()

    @override
    def plan(self, found: str) -> list[Action]:
        return [] if "there" in facts(found) else self.resource.plan(found)

    @property
    @override
    def writes(self) -> tuple[str, ...]:
        return self.resource.writes


@dataclass(frozen=True)
class Repaired(Resource):
    """A file of ours that is there and does not work is written again, ahead of the runbook whose file it is.

    works: shell that succeeds when all works, and else names each file that is at fault.
    """

    file: File
    works: str

    @property
    @override
    def label(self) -> str:
        return f"{self.file.label}, where it does not load"

    @override
    def probe(self) -> str:
        return (
            quote('path={}\n[ -e "$path" ] && [ "$(sha256sum < "$path")" != {} ] || exit 0\n', self.file.path, f"{self.file.digest}  -")
            + f'said=$( ( {self.works} ) 2>&1 ) && exit 0\ncase $said in *"$path"*) ;; *) exit 0;; esac\n'
            + self.file.probe()
        )  # fmt: skip

    @property
    @override
    def writes(self) -> tuple[str, ...]:
        return (self.file.path, f"repaired:{self.file.path}")

    @override
    def plan(self, found: str) -> list[Action]:
        return self.file.plan(found) if facts(found) else []
