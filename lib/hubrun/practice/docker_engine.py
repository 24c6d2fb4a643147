"""The Docker engine that practice servers run on: found, or installed and started, and asked."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubrun.errors import EngineMissing, HubrunError

Say = Callable[[str], None]

START_LIMIT = 60  # seconds for a fresh engine to answer


@dataclass(frozen=True)
class Engine:
    """A Docker client that reaches an engine. `cgroup`: version of the host's control groups, 1 or 2."""

    client: str
    cgroup: int

    def run(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> str:
        """Run `docker ARGS`, return what it printed. `timeout` in seconds. HubrunError when it fails."""
        # Without BuildKit: its cache could not be removed by label, and `down` leaves nothing behind.
        env = os.environ | {"DOCKER_BUILDKIT": "0"}
        shown = " ".join(["docker", *args[:2]])
        try:
            done = subprocess.run(
                [self.client, *args], input=stdin, capture_output=True, timeout=timeout, env=env, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise HubrunError(f"did not end within {timeout:.0f} s", shown) from error
        if done.returncode:
            text = (done.stdout + done.stderr).decode(errors="replace").strip()
            last = text.splitlines()[-1] if text else f"exit code {done.returncode}"
            raise HubrunError(last, shown, "What is half made: ./hubrun practice reset", text)
        return done.stdout.decode(errors="replace")

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """What the engine knows of a container, image, network or volume; None when there is none."""
        command = [self.client, kind, "inspect", name]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        return None if done.returncode else dict(json.loads(done.stdout)[0])

    def labelled(self, kind: str, label: str) -> list[str]:
        """Names or ids of the objects of a kind (container, image, network, volume) that carry `label`."""
        every = ["-a"] if kind in ("container", "image") else []
        return sorted(set(self.run(kind, "ls", "-q", *every, "--filter", f"label={label}").split()))


def find() -> Engine | None:
    """The engine that answers, or None. A client of another origin may be on the PATH: each is tried."""
    for client in dict.fromkeys((shutil.which("docker"), "/usr/bin/docker")):
        if client and os.access(client, os.X_OK):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired, ValueError):
                done = subprocess.run(
                    [client, "info", "--format", "{{json .}}"], capture_output=True, timeout=20, check=False
                )
                info = json.loads(done.stdout)
                # The client prints an empty answer, with errors in it, when no engine is there.
                if info.get("ServerVersion"):
                    return Engine(client, 2 if str(info.get("CgroupVersion")) == "2" else 1)
    return None


def ensure(state: Path, say: Say) -> Engine:
    """Return an engine that answers; on Debian and Ubuntu as root install and start one if need be.

    `state` is the folder that remembers an engine which was started here (`stop` needs that).
    EngineMissing, with the one command to run, where that cannot be done.
    """
    engine = find()
    if engine:
        return engine
    if shutil.which("apt-get") is None:
        raise EngineMissing(
            "no Docker engine answers", "docker info", "Start one, or run: curl -fsSL https://get.docker.com | sudo sh"
        )
    if os.geteuid() != 0:
        raise EngineMissing(
            "no Docker engine answers to this user", "docker info", "Run as root: sudo ./hubrun practice"
        )
    if not shutil.which("dockerd", path=_ROOT_PATH) or not shutil.which("docker", path=_ROOT_PATH):
        say("installing a Docker engine (apt-get install docker.io, about 20 s)")
        install_packages("docker.io", "iptables", optional=("docker-cli",))
    say("starting the Docker engine")
    started = _start(state)
    (state / "engine.json").write_text(json.dumps(started))
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        engine = find()
        if engine:
            return engine
        time.sleep(0.3)
    log = state / "dockerd.log"
    detail = log.read_text(errors="replace")[-3000:] if log.exists() else ""
    raise EngineMissing(
        f"the Docker engine was started and does not answer after {START_LIMIT} s",
        "dockerd",
        f"Read {log}" if detail else "Read: journalctl -u docker",
        detail,
    )


_ROOT_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin"


def install_packages(*names: str, optional: Sequence[str] = ()) -> None:
    """Install Debian packages without recommended ones; `optional` ones only where they exist."""
    _apt("update")
    known = [
        name
        for name in optional
        if subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode == 0
    ]
    _apt("install", "-y", "--no-install-recommends", *names, *known)


def _apt(command: str, *options: str) -> None:
    done = subprocess.run(
        ["apt-get", command, "-qq", "-o", "DPkg::Lock::Timeout=120", *options],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        text = (done.stdout + done.stderr).strip()
        raise HubrunError(f"apt-get {command} failed", "this machine", "Repair it, then run the command again", text)


def _start(state: Path) -> dict[str, Any]:
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker.service"], capture_output=True, check=False)
        return {"by": "systemd"}
    dockerd = shutil.which("dockerd", path=_ROOT_PATH) or "dockerd"
    return start_by_hand([dockerd], state / "dockerd.log")


def start_by_hand(command: Sequence[str], log: Path) -> dict[str, Any]:
    """Start an engine that outlives this process; its output goes to `log`. Returns what `stop` needs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"PATH": _ROOT_PATH}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env=env,
        )
    return {"by": "hand", "pid": process.pid, "started": _started(process.pid)}


def stop(state: Path, say: Say) -> None:
    """Stop the engine if `ensure` started it; otherwise leave it alone."""
    note = state / "engine.json"
    if not note.exists():
        return
    started = json.loads(note.read_text())
    say("stopping the Docker engine that was started for practice (its Debian packages stay)")
    if started["by"] == "systemd":
        units = ["docker.socket", "docker.service"]
        subprocess.run(["systemctl", "stop", *units], capture_output=True, check=False, timeout=90)
    else:
        stop_by_hand(started)
    note.unlink()
    (state / "dockerd.log").unlink(missing_ok=True)


def stop_by_hand(started: Mapping[str, Any], limit: float = 60) -> None:
    """End the process that `start_by_hand` started, and only that one: a pid alone may have been reused."""
    pid = int(started["pid"])
    if not started["started"] or _started(pid) != started["started"]:
        return
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + limit
    while _started(pid) == started["started"] and time.monotonic() < end:
        time.sleep(0.1)


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot (proc(5), field 22 of stat); "" if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
