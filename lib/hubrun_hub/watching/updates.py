"""Updates of the server's packages: which wait, and whether they come by themselves."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

from hubrun_hub.watching import kept

_STAMP = Path("/var/lib/apt/periodic/unattended-upgrades-stamp")
_REBOOT = Path("/run/reboot-required")
# For looking only: without a lock, and without the caches that apt would write: apt.conf(5), Dir::Cache.
_LOOK = ("-o", "Debug::NoLocking=1", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")


def count() -> dict[str, Any]:
    """waiting, security: how many updates there are, by the lists that the server has. It takes apt seconds.

    Raises OSError, subprocess.SubprocessError.
    """
    command = ["apt-get", "-s", *_LOOK, "dist-upgrade"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    # Inst openssl [3.0.11] (3.0.15 Debian-Security:12/stable-security [amd64])
    new = re.findall(r"^Inst \S+ (?:\[\S+\] )?\((.*)", said, re.MULTILINE)
    return {"at": time.time(), "waiting": len(new), "security": sum("security" in each.lower() for each in new)}


def state() -> dict[str, Any]:
    """waiting, security: as they were counted last; None where nobody did. by_itself: whether a timer installs those for
    security; last: when it did, in seconds since 1970. reboot: whether something installed takes effect only after one.

    Raises OSError, ValueError, subprocess.SubprocessError.
    """
    command = ["apt-config", "dump", "APT::Periodic::Unattended-Upgrade"]
    says = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    counted = kept.read("updates") or {}
    return {
        "waiting": counted.get("waiting"), "security": counted.get("security"), "by_itself": '"1"' in says,
        "last": _STAMP.stat().st_mtime if _STAMP.exists() else None, "reboot": _REBOOT.exists(),
    }  # fmt: skip
