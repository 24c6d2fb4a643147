"""The repository that a site's backups are in, and restic, which reads and writes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hubrun_hub.backup.target import Target, parse
from hubrun_hub.failed import Failed

FOLDER = Path("/etc/jupyterhub")
# Its secrets, which are in no backup: a key is of no use in the box that it opens.
PASSWORD, CREDENTIALS, SSH = (FOLDER / name for name in ("backup.env", "backup-credentials.env", "backup-ssh"))
# The password that takes the place of the present one (password.py).
NEXT_PASSWORD = FOLDER / "backup-next.env"
_CACHE = "/var/cache/hubrun-backup"
# Of a site without a home: nobody wants this one when they ask for the latest.
EMPTY = "empty"

# Lines that are kept of those that somebody else got: a reason is at the end.
_LAST = 100
_NONE = "there is no repository"
READY = "ready"
WRONG_PASSWORD = "the password is not this repository's"
# What restic, ssh or the other side says → what is wrong and what to do; the first that is found.
_REASONS = (
    (r"wrong password or no key found",
     f"{WRONG_PASSWORD}: set backup_password_file, or backup_password_env, to the one of its recovery key"),
    (r"Host key verification failed|No \S+ host key is known", "its host key is not the one of backup_host_fingerprint"),
    (r"Permission denied \(", "it does not let this server in: {key}"),
    (r"no space left|quota exceeded|insufficient storage|XMinioStorageFull", "it is full: free space there, or lower backup_keep_…"),
    (r"access ?denied|invalidaccesskey|signaturedoesnotmatch|40[13] |unauthorized", "it refuses the credentials: correct backup_credentials_file"),
    (r"connection (refused|reset|timed out)|no such host|could not resolve|i/o timeout|timeout|timed out|unreachable|no route to host|unable to start the sftp session",
     "it is not reached: is it up, and may this server connect to it?"),
    (r"already locked|unable to create lock", "another restic is at work there: run it again when that has ended"),
    (r"Is there a repository at", f"{_NONE}: is what it is on mounted? (runbook 10_backup makes a new one)"),
    (r"permission denied", "it may not be written to: correct the rights there"),
    (r"read-only file system", "its file system is read-only"),
    (r"config cannot be loaded|ciphertext|contains errors|is damaged|invalid (data|character|config)|does not exist|unexpected EOF|not found in index",
     "the repository is damaged or half written: see what `restic check` says, and use another backup_to meanwhile"),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What runbook 10 or 11 says of the site, in /etc/jupyterhub/backup.json.

    keep: for how many days, weeks and months a backup is kept. also: further files and folders of the server. image: the
    students'. environment: the proxy's variables.
    """

    site: str
    repository: str
    image: str
    hub_user: str
    keep: Mapping[str, int] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """The repository's kind and host."""
        found = parse(self.repository)
        if not found:
            raise Failed(f"{self.repository!r} is no place for backups")
        return found


def load(folder: Path = FOLDER) -> Settings:
    """The settings on this server. Raises Failed."""
    try:
        return Settings(**json.loads((folder / "backup.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise Failed(f"{folder}/backup.json cannot be used: {error}. Run 10_backup again") from None


@dataclass(frozen=True)
class Snapshot:
    """One backup: restic's id, the day on which it was made (UTC, YYYY-MM-DD), whether it holds no home."""

    id: str
    day: str
    empty: bool


@dataclass(frozen=True)
class Repository:
    """restic with the site's repository, password and credentials, which are read from their files on the server."""

    settings: Settings
    secrets: Path = FOLDER
    password: str = PASSWORD.name

    def restic(
        self, *arguments: str, cwd: Path | None = None, seconds: float | None = None,
        line: Callable[[str], None] | None = None, tolerated: Iterable[int] = (), data: str = "",
    ) -> str:  # fmt: skip
        """What restic prints, on both streams; with `line`, which gets each line, the last of it. Raises Failed with the reason.

        seconds: time limit. tolerated: exit codes that are no failure. data: for its standard input.
        """
        with subprocess.Popen(
            ["timeout", f"{seconds or 0:.0f}", "restic", *self._options(), *arguments],
            cwd=cwd, env=self._environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        ) as process:  # fmt: skip
            assert process.stdin and process.stdout
            with suppress(BrokenPipeError), process.stdin:  # it may have ended already, and says why
                process.stdin.write(data)
            # Of what students have there may be a line for each, without end.
            said = deque[str](maxlen=_LAST if line else None)
            for each in process.stdout:
                if line:
                    line(each)
                said.append(each)
        text = "".join(said)
        if process.returncode not in (0, *tolerated):
            if "unable to start the sftp session" in text:
                text = self._ssh_says() + text
            raise Failed(self.reason("timed out" if process.returncode == 124 else text))
        return text

    def dump(self, snapshot: str, path: str) -> subprocess.Popen[bytes]:
        """restic, as it writes what is at `path` to its output: a file as it is, a folder as a tar with whole paths."""
        command = ["restic", *self._options(), "dump", "--archive", "tar", snapshot, path]
        return subprocess.Popen(
            command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def look(self, new: bool = False) -> str:
        """Open it with the password: "ready", or with `new` "nothing is there yet". Raises Failed for all else."""
        try:
            self.restic("cat", "config", seconds=60)
        except Failed as error:
            if new and _NONE in str(error):
                return "nothing is there yet"
            raise
        return READY

    def make(self) -> None:
        """Make the repository, where there is none. Raises Failed; a folder with something else in it is left alone."""
        folder = Path(self.settings.repository)
        if self.settings.target.kind == "folder" and folder.exists():
            # What a killed `init` leaves is repeated; data without a config are of somebody who wants them back.
            left = {each.name for each in folder.iterdir()} - {
                "data",
                "index",
                "keys",
                "locks",
                "snapshots",
                "lost+found",
            }
            if left or any(each.is_file() for part in ("snapshots", "index") for each in (folder / part).glob("*")):
                raise Failed(
                    f"{folder}: it is not empty, and no repository: name an empty folder, or put its file `config` back"
                )
        self.restic("init", seconds=120)

    def snapshots(self) -> list[Snapshot]:
        """This site's, oldest first. Raises Failed."""
        found = json.loads(self.restic("snapshots", "--json", "--host", self.settings.site, seconds=300)) or []
        found.sort(key=lambda each: str(each["time"]))
        return [Snapshot(each["id"], each["time"][:10], EMPTY in (each.get("tags") or ())) for each in found]

    def chosen(self, which: str) -> Snapshot:
        """The backup that is meant: "latest", the last one of a day or before it (YYYY-MM-DD), or an id. Raises Failed."""
        every = self.snapshots()
        dated = re.fullmatch(r"\d{4}-\d\d-\d\d", which)
        if which == "latest" or dated:
            found = [each for each in every if not each.empty and (not dated or each.day <= which)]
        else:
            found = [each for each in every if each.id.startswith(which)]
        if not found:
            days = sorted({each.day for each in every if not each.empty})
            there = f"those of {', '.join(days)}" if days else "none yet: systemctl start hubrun-backup makes one"
            raise Failed(f"there is no backup {which} of {self.settings.site}; there are {there}")
        return found[-1]

    def nodes(self, snapshot: str, path: str) -> list[dict[str, Any]]:
        """What is at `path` in the backup, then, for a folder, what is in it. Raises Failed."""
        return self._nodes(snapshot, path, lambda node: True)

    def node(self, snapshot: str, path: str) -> dict[str, Any] | None:
        """What is at `path` in the backup itself, whatever number of things is in it. Raises Failed."""
        return next(iter(self._nodes(snapshot, path, lambda node: node["path"] == path)), None)

    def size(self, snapshot: str, path: str) -> int:
        """How many bytes a file, or all files below a folder, have in the backup. Raises Failed."""
        sizes = [0]

        def add(node: dict[str, Any]) -> bool:
            sizes[0] += node.get("size", 0)
            return False

        self._nodes(snapshot, path, add, "--recursive")
        return sizes[0]

    def _nodes(
        self, snapshot: str, path: str, wanted: Callable[[dict[str, Any]], bool], *options: str
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def line(text: str) -> None:
            node = json.loads(text) if text.startswith("{") else {}
            if node.get("struct_type") == "node" and wanted(node):
                found.append(node)

        self.restic("ls", "--json", *options, snapshot, path, seconds=600, line=line)
        return found

    def reason(self, text: str) -> str:
        """What went wrong, and what to do, from what restic printed. No secret is in it."""
        said = next((says for pattern, says in _REASONS if re.search(pattern, text, re.IGNORECASE)), "")
        if not said:
            lines = [each.strip() for each in text.splitlines() if each.strip()] or ["restic said nothing"]
            said = next((each for each in lines if each.startswith("Fatal:")), lines[-1])[:300]
        if "{key}" in said:
            said = said.replace(
                "{key}", f"add this line to ~/.ssh/authorized_keys of {self.settings.target.user} there: {public_key()}"
            )
        return f"{self.settings.repository}: {said}"

    def _options(self) -> list[str]:
        return ["-o", f"sftp.command={self._ssh}"] if self._ssh else []

    def _ssh_says(self) -> str:
        """Why ssh ends: restic may end before it has read that."""
        done = subprocess.run(
            ["timeout", "30", *self._ssh.split()], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        return done.stderr

    @property
    def _ssh(self) -> str:
        """The command that reaches an SFTP server; "" for all else."""
        target = self.settings.target
        if target.kind != "sftp":
            return ""
        return (
            f"ssh -F none -i {SSH}/id -o IdentitiesOnly=yes -o UserKnownHostsFile={SSH}/known_hosts -o StrictHostKeyChecking=yes "
            f"-o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=30 -p {target.port} {target.user}@{target.host} -s sftp"
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        names = (self.password, CREDENTIALS.name)
        secret = {name: value for file in names for name, value in _lines(self.secrets / file)}
        repository = self.settings.repository
        if self.settings.target.kind == "rest" and "RESTIC_REST_USERNAME" in secret:
            # restic before 0.16 takes them in the address alone. It shows the password as ***.
            user, password = (quote(secret[f"RESTIC_REST_{name}"], safe="") for name in ("USERNAME", "PASSWORD"))
            repository = repository.replace("://", f"://{user}:{password}@", 1)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {
            **kept,
            **self.settings.environment,
            **secret,
            "RESTIC_REPOSITORY": repository,
            "RESTIC_CACHE_DIR": _CACHE,
            # With --json it would say sixty times a second how far it is.
            "RESTIC_PROGRESS_FPS": "0.02",
        }


def public_key() -> str:
    """The line by which an SFTP server knows this server."""
    try:
        return (SSH / "id.pub").read_text().strip()
    except OSError:
        return f"(none: {SSH}/id.pub is missing)"


def _lines(path: Path) -> list[tuple[str, str]]:
    """The NAME=value lines of a file; none, where it is not there."""
    if not path.exists():
        return []
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return [(name.strip(), value.strip()) for name, _, value in pairs]
