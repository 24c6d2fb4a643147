"""Secrets of LTI 1.1 that were replaced and are good for some days more, and whether an LMS still signs with one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hubrun_hub import rotation
from hubrun_hub.lti.consumers import BY_FORMER, DEFAULT

FOLDER = Path("/etc/jupyterhub")


def state(now: float, timeout_s: float) -> list[dict[str, Any]]:
    """Each that is still good: consumer, until (seconds since 1970), and used: whether a launch of the last day had it.

    Raises OSError, ValueError, and subprocess.SubprocessError when the journal does not answer within `timeout_s`.
    """
    good = [
        {"consumer": DEFAULT if path.stem == "lti" else path.stem, "until": until}
        for path in (FOLDER / "lti.env", *sorted(FOLDER.glob("consumers.d/*.env")))
        if (until := rotation.times(path)["until"]) > now
    ]
    return [each | {"used": _used(str(each["consumer"]), timeout_s)} for each in good]


def _used(consumer: str, timeout_s: float) -> bool:
    command = ("journalctl", "-u", "jupyterhub", "--since=-1d", "-r", "-n", "1", "-o", "cat", "--no-pager", "-q")
    done = subprocess.run((*command, "-g", BY_FORMER % consumer), capture_output=True, text=True, timeout=timeout_s)
    # It ends with 1 where nothing was found, and says nothing.
    if done.returncode and done.stderr.strip():
        raise OSError(done.stderr.strip())
    return bool(done.stdout.strip())
