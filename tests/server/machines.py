"""Practice servers as the tests use them: `./hubrun` run as a person runs it, and servers looked at past the library."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import paramiko

from hubrun.practice import docker_engine

PROJECT = Path(__file__).resolve().parents[2]
# What keeps Chromium from asking anything of anybody by itself.
# Of HTTP/1.1, Chromium gives up only what connects at the moment at which a network interface comes or goes (see
# conftest.networks_change); of HTTP/2, all that it loads.
CHROMIUM_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-http2",
)  # fmt: skip
UNITS = ("jupyterhub", "jupyterhub-proxy", "nginx", "docker")

# Everything that a run could touch, one `name=state` line for each. StateChange: a reload shows there too.
_SNAPSHOT = f"""
find /etc ! -type d -printf 'etc %p=%y|%T@|%m|%u:%g|%l\\n'
find /etc -type d -printf 'folder %p=%m|%u:%g\\ntouched %p=%T@\\n'
find /etc -type f -exec sha256sum {{}} + | awk '{{print "sum " $2 "=" $1}}'
dpkg-query -W -f 'package ${{Package}}=${{Version}} ${{db:Status-Status}}\\n'
for unit in {" ".join(UNITS)}; do
    for name in ActiveState UnitFileState MainPID ExecMainStartTimestampMonotonic StateChangeTimestampMonotonic; do
        echo "unit $unit $name=$(systemctl show "$unit" -p $name --value)"
    done
done
[ ! -e /var/lib/jupyterhub/cookie_secret ] || echo "cookie_secret=$(sha256sum < /var/lib/jupyterhub/cookie_secret)"
! docker version >/dev/null 2>&1 || docker image ls --no-trunc --format 'image {{{{.Repository}}}}:{{{{.Tag}}}}={{{{.ID}}}}'
"""


# Every file, with all that a change leaves: size, times, mode, owner, target. What a server writes by itself while it
# is logged in to is left out: logs, systemd's own notes, the run-time folder.
_EVERYTHING = """
find / /tmp /var/tmp -xdev \\( -path /var/log -o -path /var/lib/systemd -o -path /run \\) -prune \
    -o -printf '%p=%s|%T@|%C@|%m|%u:%g|%l\\n' 2>/dev/null
dpkg-query -W -f 'package ${Package}=${Version} ${db:Status-Status}\\n'
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, all it printed (both streams in their order), and seconds."""

    code: int
    output: str
    seconds: float

    @property
    def tail(self) -> str:
        """What an assertion shows when it fails."""
        lines = self.output.splitlines()
        return f"exit {self.code} after {self.seconds:.0f} s\n" + "\n".join(lines[-60:])

    @property
    def error(self) -> str:
        """The one line that says what failed; several, or a traceback, fail here."""
        assert "Traceback" not in self.output, self.tail
        found = [line for line in self.output.splitlines() if re.match(r"(hubrun|failed|interrupted): ", line)]
        assert len(found) == 1, f"one clear error is wanted, {len(found)} came: {self.tail}"
        return found[0]

    @property
    def record(self) -> Path:
        """The folder of the run."""
        found = re.findall(r"^record: (.+)$", self.output, re.MULTILINE)
        assert len(found) == 1, self.tail
        return Path(found[0])

    @property
    def manifest(self) -> dict[str, Any]:
        """What the manifest says of the run (the statement's predicate)."""
        return dict(json.loads((self.record / "manifest.json").read_text())["predicate"])

    @property
    def results(self) -> list[tuple[str, str]]:
        """(resource, status) of everything that the run looked at."""
        steps = [step for part in self.manifest["runbooks"] for step in part["steps"]]
        return [(result["resource"], result["status"]) for step in steps for result in step["results"]]


class Running:
    """A command in a process group of its own, whose output goes to a file."""

    def __init__(self, *command: str, env: Mapping[str, str] | None = None) -> None:
        self._began = time.monotonic()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lasts as long as the process
        self._process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT,
            start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}),
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait for its end, at most `seconds`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    @property
    def output(self) -> str:
        # pread: the process writes at the offset that it shares with us
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0).decode(errors="replace")

    def wait_for(self, pattern: str, seconds: float) -> None:
        """Wait until the output has a match of `pattern`; fail when the command ends or `seconds` go by before."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.output, re.MULTILINE):
            assert self._process.poll() is None, f"ended without {pattern!r}: {self.output[-3000:]}"
            assert time.monotonic() < end, f"no {pattern!r} after {seconds} s: {self.output[-3000:]}"
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL for the command and what it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def end(self, seconds: float) -> Ended:
        """Wait for the end. Fails, and kills it, when that takes longer than `seconds`."""
        try:
            code = self._process.wait(max(0.1, self._began + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {seconds} s:\n{self.output[-3000:]}") from None
        return Ended(code, self.output, time.monotonic() - self._began)


def start(*args: str | Path, env: Mapping[str, str] | None = None) -> Running:
    """Start `./hubrun ARGS`."""
    return Running(str(PROJECT / "hubrun"), *map(str, args), env=env)


def hubrun(*args: str | Path, env: Mapping[str, str] | None = None, seconds: float = 300) -> Ended:
    """Run `./hubrun ARGS` to its end."""
    return start(*args, env=env).end(seconds)


class Machine:
    """A practice server by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def up(self, *options: str) -> None:
        ended = hubrun("practice", "--name", self.name, *options, "up", seconds=420)
        assert ended.code == 0, ended.tail

    def practice(self, seconds: float = 900) -> Ended:
        """`./hubrun practice` for it, which ends well within so many seconds."""
        ended = hubrun("practice", "--name", self.name, seconds=seconds)
        assert ended.code == 0, ended.tail
        return ended

    def copy_of(self, name: str) -> None:
        """Become a copy of another one; `practice` starts it."""
        ended = hubrun("practice", "--name", self.name, "copy", name, seconds=600)
        assert ended.code == 0, ended.tail

    @property
    def known(self) -> bool:
        """Whether there is such a practice server."""
        return (PROJECT / ".practice" / self.name).exists()

    def reset(self) -> None:
        ended = hubrun("practice", "--name", self.name, "reset", seconds=180)
        assert ended.code == 0, ended.tail

    def down(self) -> None:
        ended = hubrun("practice", "--name", self.name, "down", seconds=420)
        assert ended.code == 0, ended.tail

    @cached_property
    def info(self) -> dict[str, Any]:
        command = [PROJECT / "hubrun", "practice", "--name", self.name, "info", "--json"]
        return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout))

    @property
    def site(self) -> Path:
        return Path(self.info["site"])

    def docker(self, *args: str, data: bytes = b"", seconds: float = 60) -> str:
        """`docker ARGS` on this machine's engine; what it printed."""
        found = docker_engine.find()
        assert found, "no Docker engine answers"
        return found.run(*args, stdin=data, timeout=seconds)

    def run(self, script: str, *args: str, data: bytes = b"", seconds: float = 60) -> str:
        """What a shell script prints that is run as root inside the container, past SSH. $1, $2, …: `args`."""
        container = self.info["container"]
        return self.docker("exec", "-i", container, "sh", "-c", script, "sh", *args, data=data, seconds=seconds)

    def container_of(self, user: str) -> str:
        """The name of a student's container, which does not say whose it is; "" when there is none."""
        return self.run("docker ps --filter volume=jupyterhub-user-$1 --format '{{.Names}}'", user).strip()

    def background(self, *command: str) -> None:
        """Start a program inside that goes on by itself."""
        self.docker("exec", "-d", self.info["container"], *command)

    def ssh(self, command: str) -> str:
        """What a command prints over SSH, logged in as `practice info` says."""
        ssh = self.info["ssh"]
        with paramiko.SSHClient() as client:
            client.load_host_keys(ssh["known_hosts"])
            client.connect(
                ssh["host"], ssh["port"], ssh["user"], key_filename=ssh["key"],
                look_for_keys=False, allow_agent=False, timeout=10,
            )  # fmt: skip
            _, stdout, stderr = client.exec_command(command, timeout=30)
            text = stdout.read().decode()
            assert stdout.channel.recv_exit_status() == 0, f"{command}: {stderr.read().decode()}"
            return text

    def secret(self, path: str) -> str:
        """The contents of a secret file on the server."""
        return self.ssh(f"cat {shlex.quote(path)}").strip()

    def snapshot(self) -> dict[str, str]:
        """What /etc, the packages, the services, the images and the cookie secret are like now."""
        lines = (line.partition("=") for line in self.run(_SNAPSHOT).splitlines())
        return {name: state for name, _, state in lines}

    def everything(self) -> dict[str, str]:
        """Each file of the server, and each package."""
        lines = (line.partition("=") for line in self.run(_EVERYTHING).splitlines())
        return {name: state for name, _, state in lines}

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """What runs inside must leave the server as it was.

        A candidate file may have passed through a folder, and a reload may have been refused.
        """
        before = self.snapshot()
        yield
        passing = re.compile(r"touched |unit \S+ StateChange")
        changed = [line for line in differences(before, self.snapshot()) if not passing.match(line)]
        assert not changed, "changed on the server:\n" + "\n".join(changed)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs between two snapshots, one line each."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [f"{name}: {before.get(name)} → {after.get(name)}" for name in names]
