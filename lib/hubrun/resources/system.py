"""What belongs to the machine as a whole: host name, swap, clock, time zone, certificate authorities."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.checks import Test
from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.packages import APT, REFRESH, REPAIR_PACKAGES
from hubrun.shell import quote

CA_FOLDER = "/usr/local/share/ca-certificates"


@dataclass(frozen=True)
class HostEntry(Resource):
    """A line of /etc/hosts that gives `address` the name `name`; other lines stay."""

    address: str
    name: str

    label_format = "{name} in /etc/hosts"

    @override
    def probe(self) -> str:
        return quote(
            "awk -v name={} '!/^#/ {for (i = 2; i <= NF; i++) if ($i == name) {print \"address=\" $1; exit}}' /etc/hosts",
            self.name,
        )

    @override
    def plan(self, found: str) -> list[Action]:
        # Whatever address it has there, the name resolves, which is what sudo and the hub need.
        if "address" in facts(found):
            return []
        # In place: /etc/hosts may be a bind mount. The empty printf adds a missing last newline.
        script = quote(
            "[ -z \"$(tail -c1 /etc/hosts)\" ] || echo >> /etc/hosts\nprintf '%s\\t%s\\n' {} {} >> /etc/hosts",
            self.address, self.name,
        )  # fmt: skip
        shown = f"echo {self.address} {self.name} | sudo tee -a /etc/hosts"
        return [Action(f"name {self.name} in /etc/hosts", script, shown)]

    def test(self) -> Test:
        """A test that the name resolves."""
        return Test("the server resolves its own name", quote("getent hosts {}", self.name))


@dataclass(frozen=True)
class Swap(Resource):
    """A swap file of `megabytes` that is used after a reboot too. Where swap is refused (a container), it is left out."""

    megabytes: int
    path: str = "/swapfile"

    label_format = "swap {path}, {megabytes} MB"

    @override
    def probe(self) -> str:
        return quote(
            """echo "container=$(systemd-detect-virt --container)"
            echo "used=$(awk 'NR > 1' /proc/swaps | wc -l)"
            grep -q "^{} " /etc/fstab && echo fstab=yes""".replace("{}", self.path)
        )

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        # Swap that is there already, of whatever kind, is the operator's choice.
        if not self.megabytes or now.get("container") not in ("none", None) or (now.get("used", "0") != "0"):
            return []
        script = quote(
            """path={}
            rm -f "$path"
            fallocate -l {}M "$path"
            chmod 0600 "$path"
            mkswap "$path" >/dev/null
            swapon "$path"
            grep -q "^$path " /etc/fstab || printf '%s none swap sw 0 0\\n' "$path" >> /etc/fstab""",
            self.path, self.megabytes,
        )  # fmt: skip
        shown = f"fallocate -l {self.megabytes}M {self.path}; mkswap {self.path}; swapon {self.path}"
        return [Action(f"add {self.megabytes} MB of swap", script, shown)]


@dataclass(frozen=True)
class CertificateAuthorities(Resource):
    """Certificate authorities that programs on the server trust: PEM texts, one certificate each."""

    pems: tuple[str, ...]

    @property
    @override
    def label(self) -> str:
        return f"{len(self.pems)} certificate authorities of the site"

    @override
    def probe(self) -> str:
        # The list counts too: a file that was put there without update-ca-certificates is trusted by nobody.
        return quote(
            """for path in {}; do
                [ -f "$path" ] || continue
                line=$(sed -n 2p "$path")
                grep -qF -- "$line" /etc/ssl/certs/ca-certificates.crt && echo "$path=$(sha256sum < "$path" | cut -d' ' -f1)"
            done""",
            [self._path(pem) for pem in self.pems],
        )

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        actions = []
        for pem in self.pems:
            path = self._path(pem)
            if now.get(path) != _sha256(pem):
                script = quote("install -d {}\ncat > {}", CA_FOLDER, path)
                actions.append(Action(f"trust {path}", script, f"cp CA.crt {CA_FOLDER}/", pem.encode()))
        if actions:
            actions.append(Action("bring the list of authorities up to date", "update-ca-certificates"))
        return actions

    @staticmethod
    def _path(pem: str) -> str:
        return f"{CA_FOLDER}/hubrun-{_sha256(pem)[:16]}.crt"


@dataclass(frozen=True)
class TimeSync(Resource):
    """The clock is kept right: LTI refuses a launch whose time is more than some minutes off.

    chrony or ntpd is left to do it where it runs; else systemd-timesyncd does. A container has its host's clock.
    """

    label_format = "time synchronisation"

    @override
    def probe(self) -> str:
        return """
echo "container=$(systemd-detect-virt --container)"
for unit in chrony chronyd ntp ntpsec ntpd systemd-timesyncd openntpd; do
    systemctl is-active --quiet "$unit" && systemctl is-enabled --quiet "$unit" && echo "runs=$unit"
done
echo "timesyncd=$(systemctl show systemd-timesyncd -p LoadState --value)"
"""

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if now.get("container", "none") != "none" or "runs" in now:
            return []
        start = "systemctl enable --now systemd-timesyncd"
        there = now.get("timesyncd") == "loaded"
        install = "" if there else REPAIR_PACKAGES + REFRESH + f"{APT} install -y systemd-timesyncd\n"
        return [Action("start systemd-timesyncd", install + start, start, seconds=600)]


@dataclass(frozen=True)
class TimeZone(Resource):
    """The server's time zone, by its name ("Europe/Zurich"); the package tzdata is there.

    What runs already has read the zone, and goes on with the one before until it is started again: tzset(3).
    """

    name: str

    label_format = "time zone {name}"

    @override
    def probe(self) -> str:
        return "readlink /etc/localtime | sed -n 's#.*/zoneinfo/#zone=#p'"

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found).get("zone", "not set")
        if now == self.name:
            return []
        # Not by timedatectl: it needs D-Bus, which a minimal server lacks. /etc/timezone: Debian's own, until version 12.
        script = quote(
            """zone={}
            [ -e "/usr/share/zoneinfo/$zone" ] || exit 45
            ln -sfn "/usr/share/zoneinfo/$zone" /etc/localtime
            [ ! -e /etc/timezone ] || echo "$zone" > /etc/timezone""",
            self.name,
        )
        unknown = (f"the server knows no time zone {self.name}", "Choose one of: timedatectl list-timezones")
        shown = quote("timedatectl set-timezone {}", self.name)
        return [Action(f"time zone {self.name} (now {now})", script, shown, exit_codes={45: unknown})]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
