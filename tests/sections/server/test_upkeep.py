"""What a server does by itself: which updates, and what keeps its logs small."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hubrun.params import Site
from hubrun.resources.files import File
from hubrun.sections.server import upkeep


def site(upgrade: str) -> Site:
    return Site(site="x", domain="hub.example.edu", upgrade=upgrade)  # type: ignore[arg-type]


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
