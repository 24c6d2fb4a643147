"""Debian packages, updates, and where packages come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.shell import quote

# dpkg's lock is waited for by apt itself; the lists' lock is another one, which it does not wait for.
LOCK_SECONDS = 600
APT = f"apt-get -q -o DPkg::Lock::Timeout={LOCK_SECONDS} -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
# For looking only: without a lock, and without the caches that apt would write: apt.conf(5), Dir::Cache.
LOOK = "-o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
# A run that was killed in the middle of dpkg leaves packages half configured; apt refuses to go on until this is done.
# They look the same while another apt is at work, such as that of a run whose connection was lost: it is waited for.
REPAIR_PACKAGES = f"""
deadline=$(( $(date +%s) + {LOCK_SECONDS} ))
while [ -n "$(dpkg --audit)" ]; do
    if out=$(dpkg --configure -a --force-confold 2>&1); then
        printf 'finished an interrupted dpkg\\n%s\\n' "$out"
        break
    fi
    case $out in *"locked by another process"*) ;; *) printf '%s\\n' "$out"; exit 1;; esac
    [ "$(date +%s)" -lt "$deadline" ] || {{ printf '%s\\n' "$out"; exit 1; }}
    echo "waiting for another apt to end"; sleep 3
done
"""
UPDATE = f"""
deadline=$(( $(date +%s) + {LOCK_SECONDS} ))
while ! out=$({APT} -o APT::Update::Error-Mode=any update 2>&1); do
    case $out in *"Could not get lock"*|*"Unable to lock"*) ;; *) printf '%s\\n' "$out"; exit 1;; esac
    [ "$(date +%s)" -lt "$deadline" ] || {{ printf '%s\\n' "$out"; exit 1; }}
    echo "waiting for another apt to end"; sleep 3
done
printf '%s\\n' "$out" | tail -n 1
"""
# Lists younger than this are not fetched again, unless a source is newer.
FRESH_MINUTES = 60
REFRESH = f"""
if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -{FRESH_MINUTES} 2>/dev/null | head -n 1)" ] \\
    || [ -n "$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer /var/lib/apt/lists -type f 2>/dev/null)" ]; then
{UPDATE}
fi
"""

# A package of another name may have brought the service before: Ubuntu's nginx-full, whose sites are somebody's.
_RAN = """ran=" $(for each in {}; do ! systemctl is-active -q "$each" || printf "$each "; done)"
"""
_STOP = """
for each in {}; do case "$ran" in *" $each "*) ;; *) systemctl disable -q --now "$each" ;; esac; done
"""
# What packages leave that later resources look at, so that a plan on a fresh server knows of it.
_BRINGS = {
    "nginx": ("/etc/nginx/sites-enabled/default",),
    "certbot": ("/etc/letsencrypt/renewal-hooks/deploy", "service:certbot.timer"),
    "logrotate": ("service:logrotate.timer",),
    "docker.io": ("/etc/docker",),
    "docker-ce": ("/etc/docker",),
}


class _Named(Resource):
    """Debian packages, by their names."""

    def __init__(self, *names: str) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.listed = ", ".join(self.names)

    @override
    def probe(self) -> str:
        return quote("dpkg-query -W -f '${Package} ${db:Status-Status}\\n' -- {}", self.names)

    @staticmethod
    def installed(found: str) -> list[str]:
        """Those that the probe found installed."""
        return [line.split()[0] for line in found.splitlines() if line.endswith(" installed")]


class Packages(_Named):
    """Debian packages that are installed, without their recommendations; in one transaction.

    stopped: services that come with them, and do not run before a later step starts them, unless they ran before.
    """

    label_format = "packages {listed}"

    def __init__(self, *names: str, stopped: tuple[str, ...] = ()) -> None:
        super().__init__(*names)
        self.stopped = stopped

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return found + "".join(f"\n{name} installed" for name in self.names if f"package:{name}" in written)

    @override
    def plan(self, found: str) -> list[Action]:
        installed = self.installed(found)
        missing = [name for name in self.names if name not in installed]
        if not missing:
            return []
        install = quote(f"{APT} install -y --no-install-recommends -- {{}}", missing)
        shown = quote("apt-get install --no-install-recommends {}", missing)
        brought = tuple(path for name in missing for path in (f"package:{name}", *_BRINGS.get(name, ())))
        script = REPAIR_PACKAGES + REFRESH + install
        if stopped := [name for name in self.stopped if name in missing]:
            script = f"{quote(_RAN, stopped)}{script}{quote(_STOP, stopped)}"
            shown = f"{shown}; {quote('systemctl disable --now {}', stopped)}"
        return [Action("install " + ", ".join(missing), script, shown, seconds=1800, writes=brought)]


class NoPackages(_Named):
    """Debian packages that are not installed. Their configuration stays."""

    label_format = "no packages {listed}"

    @override
    def plan(self, found: str) -> list[Action]:
        there = self.installed(found)
        if not there:
            return []
        script = REPAIR_PACKAGES + quote(f"{APT} remove -y -- {{}}", there)
        return [Action("remove " + ", ".join(there), script, quote("apt-get remove {}", there), seconds=600)]


@dataclass(frozen=True)
class Updates(Resource):
    """No update waiting: level "security" (those from a security archive), "full" (all), or "none"."""

    level: str

    label_format = "updates ({level})"

    @override
    def probe(self) -> str:
        # -s simulates; `Inst name [old] (new Origin:Suite/… [arch])` is what it prints for each update.
        # As nobody, apt reads its caches and cannot write them, which takes a third of the time; root looks without them
        # where nobody may not read a list of sources.
        return f"""
            find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -1440 | head -n 1 | sed 's/^/fresh=/'
            out=$(runuser -u nobody -- apt-get -s -o Debug::NoLocking=1 dist-upgrade 2>/dev/null) ||
                out=$(apt-get -s {LOOK} dist-upgrade)
            printf '%s\\n' "$out" | grep '^Inst'
        """

    @override
    def plan(self, found: str) -> list[Action]:
        if self.level == "none":
            return []
        actions = []
        if "fresh=" not in found:
            actions.append(Action("fetch the package lists", REPAIR_PACKAGES + UPDATE, "apt-get update", seconds=900))
        waiting = [line for line in found.splitlines() if line.startswith("Inst ")]
        if self.level == "security":
            waiting = [line for line in waiting if "-security" in line or "Debian-Security" in line]
        names = [line.split()[1] for line in waiting]
        if not names and not actions:
            return []
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        if self.level == "full":
            # Also when none is known of yet: fresh lists may name some.
            script, by_hand = f"{APT} dist-upgrade -y", "apt-get dist-upgrade"
        else:
            # Named only now, from the lists just fetched.
            script = (
                "names=$(apt-get -s dist-upgrade | awk '/^Inst/ && /-security|Debian-Security/ {print $2}')\n"
                f'if [ -n "$names" ]; then {APT} install -y --only-upgrade -- $names; fi'
            )
            by_hand = "unattended-upgrade"
        title = f"update {shown or 'what the new lists name'}"
        return [*actions, Action(title, REPAIR_PACKAGES + script, by_hand, seconds=3600)]
