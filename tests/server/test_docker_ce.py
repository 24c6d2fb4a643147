"""Docker from Docker's own repository (docker_channel: docker-ce), with a signed stand-in for it on the server."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import server as practice_server
from machines import Machine, differences

import aptrepo
from hubrun import params
from hubrun.desired.server import Server
from hubrun.desired.supported_systems import system_of
from hubrun.errors import CommandFailed
from hubrun.resources.packages import Packages
from hubrun.sections.docker_spawner import docker_setup

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

FILES = ("/etc/apt/keyrings/docker.asc", "/etc/apt/sources.list.d/docker.sources")


@pytest.fixture(scope="module")
def ce() -> Iterator[Machine]:
    yield from practice_server("ce")


@pytest.fixture(scope="module")
def fingerprint(ce: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the key of /srv/repository on the server; /srv/forged has the same key and another one's signatures."""
    good, other = tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("other")
    suites = {"debian": ["bookworm"]}
    fingerprint = aptrepo.build(good, suites)
    aptrepo.build(other, suites)
    shutil.copyfile(good / "debian/gpg", other / "debian/gpg")
    copy(ce, good, "/srv/repository")
    copy(ce, other, "/srv/forged")
    return fingerprint


def copy(machine: Machine, folder: Path, there: str) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, arcname=".")
    machine.run('mkdir "$1" && tar -xf - -C "$1" && chmod 755 "$1"', there, data=archive.getvalue())


@pytest.fixture
def apt_state(ce: Machine, fingerprint: str) -> dict[str, str]:
    """The server before, with the tools that 01_server brings."""
    connect(ce, fingerprint, "file:///srv/repository").ensure(Packages("ca-certificates", "curl", "gpg"))
    return state(ce)


def connect(machine: Machine, key: str, url: str) -> Server:
    overrides = {"docker_channel": "docker-ce", "docker_apt_url": url, "docker_apt_key": key}
    return Server.connect(params.load(machine.site, overrides))


def ensure_engine(machine: Machine, key: str, url: str = "file:///srv/repository") -> list[str]:
    """The status of each resource of the Docker engine."""
    with connect(machine, key, url) as server:
        server.ensure(*docker_setup.engine(server.site, system_of(server.facts)))
        return [result.status for result in server.results]


def state(machine: Machine) -> dict[str, str]:
    """Files below /etc/apt and installed packages; not the times of folders that a file passed through."""
    kept = {name: value for name, value in machine.snapshot().items() if name.startswith(("sum /etc/apt", "package "))}
    return kept | {"files": machine.run("find /etc/apt | sort")}


def test_a_key_with_another_fingerprint_is_refused(ce: Machine, fingerprint: str, apt_state: dict[str, str]) -> None:
    with pytest.raises(CommandFailed, match="is not the one key that is expected") as refused:
        ensure_engine(ce, fingerprint[::-1])
    assert fingerprint in refused.value.detail
    assert differences(apt_state, state(ce)) == []


def test_a_repository_that_another_key_signed_is_refused(
    ce: Machine, fingerprint: str, apt_state: dict[str, str]
) -> None:
    with pytest.raises(CommandFailed, match="signature does not match its key"):
        ensure_engine(ce, fingerprint, "file:///srv/forged")
    assert differences(apt_state, state(ce)) == []


def test_docker_ce_comes_from_its_repository_and_only_with_its_key(
    ce: Machine, fingerprint: str, apt_state: dict[str, str]
) -> None:
    assert ensure_engine(ce, fingerprint) == ["ok", "ok", "changed", "changed"]
    policy = ce.run("apt-cache policy docker-ce")
    assert "Installed: 5:0~standin1~bookworm" in policy and "file:/srv/repository/debian bookworm/stable" in policy
    installed = ce.run("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'").splitlines()
    assert {f"{name} installed" for name in aptrepo.PACKAGES} <= set(installed)
    keyring, source = FILES
    assert ce.run(f"cat {keyring}") == ce.run("cat /srv/repository/debian/gpg")
    assert ce.run(f"cat {source}").splitlines() == [
        "Types: deb",
        "URIs: file:///srv/repository/debian",
        "Suites: bookworm",
        "Components: stable",
        f"Signed-By: {keyring}",
    ]
    assert ce.run("stat -c '%a %U' " + " ".join(FILES)).split("\n")[:2] == ["644 root"] * 2
    # The key is trusted for this repository alone.
    assert ce.run("ls /etc/apt/trusted.gpg.d /etc/apt").split().count("docker.asc") == 0


def test_docker_ce_that_is_there_is_left_alone(ce: Machine, fingerprint: str) -> None:
    before = ce.snapshot()
    assert ensure_engine(ce, fingerprint) == ["ok"] * 4
    assert differences(before, ce.snapshot()) == []


@pytest.mark.only_long
def test_the_distributions_docker_makes_way_for_docker_ce_and_back(ce: Machine, fingerprint: str) -> None:
    with Server.connect(params.load(ce.site)) as server:
        server.ensure(*docker_setup.engine(server.site, system_of(server.facts)))
    names = ce.run("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'").splitlines()
    assert "docker.io installed" in names and "docker-ce installed" not in names
    assert ensure_engine(ce, fingerprint) == ["changed", "ok", "ok", "changed"]
    names = ce.run("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'").splitlines()
    assert "docker-ce installed" in names and "docker.io installed" not in names
