"""Which packages 01 installs in one transaction, and what comes before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_plans import Machine

from hubrun import params
from hubrun.desired.resource import Resource
from hubrun.desired.supported_systems import SYSTEMS
from hubrun.params import Site
from hubrun.resources.apt_source import AptSource
from hubrun.resources.packages import NoPackages, Packages
from hubrun.sections import all_packages
from hubrun.sections.docker_spawner import docker_setup, homes, student_network
from hubrun.sections.https import site_certificate

DEBIAN = SYSTEMS["debian", "12"]


def site(**changes: Any) -> Site:
    return params.build({"site": "bio", "domain": "hub.example.edu", **changes}, "here")


def installed(one: Site, *extra: str) -> tuple[list[Resource], Packages]:
    *before, last = all_packages.packages(one, DEBIAN, ("python3", "curl", *extra))
    assert isinstance(last, Packages)
    return before, last


def test_where_docker_comes_from_is_known_before_its_packages() -> None:
    before, last = installed(site())
    assert [type(each) for each in before] == [NoPackages, Packages, AptSource]
    assert set(docker_setup.DOCKER_CE) < set(last.names) and last.stopped == ("nginx",)
    before, last = installed(site(docker_channel="distro"))
    assert [type(each) for each in before] == [NoPackages]
    assert last.names == ("python3", "curl", "nginx", "docker.io", "iptables", "nftables", "certbot")


@pytest.mark.parametrize(
    ("changes", "there", "missing"),
    [
        ({}, {"certbot"}, {"btrfs-progs", "rsync", "python3-certbot-dns-digitalocean"}),
        ({"tls": "files", "tls_certificate": "/c", "tls_key": "/k"}, {"nginx"}, {"certbot"}),
        ({"homes_gb": 5}, {"btrfs-progs", "rsync"}, set()),
        ({"acme_dns": "digitalocean", "acme_dns_file": "dns"}, {"certbot", "python3-certbot-dns-digitalocean"}, set()),
        # each server of a site with nodes gets its own in the steps about nodes: a server of files would run early
        ({"homes_gb": 5, "nodes": [{"host": "n.example.edu"}]}, set(), {"nfs-kernel-server", "wireguard-tools"}),
    ],
    ids=["plain", "own certificate", "disk of homes", "dns", "nodes"],
)  # fmt: skip
def test_what_a_site_does_not_need_is_not_installed(
    changes: dict[str, Any], there: set[str], missing: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dns").write_text("dns_digitalocean_token = abc\n")
    _, last = installed(site(**changes))
    assert there <= set(last.names) and not missing & set(last.names)


def test_another_engine_among_the_extra_packages_keeps_apt_from_nothing() -> None:
    _, last = installed(site(), "docker.io", "vim")
    assert "vim" in last.names and "docker.io" not in last.names
    _, last = installed(site(docker_channel="distro"), "docker.io", "vim")
    assert "docker.io" in last.names


@pytest.mark.parametrize("runs", [True, False])
def test_a_server_of_web_pages_that_runs_already_goes_on(runs: bool, tmp_path: Path) -> None:
    # Ubuntu's nginx-full: the package `nginx` is missing, and its service serves somebody's sites.
    server = Machine(tmp_path)
    for name in ("apt-get", "dpkg"):
        server.program(name, ":")
    server.program("systemctl", f'echo "$*" >> {tmp_path}/said; [ "$1" != is-active ] || exit {0 if runs else 3}')
    (install,) = Packages("curl", "nginx", stopped=("nginx",)).plan("curl installed\n")
    server.sh("exec 2>&1\nset -eu\n" + install.script)
    stopped = "disable -q --now nginx" in (tmp_path / "said").read_text()
    assert stopped is not runs


@pytest.mark.parametrize("channel", ["distro", "docker-ce"])
def test_each_section_then_finds_its_own_there(channel: str) -> None:
    one = site(docker_channel=channel, homes_gb=5)
    _, last = installed(one)
    (install,) = last.plan("")
    later = [
        *docker_setup.engine(one, DEBIAN),
        *student_network.rules(one),
        *homes.disk(one),
        *site_certificate.acme(one),
        Packages("nginx"),
    ]
    # what Docker's key is fetched with came before them
    asked = [each for each in later if isinstance(each, Packages) and each.names != ("curl", "gpg")]
    assert len(asked) == 5
    assert [each.label for each in asked if each.plan(each.foresee("", install.writes))] == []
