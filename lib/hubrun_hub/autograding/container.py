"""The container in which nbgrader autogrades for the server, and what it says."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..courses import servers
from ..courses.mounts import INSTRUCTORS, PREFIX, ROOT, Membership, named, places
from ..failed import Failed

# There is one on the whole server.
NAME = "hubrun-autograde"
_MARK = "hubrun-autograde: "
_PROGRAM = ("python", "-I", "-m", "hubrun_student.programs.autograde")
# The folders of a course that nbgrader needs, as its staff have them.
_FOLDERS = ("courses", "inbound", "feedback")
# When the processors are busy: a quarter of what Docker gives to a student. hubrun_student/nbgrader/by_server.py waits
# for cells so much longer, and so nobody loses points by it.
_SHARES = 1024 // 4
# Longer than that program lets itself take.
_MOST_S = 2 * 3600.0
_LINE, _LINES = 10_000, 5


def command(
    site: Mapping[str, Any], course: str, words: Mapping[str, Mapping[str, object]], root: str = ROOT
) -> list[str]:
    """Docker's command for a course. words: what the groups of courses say (`mounts.words_of`).

    It gets the memory and processes that one of the course's staff gets, and one processor at the most.
    """
    says = words.get(course, {})
    groups = [(f"{PREFIX}{course}{end}", says) for end in ("", INSTRUCTORS)]
    (limits,) = (each.limits for each in servers.servers(site, groups).values() if course in each.courses)
    (member,) = named([Membership(course, teaches=True)], words)
    # The name is nobody's: what is a person's own is left out below.
    found = places("autograde", [member], root)
    folders = [
        f"type=bind,source={source},target={bind['bind']}{',readonly' if bind['mode'] == 'ro' else ''}"
        for source, bind in found.binds.items()
        if bind["bind"].removeprefix(f"{ROOT}/").split("/")[0] in _FOLDERS
    ]
    zone = {"TZ": site["environment"]["TZ"]} if "TZ" in site.get("environment", {}) else {}
    environment = {**found.environment, **zone, "JUPYTER_RUNTIME_DIR": "/tmp/.jupyter-runtime"}  # nosec B108 - of a container
    memory, half = f"{limits.memory_mb}m", limits.memory_mb // 2
    scratch = "rw,exec,nosuid,nodev,mode=1777"
    return [
        "docker", "run", "--rm", "-i", "--name", NAME, "--pull", "never", "--log-driver", "none",
        "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--init",
        "--memory", memory, "--memory-swap", memory, "--shm-size", f"{half}m", "--pids-limit", str(limits.processes),
        "--cpus", f"{min(1.0, limits.cpus):g}", "--cpu-shares", str(_SHARES),
        # Ended before any student's (500), when the server's memory is full.
        "--oom-score-adj", "600", "--ulimit", "core=0", "--ulimit", "nofile=16384",
        "--tmpfs", f"/tmp:{scratch},size={half}m", "--tmpfs", f"/var/tmp:{scratch},size=64m", "--tmpfs", f"/run:{scratch},size=16m",
        "--tmpfs", f"/home/jovyan:{scratch},size=64m",
        *(word for folder in folders for word in ("--mount", folder)),
        *(word for name, value in environment.items() for word in ("--env", f"{name}={value}")),
        "--workdir", f"{ROOT}/courses/{member.inside}", limits.image or str(site["images"][0]), *_PROGRAM,
    ]  # fmt: skip


def check_folders(command: Iterable[str]) -> None:
    """Raise Failed where a folder that would be mounted is not there."""
    mounts = [
        dict(part.partition("=")[::2] for part in word.split(",")) for word in command if word.startswith("type=bind,")
    ]
    if missing := [each["source"] for each in mounts if not Path(each["source"]).is_dir()]:
        raise Failed(f"{missing[0]} is not there: none of the course's staff has opened JupyterHub yet")


def end() -> None:
    """End the one that is there, if there is one. Docker may be away."""
    subprocess.run(
        ["docker", "rm", "-f", NAME], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300
    )


def run(command: list[str], job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Run it, and say what it says, as it does. Raises Failed with its last words where it fails, or takes too long."""
    end()  # of a time that was killed
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as docker:  # fmt: skip
        assert docker.stdin and docker.stdout
        timer = threading.Timer(_MOST_S, end)
        timer.daemon = True
        timer.start()
        last: list[str] = []
        try:
            with suppress(BrokenPipeError):  # it ended, and says why
                docker.stdin.write(json.dumps(job) + "\n")
                docker.stdin.close()
            while line := docker.stdout.readline(_LINE):
                if said := _said(line):
                    yield said
                elif line.strip():
                    last = [*last, line.strip()][-_LINES:]
        finally:
            timer.cancel()
            _finish(docker)
    if docker.returncode:
        raise Failed(ascii(last[-1])[1:-1][:300] if last else f"it ended with {docker.returncode}")


def _finish(docker: subprocess.Popen[str]) -> None:
    """It has said all, or we are ended: it does not go on by itself."""
    try:
        docker.wait(10)
    except subprocess.TimeoutExpired:
        end()
        docker.kill()


def _said(line: str) -> dict[str, str]:
    """What the program says in a line; {} for any other line."""
    if not line.startswith(_MARK):
        return {}
    try:
        found = json.loads(line.removeprefix(_MARK))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
