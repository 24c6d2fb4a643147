"""What a server does by itself between the runs of its operator: security updates, and logs that do not grow for ever."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.files import Absent, Directory, File
from hubrun.resources.packages import Packages
from hubrun.resources.services import Service
from hubrun.resources.system import TimeZone
from hubrun.resources.timers import TimerHour

# Read after 20auto-upgrades and 50unattended-upgrades, whose settings it replaces: apt.conf(5).
UPGRADES = "/etc/apt/apt.conf.d/90hubrun-upgrades"
JOURNAL = "/etc/systemd/journald.conf.d/hubrun.conf"
# Read before all others of the folder: what it says holds for them too (logrotate's config.c, readConfigPath).
ROTATION = "/etc/logrotate.d/00-hubrun"

# Debian's and Ubuntu's security archives as the package's own 50unattended-upgrades names them, and no other: a version
# that behaves otherwise comes when the operator says so.
_UPGRADES = """\
// Written by hubrun (runbook 01_server): changes here are put back. Yours go into a file whose name sorts after it.
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
#clear Unattended-Upgrade::Allowed-Origins;
#clear Unattended-Upgrade::Origins-Pattern;
Unattended-Upgrade::Origins-Pattern {
    "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";
    "origin=Ubuntu,archive=${distro_codename}-security";
    "origin=UbuntuESM,archive=${distro_codename}-infra-security";
    "origin=UbuntuESMApps,archive=${distro_codename}-apps-security";
};
// Students work at night too: when it boots again is the operator's to say.
Unattended-Upgrade::Automatic-Reboot "false";
"""
_JOURNAL = """\
# Written by hubrun (runbook 01_server): changes here are put back. Yours go into a file whose name sorts after it.
[Journal]
SystemMaxUse=1G
RuntimeMaxUse=64M
"""
# Whole files are removed, and so there must be one a day: journald.conf(5), MaxRetentionSec=.
_JOURNAL_DAYS = """\
MaxRetentionSec={days}day
MaxFileSec=1day
"""
_ROTATION = """\
# Written by hubrun (runbook 01_server): changes here are put back.
maxage {days}
"""


def packages(site: Site) -> tuple[str, ...]:
    """The packages that it takes. With `upgrade: none` the operator updates in a way of their own."""
    return ("logrotate",) if site.upgrade == "none" else ("logrotate", "unattended-upgrades")


def upkeep(site: Site) -> list[Resource]:
    """Settings and timers; the packages are installed."""
    updates: list[Resource] = []
    if site.upgrade != "none":
        updates = [
            File(UPGRADES, _UPGRADES, check="apt-config dump"),
            Service("apt-daily.timer"),
            Service("apt-daily-upgrade.timer"),
            TimerHour("apt-daily-upgrade.timer", site.updates_hour),
        ]
    days = site.log_days
    rotation = File(ROTATION, _ROTATION.format(days=days), check="logrotate -d {}") if days else Absent(ROTATION)
    return [
        *updates,
        # Minimal images have no cron: logrotate has a timer for them.
        Service("logrotate.timer"),
        rotation,
        Directory("/etc/systemd/journald.conf.d"),
        File(JOURNAL, _JOURNAL + (_JOURNAL_DAYS.format(days=days) if days else "")),
        Service("systemd-journald.service", watches=(JOURNAL,)),
    ]


def time_zone(site: Site) -> list[Resource]:
    """The server's time zone, where the site names one."""
    return [Packages("tzdata"), TimeZone(site.timezone)] if site.timezone else []


def tests(site: Site) -> list[Test]:
    """Tests that what must happen by itself is going to happen."""
    wanted = ["logrotate.timer"] + ["apt-daily.timer", "apt-daily-upgrade.timer"] * (site.upgrade != "none")
    found = [
        # a timer without a next time has "-" or "n/a" in the place of the day
        Test(
            f"{timer} will run",
            f"systemctl list-timers --no-legend {timer}",
            rf"^[A-Z]\w\w \d{{4}}-\d\d-\d\d .*{timer}",
        )
        for timer in wanted
    ]
    if site.upgrade != "none":
        found.append(
            Test(
                "security updates are installed without a reboot",
                "apt-config dump Unattended-Upgrade; apt-config dump APT::Periodic",
                r'(?s)-security.*Automatic-Reboot "false".*Unattended-Upgrade "1"',
            )
        )
    return found


def package_tests() -> list[Test]:
    """Tests that the base packages do their work, and that apt left none half installed."""
    return [
        Test(
            "Python makes virtual environments", "python3 -m venv --help >/dev/null && python3 -m ensurepip --version"
        ),
        Test(
            "every package is completely installed",
            'broken=$(dpkg --audit) || exit\n[ -z "$broken" ] || { echo "$broken"; exit 1; }',
            remedy="dpkg --configure -a, then apt-get --fix-broken install",
        ),
    ]
