"""How OpenSSH would log in to the server: by its own configuration, which it explains itself (ssh(1), -G).

Where no ssh is installed there is no such configuration, and the parameters and OpenSSH's own defaults hold.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from hubrun.errors import BadInput
from hubrun.params import Site

_DEFAULTS = {
    # ssh_config(5), GlobalKnownHostsFile, UserKnownHostsFile, IdentityFile; without the keys that need a device
    "globalknownhostsfile": ["/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"],
    "userknownhostsfile": ["~/.ssh/known_hosts ~/.ssh/known_hosts2"],
    "identityfile": ["~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"],
}


@dataclass(frozen=True)
class Target:
    """Where to log in, as whom, and what decides about keys.

    names: those by which known_hosts may know the server, the best first. principal: the one in a certificate. revoked:
    file with revoked host keys, "" for none. identities: key files. certificates: for them, besides those that lie beside
    them. agent: the agent's socket, "" for none; only_identities: of its keys, only those of `identities`. proxy: the
    command that stands for the connection, "" for none.
    """

    host: str
    port: int
    user: str
    names: list[str]
    principal: str
    known_hosts: list[Path]
    revoked: str
    identities: list[Path]
    certificates: list[Path]
    agent: str
    only_identities: bool
    proxy: str

    @override
    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def target(site: Site) -> Target:
    """What the parameters say; where they say nothing, OpenSSH's configuration. Raises BadInput for a broken one."""
    options = _options(site)

    def one(name: str, default: str = "") -> str:
        value = options.get(name, [default])[0]
        return default if value.lower() == "none" else value

    host, port = one("hostname", site.host), int(site.ssh_port or one("port", "22"))
    user = site.ssh_user or _user(site, one("user"))
    alias = one("hostkeyalias")
    tokens = {
        "%": "%", "h": host, "p": str(port), "r": user, "n": site.host, "k": alias or site.host, "d": str(Path.home()),
        "u": getpass.getuser(), "i": str(os.getuid()), "l": socket.gethostname(), "L": socket.gethostname().split(".")[0],
    }  # fmt: skip

    def expanded(text: str) -> str:  # ssh_config(5), TOKENS
        return re.sub("%(.)", lambda token: tokens.get(token[1], token[0]), text)

    def files(name: str) -> list[Path]:  # of keys, -G leaves ${VARIABLES} as they stand
        texts = [text for text in options.get(name, []) if text != "none"]
        texts = [re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], found[0]), text) for text in texts]
        return [Path(expanded(text)).expanduser() for text in texts]

    known = [*options.get("userknownhostsfile", []), *options.get("globalknownhostsfile", [])]
    options["known"] = [path for text in known for path in text.split()]
    agent = one("identityagent", "SSH_AUTH_SOCK")
    if options.get("identityagent") == ["none"]:
        agent = ""
    elif agent == "SSH_AUTH_SOCK" or agent.startswith("$"):
        agent = os.environ.get(agent.strip("${}"), "")
    if site.ssh_known_hosts_file:
        options["known"] = [site.ssh_known_hosts_file]
    return Target(
        host, port, user,
        names=[alias] if alias else [host] if port == 22 else [f"[{host}]:{port}", host],
        principal=alias or host,
        known_hosts=files("known"),
        revoked=expanded(one("revokedhostkeys")),
        identities=[Path(site.ssh_key_file).expanduser()] if site.ssh_key_file else files("identityfile"),
        certificates=files("certificatefile"),
        agent=expanded(agent),
        only_identities=bool(site.ssh_key_file) or one("identitiesonly") == "yes",
        proxy=expanded(_jump(one("proxyjump")) or one("proxycommand")),
    )  # fmt: skip


def _options(site: Site) -> dict[str, list[str]]:
    """What `ssh -G` says, by option; one that may be given several times has several values."""
    if not shutil.which("ssh"):
        return dict(_DEFAULTS)
    given = [*(["-p", str(site.ssh_port)] if site.ssh_port else []), *(["-l", site.ssh_user] if site.ssh_user else [])]
    options: dict[str, list[str]] = defaultdict(list)
    for line in _explained(site, *given).splitlines():
        name, _, value = line.partition(" ")
        options[name].append(value)
    return dict(options)


def _explained(site: Site, *options: str) -> str:
    # A Match exec may run anything, as it does for ssh. LC_ALL: its words are shown.
    where = f"ssh -G {site.host}"
    try:
        done = subprocess.run(
            ["ssh", "-G", *options, "--", site.host], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", env=os.environ | {"LC_ALL": "C"}, timeout=60, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BadInput("ssh does not come to an end with its configuration", where, "Try the same by hand") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and "terminating" not in line]
        reason = said[-1].strip() if said else "no reason given"
        raise BadInput(f"ssh cannot use its own configuration: {reason}", where, "Correct it: ssh cannot log in either")
    return done.stdout


def _user(site: Site, said: str) -> str:
    """The login that the configuration names, else root. Without one, ssh says this account's own name."""
    if said != getpass.getuser() or said == "root":
        return said or "root"
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\nHost *\nUser root\n")
        file.flush()
        found = re.search("^user (.+)$", _explained(site, "-F", file.name), re.MULTILINE)
    return found[1] if found else "root"


def _jump(hops: str) -> str:
    """The command that OpenSSH itself runs for ProxyJump: ssh.c, main. It checks the key of each host on the way."""
    if not hops:
        return ""
    *before, last = hops.split(",")
    way = ["ssh", "-o", "BatchMode=yes", *(["-J", ",".join(before)] if before else []), "-W", "[%h]:%p"]
    return shlex.join([*way, "--", last if "://" in last else f"ssh://{last}"])
