"""Python of an environment with what the students' image has: to start a person's server without Docker."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path


def student_python() -> Path:
    """The environment of requirements/singleuser.txt: HUBRUN_STUDENT_PYTHON, or one that is made once."""
    if given := os.environ.get("HUBRUN_STUDENT_PYTHON"):
        return Path(given)
    pins = Path(str(files("hubrun.sections.hub"))) / "requirements" / "singleuser.txt"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    venv = Path.home() / ".cache" / "hubrun" / f"student-{sys.version_info.major}{sys.version_info.minor}-{digest}"
    venv.mkdir(parents=True, exist_ok=True)
    with (venv / "lock").open("w") as lock:  # pytest-xdist may come here several times at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (venv / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", pins], check=True)
            (venv / "complete").touch()
    return venv / "bin" / "python"
