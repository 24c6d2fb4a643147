"""A file system for students' homes alone: btrfs on a disk, or in a file, mounted now and at each boot."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.checks import Test
from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# By it we know a file system that is ours, also on another server.
LABEL = "hubrun-homes"
FOLDERS = ("people", "snapshots", "moving", "work", "empty")
# Left of the server's own disk beside the file.
LEFT_GB = 2

# $where: what holds the file system. $unit: the mount's unit, and what is in it (systemd.mount(5)). WantedBy is not
# local-fs.target: without this disk the server boots, and a launch says what is missing. nodiscard: a hole in the file
# would be space that something else may take; then students' files could not be written, and btrfs would stop.
_PLACES = f"""
device={{}} file={{}} folder={{}}
where=${{device:-$file}}
unit=/etc/systemd/system/$(systemd-escape --path --suffix=mount "$folder")
signature() {{ blkid -p -s "$1" -o value "$where" 2> /dev/null || true; }}
ours() {{ [ "$(signature TYPE)" = btrfs ] && [ "$(signature LABEL)" = {LABEL} ]; }}
wanted() {{
    what=$file options=,loop
    [ -z "$device" ] || {{ what=/dev/disk/by-uuid/$(signature UUID) options=; }}
    printf '%s\\n' '# Written by hubrun (runbook 04_docker_spawner): changes here are put back.' '[Unit]' \\
        "Description=Students' homes" '[Mount]' "What=$what" "Where=$folder" Type=btrfs \\
        "Options=noatime,nodiscard,nosuid,nodev$options" '[Install]' WantedBy=multi-user.target
}}
"""
_PROBE = """
[ -e "$where" ] && echo "there=$(signature TYPE) $(signature LABEL)"
[ -f "$file" ] && echo "gb=$(($(stat -c %s "$file") / 1073741824))"
[ -f "$unit" ] && [ "$(wanted)" = "$(cat "$unit")" ] && systemctl is-enabled -q "$(basename "$unit")" 2> /dev/null && echo unit=yes
mountpoint -q "$folder" || exit 0
echo mounted=yes
source=$(findmnt -no SOURCE --mountpoint "$folder")
used=$(btrfs filesystem show --raw "$folder" | awk '$1 == "devid" {print $4}')
[ "$(($(blockdev --getsize64 "$source") - used))" -lt 16777216 ] || echo grows=yes
[ -d "/sys/fs/btrfs/$(findmnt -no UUID --mountpoint "$folder")/qgroups" ] && echo counted=yes
[ "$(stat -c %a "$folder")" = 700 ] && cd "$folder" && [ -d people ] && [ -d snapshots ] && [ -d moving ] && [ -d work ] && [ -d empty ] && echo folders=yes
true
"""
_FILE = """
[ -e "$file" ] || { : > "$file"; chmod 600 "$file"; }
fallocate -l {}G "$file"
"""
_GROW = """
source=$(findmnt -no SOURCE --mountpoint "$folder")
[ -n "$device" ] || losetup -c "$source"
btrfs filesystem resize max "$folder"
"""
# Never with -f: whatever mkfs.btrfs finds there stays.
_FORMAT = f'ours || mkfs.btrfs -q -L {LABEL} "$where"\n'
_MOUNT = """
install -d -m 0700 "$folder"
wanted > "$unit.new"
mv "$unit.new" "$unit"
udevadm settle 2> /dev/null || true
systemctl daemon-reload
systemctl enable "$(basename "$unit")"
systemctl restart "$(basename "$unit")"
"""
_READY = """
btrfs quota enable "$folder"
chmod 700 "$folder"
cd "$folder" && install -d -m 0755 {}
"""

_TEST_DEVICE = """
ours && { echo "it has the homes of before"; exit 0; }
[ -b "$device" ] || { echo "$device is not a disk of this server"; exit 1; }
real=$(readlink -f "$device")
used=$(findmnt -rno TARGET -S "$real" | head -n 1)
[ -z "$used" ] || { echo "$device is mounted at $used"; exit 1; }
grep -q "^$real " /proc/swaps && { echo "$device is swap"; exit 1; }
for part in /sys/class/block/"$(basename "$real")"/*/partition; do
    [ ! -e "$part" ] || { echo "$device has partitions"; exit 1; }
done
for holder in /sys/class/block/"$(basename "$real")"/holders/*; do
    [ ! -e "$holder" ] || { echo "$device is a part of $(basename "$holder")"; exit 1; }
done
found=$(wipefs -n -i -O TYPE "$real" 2> /dev/null | tr '\\n' ' ')
[ -z "$found" ] || { echo "$device is not empty: $found"; exit 1; }
[ "$(head -c 1048576 "$real" | tr -d '\\0' | head -c 1 | wc -c)" = 0 ] || { echo "$device is not empty: something is written at its beginning"; exit 1; }
[ "$(blockdev --getsize64 "$real")" -ge 1073741824 ] || { echo "$device is smaller than 1 GB"; exit 1; }
echo "it is empty"
"""
_TEST_FILE = """
if [ -e "$file" ] && [ -s "$file" ] && [ -n "$(signature TYPE)" ] && ! ours; then echo "$file is there and holds something else"; exit 1; fi
has=0; [ ! -e "$file" ] || has=$(stat -c %s "$file")
[ "$has" -le $(({gb} * 1073741824)) ] || { echo "$file has $((has / 1073741824)) GB, and cannot shrink to {gb} GB"; exit 1; }
taken=0; [ ! -e "$file" ] || taken=$(($(stat -c %b "$file") * 512))
below=$(dirname "$file"); while [ ! -d "$below" ]; do below=$(dirname "$below"); done
free=$(($(df -PB1 "$below" | awk 'NR == 2 {print $4}') + taken))
[ "$free" -ge $((({gb} + {left}) * 1073741824)) ] || { echo "the disk has room for $((free / 1073741824 - {left})) GB at most"; exit 1; }
echo "there is room for it"
"""
_TEST_SAME = """
[ -f "$unit" ] || { echo "none yet"; exit 0; }
what=$(sed -n 's/^What=//p' "$unit")
case "$device $what" in
    ' '"$file"|/*' /dev/disk/by-uuid/'*) ;;
    *) echo "they are in $what"; exit 1;;
esac
[ -z "$device" ] || [ ! -e "$what" ] || [ "$(readlink -f "$what")" = "$(readlink -f "$device")" ] || { echo "they are on $(readlink -f "$what")"; exit 1; }
echo "they stay where they are"
"""


@dataclass(frozen=True)
class HomesDisk(Resource):
    """btrfs that counts what each subvolume holds, mounted at `folder`, on the disk `device` or in a `file` of `gb` GB.

    device: "" for the file. A disk that grew, and a file that shall be larger, is used to its end; nothing shrinks. What
    is on a disk already stays: `tests` say so before.
    """

    device: str
    gb: int
    file: str
    folder: str

    label_format = "homes at {folder}"
    event = "{folder}"

    @override
    def probe(self) -> str:
        return self._places() + _PROBE

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        where = self.device or self.file
        actions = []
        if not self.device and int(now.get("gb", 0)) < self.gb:
            title = f"make {self.file} {self.gb} GB large; the space is taken at once"
            actions.append(self._action(title, quote(_FILE, self.gb), seconds=1800))
        if now.get("there") != f"btrfs {LABEL}":
            actions.append(self._action(f"make a file system (btrfs) on {where}", _FORMAT, seconds=600))
        if "unit" not in now or "mounted" not in now:
            actions.append(self._action(f"mount it at {self.folder}, at each boot too", _MOUNT))
        elif "grows" in now or any("large" in action.title for action in actions):
            actions.append(self._action("use all of it", _GROW))
        if not ("counted" in now and "folders" in now):
            actions.append(self._action("count what each home holds", quote(_READY, FOLDERS)))
        return actions

    def _action(self, title: str, script: str, seconds: float = 120) -> Action:
        return Action(title, self._places() + script, script.strip(), seconds=seconds)

    def _places(self) -> str:
        return quote(_PLACES, self.device, self.file, self.folder)

    def tests(self) -> list[Test]:
        """Tests that nothing is in the way; they only look."""
        if self.device:
            fits = Test(
                f"{self.device} may be used for students' files", self._places() + _TEST_DEVICE,
                remedy="homes_device must be an empty disk. If nobody needs what is on it: wipefs -a, then blkdiscard -z or dd if=/dev/zero bs=1M count=1",
            )  # fmt: skip
        else:
            script = _TEST_FILE.replace("{gb}", str(self.gb)).replace("{left}", str(LEFT_GB))
            remedy = f"Choose a size that leaves the server {LEFT_GB} GB, enlarge its disk, or use homes_device"
            fits = Test(f"there is room for homes_gb: {self.gb}", self._places() + script, remedy=remedy)
        kernel = "grep -qw btrfs /proc/filesystems || modprobe -n btrfs && echo 'it has btrfs'"
        return [
            Test("the kernel has btrfs", kernel, remedy="Use a kernel of the distribution"), fits,
            Test(
                "students' files stay where they are", self._places() + _TEST_SAME,
                remedy="Set homes_device or homes_gb as before: 04 does not bring homes to another disk",
            ),
        ]  # fmt: skip


def none_test(folder: str) -> Test:
    """A test, for a site without homes of their own, that the server has none."""
    script = quote("unit=/etc/systemd/system/$(systemd-escape --path --suffix=mount {})\n", folder)
    script += '[ ! -e "$unit" ] && echo "in volumes of Docker" && exit\necho "on a disk of their own: $(sed -n s/^What=//p "$unit")"\nexit 1'
    remedy = "Set homes_device or homes_gb as before: without it students would not see their files"
    return Test("students' files stay where they are", script, remedy=remedy)
