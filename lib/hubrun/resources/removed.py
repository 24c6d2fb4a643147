"""What is gone from a server for good: a person, a course, a consumer with its people. The server's own program does the work."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.server_paths import program
from hubrun.shell import quote

# Much of it may lie on a slow disk.
_HOURS = 12


def answer(found: str) -> dict[str, Any]:
    """What the program says; {} where it is not there, or damaged."""
    try:
        return dict(json.loads(found))
    except ValueError:
        return {}


def look(kind: str, name: str) -> str:
    """Shell that looks what there is of a person, course or consumer: it prints JSON, or fails with a line for people."""
    return quote(f"{program('remove')} look {{}} {{}} 2>&1", kind, name)


def size(part: dict[str, Any]) -> str:
    """What is counted of a part, for people."""
    count = f"{part['number']:,}".replace(",", " ")
    if part["size"] < 0:
        return f"{count}, too many files to count in a minute"
    return f"{count}, {part['size'] / 1e6:.1f} MB" if part["size"] else count


@dataclass(frozen=True)
class CourseArchive(Resource):
    """An archive of the course as it is now, in one file on the server."""

    course: str

    label_format = "archive of the course {course}"

    @override
    def probe(self) -> str:
        return look("course", self.course)

    @override
    def plan(self, found: str) -> list[Action]:
        seen = answer(found)
        if seen.get("state") != "there" or seen["archive"]:
            return []
        script = quote(f"{program('remove')} archive {{}} > /dev/null", self.course)
        title = f"archive the course {self.course}, and compare the archive with it"
        title += f". To remove it afterwards, say yes: --set remove_confirm={seen['confirm']}"
        return [Action(title, script, seconds=_HOURS * 3600)]


@dataclass(frozen=True)
class Removed(Resource):
    """A person, course or consumer (kind) is gone. confirm: what the plan asks for as a yes; by: who does it."""

    kind: str
    name: str
    confirm: str
    by: str

    label_format = "no {kind} {name}"

    @override
    def probe(self) -> str:
        return look(self.kind, self.name)

    @override
    def plan(self, found: str) -> list[Action]:
        seen = answer(found)
        if seen.get("state") == "done":
            return []
        parts = "; ".join(f"{part['what']} ({part['where']}): {size(part)}" for part in seen.get("parts", ()))
        words = (self.kind, self.name, self.confirm, self.by)
        again = " (it was begun before)" if seen.get("state") == "begun" else ""
        title = f"remove the {self.kind} {seen.get('name', self.name)} for good{again}: {parts or 'its name'}"
        title += "" if self.confirm else f". To say yes: --set remove_confirm={seen.get('confirm', '')}"
        script = quote(f"{program('remove')} do {{}} {{}} {{}} {{}} > /dev/null", *words)
        return [Action(title, script, f"{program('remove')} do …", seconds=_HOURS * 3600)]
