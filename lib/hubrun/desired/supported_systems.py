"""The operating systems that the runbooks know, and what differs between them: one table."""

from __future__ import annotations

from dataclasses import dataclass

from hubrun.errors import HubrunError


@dataclass(frozen=True)
class System:
    """A release: its codename, its nginx (what `apt-get install nginx` brings), its Docker packages."""

    name: str
    codename: str
    nginx: tuple[int, int, int]
    docker: tuple[str, ...] = ("docker.io", "iptables")

    @property
    def distribution(self) -> str:
        """ "debian" or "ubuntu", as in Docker's repository addresses."""
        return self.name.split()[0].lower()


# Versions: what the distributions' package lists say, 2026-11. Debian 13 has Docker's client in a package of its own.
SYSTEMS = {
    ("debian", "12"): System("Debian 12", "bookworm", (1, 22, 1)),
    ("debian", "13"): System("Debian 13", "trixie", (1, 26, 3), ("docker.io", "docker-cli", "iptables")),
    ("ubuntu", "22.04"): System("Ubuntu 22.04", "jammy", (1, 18, 0)),
    ("ubuntu", "24.04"): System("Ubuntu 24.04", "noble", (1, 24, 0)),
}
ARCHITECTURES = ("amd64", "arm64")


def system_of(facts: dict[str, str]) -> System:
    """The system of a server with these facts. Raises HubrunError when it is not one of ours."""
    try:
        return SYSTEMS[facts["os"], facts["version"]]
    except KeyError:
        known = ", ".join(system.name for system in SYSTEMS.values())
        raise HubrunError(
            f"unsupported operating system: {facts.get('name', 'unknown')}",
            facts.get("hostname", ""),
            f"Use one of {known}",
        ) from None
