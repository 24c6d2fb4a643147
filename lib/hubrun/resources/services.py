"""systemd services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

# When the process began is kept by systemd in µs since boot; when a file changed, in seconds since 1970: /proc/uptime
# joins them. 50 ms cover its resolution of 10 ms.
_PROBE = """
unit={} reloads={}
systemctl show "$unit" -p LoadState,ActiveState,UnitFileState,NeedDaemonReload
since=$(systemctl show "$unit" -p ExecMainStartTimestampMonotonic --value)
[ "$reloads" = yes ] && since=$(systemctl show "$unit" -p StateChangeTimestampMonotonic --value)
now=$(date +%s.%N)
read -r uptime _ < /proc/uptime
for file in {}; do
    [ -e "$file" ] || continue
    find -L "$file" -maxdepth 1 -type f -printf '%T@ %p\\n'
done | awk -v now="$now" -v up="$uptime" -v since="$since" \\
    '$1 > now - up + since / 1000000 + 0.05 {print "newer=" $2; exit}'
"""
# Where unit files of ours and additions to others' are: systemd.unit(5), "Unit File Load Path".
_UNITS = "/etc/systemd/system"
# A hub that starts with everybody else on two busy cores was seen to take 80 s. One that cannot start dies again and
# again, which is known sooner.
READY_SECONDS = 180
_RESTARTS = 5
_WAIT = f"""
    restarts() {{ systemctl show "$unit" -p NRestarts --value; }}
    began=$(date +%s) before=$(restarts) said=0
    while waited=$(($(date +%s) - began)); [ "$waited" -lt {READY_SECONDS} ]; do
        ( {{ready}} ) > /dev/null 2>&1 && return 0
        if [ $(($(restarts) - before)) -ge {_RESTARTS} ]; then
            echo "it ended {_RESTARTS} times after its start"
            return 1
        fi
        if [ $((waited / 10)) -gt "$said" ]; then
            said=$((waited / 10))
            echo "it runs, and does not answer yet: $waited s of {READY_SECONDS}"
        fi
        sleep 0.5
    done
    echo "it runs, and does not answer after {READY_SECONDS} s"
    return 1"""
_RUNS = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no"


@dataclass(frozen=True)
class Service(Resource):
    """A systemd unit that runs and starts at boot.

    watches: files, or directories of files, that it reads at its start: when one is newer than the process, it is
    restarted (reloads=True: reloaded, which keeps connections). A run that was killed between the writing and the
    restart is thus carried on by the next.
    check: a command that must succeed before it is started, restarted or reloaded (`nginx -t`): a running service is not
    disturbed by a configuration that cannot work.
    settle: seconds for which it must stay up after a start; a unit that dies at once is a failure here, not later.
    ready: a command that succeeds once it serves; after a start or restart it must, within READY_SECONDS.
    notice: what people notice of a restart; the plan says it.
    """

    name: str
    watches: tuple[str, ...] = ()
    reloads: bool = False
    check: str = ""
    settle: float = 1.0
    ready: str = ""
    notice: str = ""

    label_format = "service {name}"
    event = "service:{name}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.name, "yes" if self.reloads else "no", self.watches)

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        for number, path in enumerate(written):
            if path == f"service:{self.name}":  # it will run by then, with all that had been written until there
                return self.foresee(_RUNS, written[number + 1 :])
        unit = f"{_UNITS}/{self.name}{'' if '.' in self.name else '.service'}"
        if "LoadState=loaded" in found and any(path == unit or path.startswith(f"{unit}.d/") for path in written):
            # The last one counts: facts() reads them in this order.
            found += "\nNeedDaemonReload=yes"
        for path in written:
            if any(path == watched or PurePosixPath(path).parent == PurePosixPath(watched) for watched in self.watches):
                return f"{found}\nnewer={path}"
        return found

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        actions = []
        if now.get("NeedDaemonReload") == "yes" or now.get("LoadState") == "not-found":
            actions.append(Action("read the unit files again", "systemctl daemon-reload"))
        if now.get("UnitFileState") not in ("enabled", "static", "alias", "indirect"):
            actions.append(Action(f"enable {self.name}", quote("systemctl enable {}", self.name)))
        if now.get("ActiveState") not in ("active", "activating", "reloading"):
            actions.append(self._do("start"))
        elif self.reloads and "newer" in now:
            actions.append(self._do("reload", now["newer"]))
        elif "newer" in now or now.get("NeedDaemonReload") == "yes":
            actions.append(self._do("restart", now.get("newer", "its unit file")))
        return actions

    def _do(self, verb: str, because: str = "") -> Action:
        # A start that fails says little; the journal's last lines say why.
        script = quote(
            """unit={}
            # A unit file, or the first drop-in, which systemd does not miss by itself, may have been written meanwhile.
            [ {} = reload ] || systemctl daemon-reload
            systemctl reset-failed "$unit" 2>/dev/null || true
            if systemctl {} "$unit"; then
                sleep {}
                systemctl is-active --quiet "$unit" && serves && exit 0
            fi
            journalctl -u "$unit" -n 25 --no-pager -o cat
            exit 1""",
            self.name, verb, verb, self.settle,
        )  # fmt: skip
        script = f"serves() {{ {_WAIT.replace('{ready}', self.ready) if self.ready else ':'}; }}\n{script}"
        if self.check:
            script = f"( {self.check} ) 2>&1 || exit 1\n{script}"
        title = f"{verb} {self.name}" + (f" ({because} is newer)" if because else "")
        title += f": {self.notice}" if self.notice and verb == "restart" else ""
        seconds = 120 + (READY_SECONDS if self.ready else 0)
        return Action(title, script, quote(f"systemctl {verb} {{}}", self.name), seconds=seconds)
