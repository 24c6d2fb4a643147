"""One practice server: where its parts are, and what its site's parameters are."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from hubrun import atomic_write
from hubrun.environment import PROJECT
from hubrun.errors import BadInput
from hubrun.practice import acme
from hubrun.practice.server_images import RELEASES

STATE = PROJECT / ".practice"
PARAMS = PROJECT / "params" / "practice.yaml"

BASE_IMAGE = "jupyter/scipy-notebook:2026-11-02"
# Of a site with nodes, whose homes are on a disk that nodes mount.
HOMES_GB = 3


# Servers of one practice site, with the one that has the hub: their ports have room for so many.
MOST_SERVERS = 9


@dataclass(frozen=True)
class Machine:
    """One server of a practice site. ports: published on 127.0.0.1 → its own."""

    container: str
    hostname: str
    address: str
    ports: dict[int, int]

    @property
    def ssh_port(self) -> int:
        """The published port that leads to its SSH server."""
        return next(outside for outside, inside in self.ports.items() if inside == 22)

    @property
    def volumes(self) -> dict[str, str]:
        """Where it keeps what cannot lie on a container's own file system: folder → volume of the engine."""
        return {f"/var/lib/{name}": f"{self.container}-{name}" for name in ("docker", "containerd")}


@dataclass
class Practice:
    """A practice server. `index` gives it its addresses and ports; `made` says that it has booted once. servers: how many there
    are of it, with its nodes. copy_of: the server whose domain and certificates it has, where it is a copy of one."""

    name: str
    os: str
    index: int
    made: bool = False
    servers: int = 1
    copy_of: str = ""

    def __post_init__(self) -> None:
        self.folder = STATE / self.name
        # The parameters of its site, for `papermill -f` and `./hubrun install`.
        self.site_file = self.folder / "site.yaml"
        # Credentials for updates of its zone (acme_dns: rfc2136).
        self.dns_file = self.folder / "dns.ini"
        self.container = f"hubrun-{self.name}"
        # The container beside it, with ACME server, DNS and image registry.
        self.services = f"hubrun-{self.name}-acme"
        # On everything that belongs to it in the engine.
        self.label = f"hubrun.practice={self.name}"
        # What a copy starts from.
        self.image = copy_image(self.name)
        # Outside 172.16.0.0/12, where the Docker engine inside the server makes its own networks.
        self.subnet = f"10.213.{self.index}.0/24"
        self.services_address = f"10.213.{self.index}.2"
        # The server's own, as the domain resolves on the server and for the ACME server.
        self.address = f"10.213.{self.index}.3"
        # Published on 127.0.0.1. Below 32768, where Linux begins to give ports to clients (ip(7)).
        first = 20000 + 100 * self.index
        self.ports = {"ssh": first + 22, "http": first + 80, "https": first + 43, "registry": first + 50}
        # Under .localhost (RFC 6761, 6.3): browsers resolve that to this machine, with no entry in /etc/hosts.
        self.domain = f"hub.{self.copy_of or self.name}.localhost"
        # The address of its hub, as this machine's browsers open it.
        self.url = f"https://{self.domain}:{self.ports['https']}/"

    def machines(self) -> list[Machine]:
        """Its servers: the one with the hub, and then its nodes."""
        ports = {self.ports["ssh"]: 22, self.ports["http"]: 80, self.ports["https"]: 443}
        head, _, last = self.address.rpartition(".")
        nodes = [
            Machine(f"{self.container}-node-{n}", f"{self.name}-node-{n}", f"{head}.{int(last) + n}", {self.ports["ssh"] + 40 + n: 22})
            for n in range(1, self.servers)
        ]  # fmt: skip
        return [Machine(self.container, self.name, self.address, ports), *nodes]

    def host(self, service: str) -> str:
        """DNS name of a service beside the server."""
        return f"{service}.{self.copy_of or self.name}.test"

    def names(self) -> dict[str, str]:
        """What its DNS answers itself: name → address."""
        return {
            self.domain: self.address,
            self.host("acme"): self.services_address,
            self.host("registry"): self.services_address,
        }

    def info(self) -> dict[str, Any]:
        """What other programs need to use it; other people's scripts rely on the form."""
        return {
            "ssh": self._ssh(self.machines()[0]),
            "domain": self.domain,
            "url": self.url,
            "address": "127.0.0.1",
            "https_port": self.ports["https"],
            "ca_bundle": str(self.folder / "ca_bundle.pem"),
            "container": self.container,
            "site": str(self.site_file),
            **({"nodes": {each.hostname: self._ssh(each) for each in self.machines()[1:]}} if self.servers > 1 else {}),
        }

    def _ssh(self, machine: Machine) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": machine.ssh_port,
            "user": "root",
            "key": str(self.folder / "ssh_key"),
            "known_hosts": str(self.folder / "known_hosts"),
        }

    def site(self) -> dict[str, Any]:
        """The site's parameters: params/practice.yaml and what only this server knows."""
        values = dict(yaml.safe_load(PARAMS.read_text()))
        values |= {
            "site": self.name,
            "domain": self.domain,
            "public_address": "127.0.0.1",
            "http_port": self.ports["http"],
            "https_port": self.ports["https"],
            "ssh_host": "127.0.0.1",
            "ssh_port": self.ports["ssh"],
            "ssh_user": "root",
            "ssh_key_file": str(self.folder / "ssh_key"),
            "ssh_known_hosts_file": str(self.folder / "known_hosts"),
            "ca_certificates": [str(path) for path in sorted((self.folder / "ca").glob("*.pem"))],
            "trust_ca_file": str(self.folder / "ca_bundle.pem"),
            "acme_directory": f"https://{self.host('acme')}:14000/dir",
            "acme_ca_file": str(self.folder / "ca" / "practice.pem"),
            # For `--set acme_dns=rfc2136`, which `--set subdomains=true` needs.
            "acme_dns_file": str(self.dns_file),
            "base_image": f"{self.host('registry')}:5000/{BASE_IMAGE}",
        }
        return values | (self._nodes() if self.servers > 1 else {})

    def _nodes(self) -> dict[str, Any]:
        """What a site with nodes has besides. A container's kernel is this machine's, which need not have NFS."""
        nodes = [
            {"host": "127.0.0.1", "name": f"node-{n}", "ssh_port": each.ssh_port, "address": each.address}
            for n, each in enumerate(self.machines()[1:], 1)
        ]
        return {"homes_gb": HOMES_GB, "node_files": "sshfs", "manager_address": self.address, "nodes": nodes}

    def write_site(self) -> None:
        """Write `site_file`."""
        heading = "# Written by `./hubrun practice up`: params/practice.yaml and what only this server knows.\n"
        write(self.site_file, heading + yaml.safe_dump(self.site(), sort_keys=False))

    def save(self, **changes: Any) -> Practice:
        """Remember it, with `changes` to its fields; returns it as remembered."""
        changed = replace(self, **changes)
        write(self.folder / "state.json", json.dumps(asdict(changed)))
        return changed

    def chain(self) -> acme.Chain:
        """The certificates of the services beside it, made once and kept over resets."""
        parts = ("ca/practice.pem", "services.pem", "services.key")
        ca, certificate, key = (self.folder / part for part in parts)
        if not (ca.exists() and certificate.exists() and key.exists()):
            made = acme.make_chain(f"hubrun practice CA ({self.name})", [self.host("acme"), self.host("registry")])
            for path, text in ((key, made.key), (certificate, made.certificate), (ca, made.ca)):
                write(path, text)
        return acme.Chain(ca.read_text(), certificate.read_text(), key.read_text())


def write(path: Path, text: str) -> None:
    """Write a file of the state folder whole or not at all, readable for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic_write.write(path, text.encode(), 0o600)


def copy_image(name: str) -> str:
    """The image of the disk from which a copy of this name starts."""
    return f"hubrun-practice/copy:{name}"


def check_name(name: str) -> None:
    """BadInput unless `name` can be part of container and domain names (a DNS label, RFC 1123)."""
    # "-acme" is how the container beside a server ends, and "-node-1" its nodes.
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name) or re.search(r"-(acme|node-[0-9]+)$", name):
        raise BadInput(
            f"{name!r} is not a name for a practice server",
            "--name",
            "Use at most 40 lower-case letters, digits and hyphens, a letter first, and no -acme or -node-1 at the end",
        )


def check_os(os_name: str) -> None:
    """BadInput unless a practice server can run that system."""
    if os_name not in RELEASES:
        raise BadInput(f"no practice server runs {os_name!r}", "--os", f"Choose from: {', '.join(RELEASES)}")


def read(name: str) -> Practice | None:
    """The remembered practice server of that name, made or half made; None when there is none."""
    try:
        return Practice(**json.loads((STATE / name / "state.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def every() -> list[Practice]:
    """All remembered practice servers."""
    found = (read(path.parent.name) for path in sorted(STATE.glob("*/state.json")))
    return [practice for practice in found if practice]


def load(name: str = "practice") -> Practice:
    """The practice server of that name as it was last brought up. BadInput when there is none."""
    check_name(name)
    practice = read(name)
    if practice is None or not practice.made:
        option = "" if name == "practice" else f" --name {name}"
        remedy = f"Run: ./hubrun practice up{option}"
        raise BadInput(f"there is no practice server {name!r}", "practice", remedy)
    return practice
