"""NVIDIA's hook in Docker: the program through which containers get GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.docker import VALID
from hubrun.shell import quote

HOOK = "/usr/bin/nvidia-container-runtime-hook"
# A package's files keep the time at which it was made: their inodes tell when they came (stat(1), %Z).
_PROBE = """
since=$(date -d "$(TZ=UTC systemctl show docker.service -p ActiveEnterTimestamp --value)" +%s 2> /dev/null || echo 0)
came=$(stat -c %Z {} 2> /dev/null || echo 0)
[ "$came" -lt "$since" ] || echo newer=yes
"""


@dataclass(frozen=True)
class GpuHook(Resource):
    """Docker knows NVIDIA's hook, which it looks for when it starts (moby, daemon/nvidia_linux.go)."""

    label_format = "Docker with NVIDIA's hook"
    event = "service:docker.service"

    @override
    def probe(self) -> str:
        return quote(_PROBE, HOOK)

    @override
    def plan(self, found: str) -> list[Action]:
        if "newer" not in facts(found):
            return []
        title = "restart docker.service, which finds the hook then: students' servers go on (live-restore)"
        return [Action(title, f"{{ {VALID}; }} || exit 1\nsystemctl restart docker.service", seconds=300)]
