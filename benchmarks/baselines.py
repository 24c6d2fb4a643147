"""pyinfra and Ansible, which bring the same server to the same state: whole processes, in an environment of their own.

Ansible with the settings that its documentation recommends for speed: pipelining, and ControlPersist at its default of
60 s. Each run begins without a connection. No facts are gathered.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.ours import Target

from hubrun.errors import CheckFailed, HubrunError
from hubrun.practice.docker_engine import Say

HERE = Path(__file__).parent
PINS = HERE / "requirements-baselines.txt"
LIMIT = 300
_NAME = "server"


def environment(say: Say) -> Path:
    """The folder of programs of an environment with both tools; made once, kept below the user's cache folder."""
    digest = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hubrun"
    made = cache / f"bench-{digest}"
    if not (made / "complete").exists():
        say(f"making an environment for pyinfra and Ansible (once, about 20 s): {made}")
        shutil.rmtree(made, ignore_errors=True)
        for words in (
            [sys.executable, "-m", "venv", str(made)],
            [
                str(made / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check",
                "--require-hashes", "-r", str(PINS),
            ],
        ):  # fmt: skip
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                raise HubrunError(
                    "the environment of pyinfra and Ansible could not be made", str(made), detail=done.stderr
                )
        (made / "complete").touch()
    return made / "bin"


@dataclass(frozen=True)
class Baselines:
    """Both tools, for one server. bin: their programs. state_file: state.fetch's data as JSON."""

    bin: Path
    state_file: Path
    target: Target

    def through(self, target: Target) -> Baselines:
        """The same for the same server, reached another way."""
        return Baselines(self.bin, self.state_file, target)

    def pyinfra(self) -> processes.Done:
        """One run. Raises CheckFailed when it changes anything."""
        inventory = self.target.folder / "inventory.py"
        site = self.target.site
        inventory.write_text(
            f"hosts = [({_NAME!r}, {{'ssh_hostname': {site.host!r}, 'ssh_port': {site.ssh_port}, "
            f"'ssh_user': {site.ssh_user!r}, 'ssh_key': {site.ssh_key_file!r}, 'ssh_allow_agent': False, "
            f"'ssh_look_for_keys': False, 'ssh_known_hosts_file': {str(self.target.known_hosts)!r}, "
            "'ssh_strict_host_key_checking': 'yes'})]\n"
        )
        words = (self.bin / "pyinfra", "--json", "-y", "--data", f"state={self.state_file}", inventory)
        done = processes.well(
            processes.run((*words, HERE / "pyinfra_deploy.py"), LIMIT, env={"NO_COLOR": "1"}), "pyinfra"
        )
        changed = pyinfra_changes(done.output)
        if changed:
            raise CheckFailed(f"pyinfra changed {', '.join(changed)}", "bench", detail=done.output)
        return done

    def ansible(self) -> processes.Done:
        """One run. Raises CheckFailed when it changes anything."""
        site, folder = self.target.site, self.target.folder
        with tempfile.TemporaryDirectory(prefix="a") as sockets:  # short: a socket's path has at most 107 bytes
            (folder / "ansible.cfg").write_text(
                "[defaults]\nhost_key_checking = True\ninterpreter_python = /usr/bin/python3\nnocows = True\n"
                f"[ssh_connection]\npipelining = True\ncontrol_path_dir = {sockets}\n"
                f"ssh_common_args = -o UserKnownHostsFile={self.target.known_hosts} -o IdentitiesOnly=yes\n"
            )
            (folder / "inventory.ini").write_text(
                f"{_NAME} ansible_host={site.host} ansible_port={site.ssh_port} ansible_user={site.ssh_user} "
                f"ansible_ssh_private_key_file={site.ssh_key_file}\n"
            )
            words = (
                self.bin / "ansible-playbook", "-i", folder / "inventory.ini", HERE / "ansible_playbook.yml",
                "-e", f"@{self.state_file}",
            )  # fmt: skip
            variables = {
                "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "ansible"),
                "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
            }  # fmt: skip
            try:
                done = processes.well(processes.run(words, LIMIT, env=variables), "ansible-playbook")
            finally:
                for socket in Path(sockets).iterdir():
                    exit_words = ("ssh", "-o", f"ControlPath={socket}", "-O", "exit", _NAME)
                    subprocess.run(exit_words, capture_output=True, stdin=subprocess.DEVNULL)
        changed = ansible_changes(done.output)
        if changed:
            raise CheckFailed(f"Ansible changed {', '.join(changed)}", "bench", detail=done.output)
        return done


def pyinfra_changes(output: str) -> list[str]:
    """The names of operations that changed something, from what `pyinfra --json` printed. Raises CheckFailed."""
    try:
        results: dict[str, Any] = json.JSONDecoder().raw_decode(output[output.index("{") :])[0]["results"]
    except (ValueError, KeyError) as error:
        raise CheckFailed(f"pyinfra printed no results ({error})", "bench", detail=output) from None
    if results["failed_hosts"] or not results["operations"]:
        raise CheckFailed("pyinfra failed, or did nothing at all", "bench", detail=output)
    return [operation["name"] for operation in results["operations"] if not operation["no_change"]]


def ansible_changes(output: str) -> list[str]:
    """The names of tasks that changed something, from what `ansible-playbook` printed. Raises CheckFailed."""
    recap = re.search(rf"^{_NAME}\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0", output, re.MULTILINE)
    if not recap or recap[1] == "0":
        raise CheckFailed("Ansible failed, or did nothing at all", "bench", detail=output)
    tasks = re.findall(r"^TASK \[(.+?)\] \**\n(.*?)(?=^\S*TASK |^PLAY RECAP)", output, re.MULTILINE | re.DOTALL)
    changed = [name for name, text in tasks if re.search(r"^changed:", text, re.MULTILINE)]
    return changed or (["something"] if recap[2] != "0" else [])
