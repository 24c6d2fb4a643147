"""Students' servers that run on an older image, and at which nobody works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.node_dockers import docker_on
from hubrun.server_paths import program
from hubrun.shell import quote


class RunningServer(NamedTuple):
    """image, container: Docker's ids, that of a container on a node with "NODE/" before it. idle: minutes without activity; -1: not
    known. name: of the image. user: of the hub."""

    image: str
    container: str
    idle: int
    name: str
    user: str

    @property
    def idle_words(self) -> str:
        """For people."""
        return f"idle for {self.idle} min" if self.idle >= 0 else "idle for an unknown time"


def running(found: str) -> tuple[RunningServer, ...]:
    """The servers that the program running_servers printed."""
    lines = [line.split(maxsplit=5) for line in found.splitlines() if line.startswith("server ")]
    return tuple(RunningServer(words[1], words[2], int(words[3]), *words[4:]) for words in lines if len(words) == 6)


@dataclass(frozen=True)
class IdleServers(Resource):
    """No server runs on an older one than `image` that was idle for `minutes`. The next visit starts it again, on this one.

    others: the names of the site's other images, whose servers are not meant.
    """

    image: str
    minutes: int
    others: tuple[str, ...] = ()

    label_format = "servers that are idle for {minutes} min on an older image"

    @override
    def probe(self) -> str:
        return quote("docker image inspect -f 'current={{.Id}}' {}\n", self.image) + program("running_servers")

    @override
    def plan(self, found: str) -> list[Action]:
        current = facts(found).get("current")
        mine = [each for each in running(found) if current and each.name not in self.others]
        old = [each for each in mine if each.image != current and each.idle >= self.minutes]
        if not old:
            return []
        # The hub notices within half a minute, and removes the containers: as after any server that ended by itself.
        here = [each.container for each in old if "/" not in each.container]
        stop = [quote("docker stop -t 10 {} > /dev/null", here)] if here else []
        for node in sorted({each.container.partition("/")[0] for each in old if "/" in each.container}):
            there = [each.container.partition("/")[2] for each in old if each.container.startswith(f"{node}/")]
            stop.append(docker_on(node) + quote(" stop -t 10 {} > /dev/null", there))
        return [Action(f"stop {', '.join(each.user for each in old)}", "\n".join(stop), seconds=600)]
