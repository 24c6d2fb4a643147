"""git for pulls of what a link names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# git-config(1) and git(1). `protected` settings such as safe.bareRepository count from the environment.
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    # A folder of a repository that looks like a repository itself brings a configuration, which runs programs.
    "safe.bareRepository": "explicit",
    # A server that says nothing for a minute is given up.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """`given` for git that pulls what a link names: HTTP and nothing else, no hooks, no questions."""
    kept = {name: value for name, value in given.items() if not name.startswith("GIT_") or "SSL" in name}
    ours = {
        "GIT_ALLOW_PROTOCOL": "http:https",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_TEMPLATE_DIR": "",
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
    }
    for number, (name, value) in enumerate(_SETTINGS.items()):
        ours |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return kept | ours


def origin(folder: Path) -> str:
    """Where a clone came from; empty when it says nothing of it."""
    command = ["git", "config", "--file", str(folder / ".git" / "config"), "--get", "remote.origin.url"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(os.environ), check=False)
    return done.stdout.strip()
