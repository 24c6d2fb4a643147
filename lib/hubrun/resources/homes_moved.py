"""People's files that are moved from volumes of Docker's own to the disk of homes, and how much each may keep there."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.checks import Test
from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# Volumes of people that Docker keeps in a folder of its own: those without options. One that nobody's container uses can
# be moved; one that could not be when it was tried waits for the next hour.
_PLAIN = """
homes={}
used=$(docker ps -aq 2> /dev/null | xargs -r docker inspect --format '{{range .Mounts}}{{.Name}}
{{end}}' 2> /dev/null)
docker volume ls -q 2> /dev/null | grep '^jupyterhub-user-' | xargs -r docker volume inspect --format '{{.Name}} {{len .Options}} {{.Mountpoint}}' |
while read -r name options folder; do
    [ "$options" = 0 ] || continue
    if printf '%s\\n' "$used" | grep -qxF "$name"; then echo "runs $name"; continue; fi
    if [ -e "$homes/moving/${name#jupyterhub-user-}.failed" ]; then echo "failed $name"; continue; fi
    echo "stopped $name $(du -sm "$folder" | cut -f1)"
done
"""
# Whether what is used is what is on the disk.
_MOUNTED = """
courses={} disk={}
mounted() { [ -e "$disk" ] && [ "$(stat -c %d:%i "$courses" 2> /dev/null)" = "$(stat -c %d:%i "$disk")" ]; }
"""
# Docker says where each container's mounts come from. How much is to be moved is counted only where something is.
_COURSES = """
systemctl is-enabled -q "$(basename {})" 2> /dev/null && echo enabled=yes
[ -e "$disk.failed" ] && echo failed=yes
docker ps -a --no-trunc --format '{{.Mounts}}' 2> /dev/null | grep -qE "(^|,)$courses/" && echo runs=yes
if mounted; then echo mounted=yes; elif [ -d "$courses" ]; then echo "mb=$(du -sm "$courses" | cut -f1)"; fi
"""
_OLD = "docker volume ls -q 2> /dev/null | grep '^jupyterhub-old-' | sed 's/^/old /'\n[ ! -d {} ] || echo courses=yes\n"
_SAID = """
if mounted; then echo "on the disk"
elif [ -e "$disk.failed" ]; then cat "$disk.failed"
elif [ -e "$disk" ]; then echo "$disk is not mounted at $courses"
else echo "not yet: within an hour after the last server that uses them has stopped"; fi
"""
_PROBE_LIMIT = """
[ ! -e {} ] || echo "limit=$(cat {})"
"""


@dataclass(frozen=True)
class MovedHomes(Resource):
    """No volume of a person whose server does not run is left to be moved to the disk at `folder`. command: moves them."""

    folder: str
    command: str

    label_format = "everybody's files at {folder}"

    @override
    def probe(self) -> str:
        return quote(_PLAIN, self.folder)

    @override
    def plan(self, found: str) -> list[Action]:
        lines = [line.split() for line in found.splitlines()]
        stopped = [line for line in lines if line[0] == "stopped"]
        if not stopped:
            return []
        title = (
            f"move the files of {_people(len(stopped))} ({sum(int(line[2]) for line in stopped)} MB) to {self.folder}"
        )
        if running := sum(line[0] == "runs" for line in lines):
            title += f"; those of {_people(running)} whose servers run now, within an hour after these have stopped"
        return [Action(title, self.command, seconds=24 * 3600)]


@dataclass(frozen=True)
class MovedCourses(Resource):
    """The folders of courses are at `disk`, and the unit mounts them at `courses`, at each boot too. command: moves them."""

    courses: str
    disk: str
    unit: str
    command: str

    label_format = "courses at {disk}"

    @override
    def probe(self) -> str:
        return quote(_MOUNTED + _COURSES, self.courses, self.disk, self.unit)

    @override
    def plan(self, found: str) -> list[Action]:
        now, actions = facts(found), []
        if "enabled" not in now:
            script = quote("systemctl daemon-reload\nsystemctl enable {}", self.unit.rpartition("/")[2])
            actions.append(
                Action(f"mount the folders of courses at {self.courses} at each boot, from that disk", script)
            )
        # Those that are used, or could not be moved when it was tried, wait for the next hour.
        if not now.keys() & {"mounted", "runs", "failed"}:
            title = f"move the folders of courses ({now.get('mb', 0)} MB) to {self.disk}; launches wait meanwhile"
            actions.append(Action(title, self.command, seconds=24 * 3600))
        return actions

    def test(self) -> Test:
        """A test that they are there, or only wait for those who use them."""
        return Test(
            "the folders of courses are on the disk of homes, or will be", quote(_MOUNTED + _SAID, self.courses, self.disk),
            prints="^(on the disk|not yet)", remedy=f"See journalctl -u hubrun-homes-hourly; what tries again: {self.command}",
        )  # fmt: skip


@dataclass(frozen=True)
class NoOldHomes(Resource):
    """The volumes from which files were moved are gone, and the folder `courses`, from which those of courses were."""

    courses: str

    label_format = "no files from before"

    @override
    def probe(self) -> str:
        return quote(_OLD, self.courses)

    @override
    def plan(self, found: str) -> list[Action]:
        names = [line.removeprefix("old ") for line in found.splitlines() if line.startswith("old ")]
        actions = []
        if names:
            title = f"remove the volumes from which the files of {_people(len(names))} were moved"
            actions.append(Action(title, quote("docker volume rm {}", names), seconds=3600))
        if "courses" in facts(found):
            title = f"remove {self.courses}, from which the folders of courses were moved"
            actions.append(Action(title, quote("rm -rf --one-file-system {}", self.courses), seconds=3600))
        return actions


@dataclass(frozen=True)
class HomesLimit(Resource):
    """Each home below `folder` may hold `gb` GB. command: gives them the limit that the settings say."""

    folder: str
    gb: int
    command: str

    label_format = "{gb} GB for each home"

    @override
    def probe(self) -> str:
        path = f"{self.folder}/limit"
        return quote(_PROBE_LIMIT, path, path)

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found).get("limit") == str(self.gb * 2**30):
            return []
        return [Action(f"let each home hold {self.gb} GB; nobody's server restarts", self.command, seconds=600)]


def _people(count: int) -> str:
    return f"{count} person" if count == 1 else f"{count} people"
