"""Docker's own command, for the programs that root runs on the server."""

from __future__ import annotations

import subprocess

from hubrun_hub.failed import Failed


def docker(*words: str) -> str:
    """What it prints. Raises Failed with its last words."""
    done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"docker {' '.join(words[:2])}: {done.stderr.strip()[-300:]}")
    return done.stdout
