"""What a server does by itself: which updates, and what keeps its logs small."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hubrun.params import Site
from hubrun.resources.files import Absent, File
from hubrun.resources.timers import TimerHour
from hubrun.sections.server import upkeep


def site(upgrade: str = "full", **changes: Any) -> Site:
    return Site(site="x", domain="hub.example.edu", upgrade=upgrade, **changes)  # type: ignore[arg-type]


def labels(upgrade: str) -> list[str]:
    return [resource.label for resource in upkeep.upkeep(site(upgrade))]


@pytest.mark.parametrize("upgrade", ["full", "security"])
def test_security_updates_come_by_themselves(upgrade: str) -> None:
    assert upkeep.packages(site(upgrade)) == ("logrotate", "unattended-upgrades")
    assert {"service apt-daily.timer", "service apt-daily-upgrade.timer"} <= set(labels(upgrade))


def test_whoever_updates_in_a_way_of_their_own_is_left_alone() -> None:
    assert upkeep.packages(site("none")) == ("logrotate",)
    assert not [label for label in labels("none") if "apt" in label]
    assert "service logrotate.timer" in labels("none")
    assert not [test for test in upkeep.tests(site("none")) if "apt" in test.script]


@pytest.mark.skipif(not shutil.which("apt-config"), reason="needs apt")
def test_apt_reads_the_settings_as_security_updates_alone_and_no_reboot(tmp_path: Path) -> None:
    (file,) = (each for each in upkeep.upkeep(site("full")) if isinstance(each, File) and each.path == upkeep.UPGRADES)
    (tmp_path / "50unattended-upgrades").write_text(
        'Unattended-Upgrade::Origins-Pattern { "origin=Debian,codename=${distro_codename},label=Debian"; };\n'
        'Unattended-Upgrade::Allowed-Origins { "${distro_id}:${distro_codename}"; };\n'
        'Unattended-Upgrade::Automatic-Reboot "true";\nAPT::Periodic::Unattended-Upgrade "0";\n'
    )
    (tmp_path / "90hubrun-upgrades").write_text(file.content)
    # Read before all else, so that it can say where the rest is: apt.conf(5), APT_CONFIG.
    (tmp_path / "first").write_text(f'Dir::Etc::parts "{tmp_path}"; Dir::Etc::main "/dev/null";')
    env = {**os.environ, "APT_CONFIG": str(tmp_path / "first")}
    shown = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True, env=env).stdout
    origins = [
        line.partition(" ")[2] for line in shown.splitlines() if "Origins" in line and line.split()[0].endswith("::")
    ]
    assert len(origins) == 4 and all("security" in origin for origin in origins), origins
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in shown
    assert 'APT::Periodic::Unattended-Upgrade "1";' in shown


def test_updates_come_at_the_hour_that_the_site_says_and_else_when_the_distribution_says() -> None:
    hours = [each.hour for each in upkeep.upkeep(site(updates_hour=3)) if isinstance(each, TimerHour)]
    assert hours == [3]
    (usual,) = (each for each in upkeep.upkeep(site()) if isinstance(each, TimerHour))
    # Debian's and Ubuntu's apt-daily-upgrade.timer, as systemd shows it
    assert usual.plan("TimersCalendar={ OnCalendar=*-*-* 06:00:00 ; next_elapse=Fri 2026-11-27 06:00:00 UTC }") == []


def test_logs_are_kept_for_so_many_days_or_as_the_distribution_does() -> None:
    kept = {each.path: each for each in upkeep.upkeep(site(log_days=30)) if isinstance(each, File)}
    assert "\nmaxage 30\n" in kept[upkeep.ROTATION].content
    assert "\nMaxRetentionSec=30day\nMaxFileSec=1day\n" in kept[upkeep.JOURNAL].content
    usual = {each.path: each for each in upkeep.upkeep(site()) if isinstance(each, (File, Absent))}
    assert isinstance(usual[upkeep.ROTATION], Absent)
    assert "Retention" not in usual[upkeep.JOURNAL].content  # type: ignore[union-attr]


def test_a_site_without_a_time_zone_keeps_that_of_its_server() -> None:
    assert upkeep.time_zone(site()) == []
    assert [each.label for each in upkeep.time_zone(site(timezone="Europe/Zurich"))] == [
        "packages tzdata",
        "time zone Europe/Zurich",
    ]


def test_logrotate_takes_the_days_for_the_logs_of_others_too(tmp_path: Path) -> None:
    """The first file of the folder has nothing but them; the second is the distribution's."""
    (rotation,) = (each for each in upkeep.upkeep(site(log_days=9)) if getattr(each, "path", "") == upkeep.ROTATION)
    parts, log = tmp_path / "logrotate.d", tmp_path / "access.log"
    parts.mkdir()
    log.write_text("x")
    (parts / "00-hubrun").write_text(rotation.content)  # type: ignore[attr-defined]
    (parts / "nginx").write_text(f"{log} {{\n daily\n rotate 14\n missingok\n}}\n")
    for days in (5, 12):
        old = tmp_path / f"access.log.{days}"
        old.write_text("old")
        os.utime(old, (time.time() - days * 86400,) * 2)
    (tmp_path / "logrotate.conf").write_text(f"weekly\nsu root root\ninclude {parts}\n")
    command = ["logrotate", "-f", "-s", str(tmp_path / "state"), str(tmp_path / "logrotate.conf")]
    said = subprocess.run(command, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("access.log.*")) == ["access.log.1", "access.log.6"]
