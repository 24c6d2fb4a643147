"""Blocks of a file system that are kept back from most: so that what must go on can write when it is full."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.checks import Test
from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# Kept back where nothing is, in MB and at most a twentieth: providers' images are often made with none.
LEAST_MB = 256

# The device of the file system, in $device; empty where it is not ext4, or not this machine's to see (a container).
# A kernel that mounted its root by itself calls it /dev/root, which is not a file.
_DEVICE = """
path={} group={}
kind=$(findmnt -no FSTYPE -T "$path")
device=$(findmnt -no SOURCE -T "$path")
[ -b "$device" ] || device=$(readlink -e "/dev/block/$(findmnt -no MAJ:MIN -T "$path" | tr -d ' ')")
{ [ "$kind" = ext4 ] && [ -b "$device" ]; } || device=
"""
# resgid is shown among the options of the mount where it is not root's: ext4(5).
_PROBE = f"""{_DEVICE}
[ -n "$device" ] || exit 0
echo "device=$device"
echo "folder=$(findmnt -no TARGET -T "$path")"
echo "wanted=$(getent group "$group" | cut -d: -f3)"
findmnt -no OPTIONS -T "$path" | tr , '\n' | sed -n 's/^resgid=/mounted=/p'
tune2fs -l "$device" 2>/dev/null | awk -F: '
    /^Block count/ {{print "all=" $2 + 0}}
    /^Reserved block count/ {{print "blocks=" $2 + 0}}
    /^Block size/ {{print "size=" $2 + 0}}
    /^Reserved blocks gid/ {{print "kept=" $2 + 0}}'
true
"""
_TEST = f"""{_DEVICE}
[ -n "$kind" ] || {{ echo "the file system of $path is not known"; exit 1; }}
[ -n "$device" ] || {{ echo "no ext4 of its own: none can be kept ($kind)"; exit 0; }}
findmnt -no OPTIONS -T "$path" | tr , '\n' | grep -x "resgid=$(getent group "$group" | cut -d: -f3)" || exit 1
tune2fs -l "$device" | grep '^Reserved block count'
"""


@dataclass(frozen=True)
class ReservedBlocks(Resource):
    """The reserved blocks of the ext4 file system that holds `path` are also the group's, and there are some.

    ext4 keeps them for root, and for one group: tune2fs(8), -g and -r. Other file systems have no such thing: nothing
    is done there. Inodes cannot be kept back.
    """

    path: str
    group: str

    label_format = "reserve of the disk for {group}, where it is ext4"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.path, self.group)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if "device" not in now or "size" not in now:
            return []
        device, group, size = now["device"], now.get("wanted", ""), int(now["size"])
        actions = []
        if int(now.get("blocks", "0")) == 0:
            blocks = min(LEAST_MB * 2**20 // size, int(now["all"]) // 20)
            actions.append(
                Action(f"keep {blocks * size // 2**20} MB of {device} back", quote("tune2fs -r {} {}", blocks, device))
            )
        # The group is looked up then: on a fresh server an earlier step makes it.
        if not group or now.get("kept") != group:
            script = quote('tune2fs -g "$(getent group {} | cut -d: -f3)" {}', self.group, device)
            shown = quote("tune2fs -g {} {}", self.group, device)
            actions.append(Action(f"give the reserve of {device} to {self.group}", script, shown))
        if not group or now.get("mounted") != group:
            # The kernel reads the group when it mounts: ext4(5), resgid.
            script = quote('mount -o "remount,resgid=$(getent group {} | cut -d: -f3)" {}', self.group, now["folder"])
            shown = quote("mount -o remount,resgid={} {}", self.group, now["folder"])
            actions.append(Action("use it from now on", script, shown))
        return actions

    def test(self) -> Test:
        """A test that says whether there is a reserve; where there cannot be one it says so, and passes."""
        return Test(f"what is kept of the disk for {self.group}", quote(_TEST, self.path, self.group))
