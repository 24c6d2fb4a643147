"""The shell scripts and Dockerfiles of the project, read by their linters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hubrun.environment import PROJECT

IMAGES = PROJECT / "lib/hubrun/practice/images"
SCRIPTS = [
    PROJECT / "hubrun",
    PROJECT / "lib/hubrun_hub/nodes/node-link",
    *sorted(path for path in IMAGES.rglob("*") if path.is_file() and b"sh\n" in path.read_bytes()[:20]),
]
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))


def lint(tool: str, *arguments: object) -> tuple[int, str]:
    """Exit code and output of a linter of requirements/dev.txt; that it is missing is a failure, not a reason to skip."""
    program = Path(sys.executable).with_name(tool)
    assert program.exists(), f"{tool} is not in .venv: it belongs to the development pins (pyproject.toml)"
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    assert lint("shellcheck", script) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    assert lint("hadolint", "--no-color", dockerfile) == (0, "")


def test_there_is_something_to_read() -> None:
    assert len(SCRIPTS) >= 4 and len(DOCKERFILES) >= 4
