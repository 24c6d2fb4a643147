"""Checks can fail: what each of them guards is broken on a server that is set up, the check says so, and it is repaired.

Each check of the runbooks with `fails=True` is here, and each that says that something is closed, absent or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
from machines import Machine

from hubrun import params, server_paths
from hubrun.desired.checks import Test
from hubrun.desired.server import Server
from hubrun.errors import CheckFailed
from hubrun.params import Site
from hubrun.sections.docker_spawner import docker_setup
from hubrun.sections.https import nginx, site_certificate
from hubrun.sections.hub import config, exposure
from hubrun.sections.server import accounts as server_accounts
from hubrun.sections.server import upkeep as server_upkeep

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

_READY = f"{config.health(waits=30)} > /dev/null"
_NGINX = "nginx -t -q && systemctl reload nginx && sleep 1"
_STRANGER = "/etc/nginx/conf.d/zz-stranger.conf"
# Elsewhere than on a loopback address: the first of the server's own.
_OUTSIDE = "$(hostname -I | cut -d' ' -f1)"
_HALF = """
folder=$(mktemp -d); mkdir "$folder/DEBIAN"
printf 'Package: hubrun-half\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' > "$folder/DEBIAN/control"
printf '#!/bin/sh\\nexit 1\\n' > "$folder/DEBIAN/postinst"; chmod 755 "$folder/DEBIAN/postinst"
dpkg-deb -b "$folder" "$folder.deb" > /dev/null
dpkg -i "$folder.deb" > /dev/null 2>&1 && exit 1; rm -r "$folder" "$folder.deb"
"""


def unit(name: str, text: str) -> str:
    """Shell that adds to a unit, and restarts it."""
    folder = f"/etc/systemd/system/{name}.service.d"
    return f"mkdir -p {folder}; printf '{text}' > {folder}/zz-broken.conf; systemctl daemon-reload; systemctl restart {name}"


def unit_repaired(name: str) -> str:
    file = f"/etc/systemd/system/{name}.service.d/zz-broken.conf"
    return f"rm {file}; rmdir --ignore-fail-on-non-empty {file.rpartition('/')[0]}; systemctl daemon-reload; systemctl restart {name}; {_READY}"


def stranger(port: str, more: str = "") -> str:
    """Shell that makes nginx answer to a name that is not the site's."""
    text = f"server {{ listen {port}; server_name unknown.invalid; {more} return 200 hello; }}"
    return f"echo '{text}' > {_STRANGER}; {_NGINX}"


def accounts(site: Site) -> Sequence[Test]:
    return server_accounts.tests(site)


def upkeep(site: Site) -> Sequence[Test]:
    return [*server_upkeep.package_tests(), *server_upkeep.tests(site)]


def process(site: Site) -> Sequence[Test]:
    return [test for test in config.tests(site) if "runs as" in test.title]


def groups(site: Site) -> Sequence[Test]:
    return [test for test in docker_setup.access_tests(site) if "Docker's group" in test.title]


def ports(site: Site) -> Sequence[Test]:
    return [exposure.closed_to_outside(site, 8000, 8001, 8081)]


def settings(site: Site) -> Sequence[Test]:
    return [config.settings_test(site)]


def boot(_: Site) -> Sequence[Test]:
    return config.boot_tests()


@dataclass(frozen=True)
class Case:
    """How one check of a list is broken: its title, the shell that breaks it, what it must say, and the repair."""

    tests: Callable[[Site], Sequence[Test]]
    title: str
    breaks: str
    says: str
    repairs: str


SUDO = "/etc/sudoers.d/zz-broken"
CASES = {
    # 01
    "the hub's account gets root by sudo": Case(
        accounts, "sudo refuses jupyterhub", f"echo 'jupyterhub ALL=(ALL) NOPASSWD: ALL' | install -m 0440 /dev/stdin {SUDO}", "came exit code 0", f"rm {SUDO}",
    ),
    "there is no sudo that could refuse": Case(
        accounts, "sudo refuses jupyterhub", "mv /usr/bin/sudo /usr/bin/sudo.away", "No such file", "mv /usr/bin/sudo.away /usr/bin/sudo",
    ),
    "the hub's account has a shell": Case(
        accounts, "jupyterhub cannot log in", "usermod --shell /bin/sh jupyterhub", "came exit code 0", "usermod --shell /usr/sbin/nologin jupyterhub",
    ),
    "the hub's account has a shell that is not there": Case(
        accounts, "jupyterhub cannot log in", "usermod --shell /bin/nowhere jupyterhub", "No such file", "usermod --shell /usr/sbin/nologin jupyterhub",
    ),
    "a rule of sudo has a mistake": Case(
        accounts, "the rules of sudo have no mistake", f"echo nonsense | install -m 0440 /dev/stdin {SUDO}", SUDO, f"rm {SUDO}",
    ),
    "a package is half installed": Case(
        upkeep, "every package is completely installed", _HALF, "hubrun-half", "dpkg --purge --force-remove-reinstreq hubrun-half > /dev/null",
    ),
    "there is no dpkg to ask": Case(
        upkeep, "every package is completely installed", "mv /usr/bin/dpkg /usr/bin/dpkg.away", "came exit code 127", "mv /usr/bin/dpkg.away /usr/bin/dpkg",
    ),
    "a timer is stopped": Case(
        upkeep, "logrotate.timer will run", "systemctl stop logrotate.timer", "no output", "systemctl start logrotate.timer",
    ),
    # 02
    "another program runs as root in the hub's place": Case(
        process, "the hub runs as jupyterhub", unit("jupyterhub", "[Service]\\nUser=root\\nExecStart=\\nExecStart=/bin/sleep 600\\n"),
        "came exit code 0, root", unit_repaired("jupyterhub"),
    ),
    "the configuration is gone": Case(
        settings, "each setting is known", f"mv {server_paths.CONFIG} {server_paths.CONFIG}.away", "there is none yet", f"mv {server_paths.CONFIG}.away {server_paths.CONFIG}",
    ),
    # 02, 04 and 06
    "something listens at an address outside": Case(
        ports, "are closed to the outside", f"systemd-run -q --unit zz-broken python3 -m http.server 8001 --bind {_OUTSIDE}; sleep 2",
        "8001 is open on", "systemctl stop zz-broken",
    ),
    "there is no ss to ask": Case(
        ports, "are closed to the outside", "mv $(command -v ss) /root/ss", "ss does not say", "mv /root/ss /usr/bin/ss",
    ),
    "a file with a secret that no runbook made is open": Case(
        exposure.secrets_closed, "no other file with secrets", "install -m 0644 /dev/null /etc/jupyterhub/old.env", "open to others: /etc/jupyterhub/old.env",
        "rm /etc/jupyterhub/old.env",
    ),
    **{
        f"{path} {what}": Case(exposure.secrets_closed, f"{path} is closed to others", breaks, says, repairs)
        for path in (server_paths.PROXY_ENV, server_paths.VERIFY_ENV, server_paths.LTI_ENV)
        for what, breaks, says, repairs in (
            ("can be read by all", f"chmod 0644 {path}", "its mode is 644", f"chmod 0600 {path}"),
            ("is not there", f"mv {path} /root/away", "No such file", f"mv /root/away {path}"),
            (
                "belongs to somebody else", f"chown nobody {path}; chmod 0755 /etc/jupyterhub", "the account nobody can read it",
                f"chown jupyterhub:jupyterhub {path}; chmod 0750 /etc/jupyterhub",
            ),
        )
    },
    # 03
    "nginx answers to another name on port 80": Case(
        nginx.http_tests, "another name gets no answer on port 80", stranger("80"), "came exit code 0, hello", f"rm {_STRANGER}; {_NGINX}",
    ),
    "nginx answers to another name on port 443": Case(
        nginx.https_tests, "another name gets no certificate", stranger("443 ssl", "ssl_certificate {certificate}; ssl_certificate_key {key};"),
        "came exit code 0, hello", f"rm {_STRANGER}; {_NGINX}",
    ),
    "nginx speaks old TLS": Case(
        nginx.https_tests, "TLS 1.1 is refused",
        f"cp -p {nginx.HTTPS_FILE} /root/https; sed -i 's/ssl_protocols .*/ssl_protocols TLSv1.1 TLSv1.2 TLSv1.3;/; s/ssl_ciphers .*/ssl_ciphers ALL:@SECLEVEL=0;/' {nginx.HTTPS_FILE}; {_NGINX}",
        "TLS 1.1 is refused: expected an error and output with alert protocol version, came exit code 0", f"cp -p /root/https {nginx.HTTPS_FILE}; rm /root/https; {_NGINX}",
    ),
    # 04
    "the hub's account may use Docker": Case(
        docker_setup.access_tests, "cannot use Docker's own socket", "gpasswd -a jupyterhub docker", "came exit code 0", "gpasswd -d jupyterhub docker",
    ),
    "the hub was started with Docker's group": Case(
        groups, "the hub runs without Docker's group", "gpasswd -a jupyterhub docker; systemctl restart jupyterhub; gpasswd -d jupyterhub docker",
        "it has the group docker", f"systemctl restart jupyterhub; {_READY}",
    ),
    "there is no group docker": Case(
        groups, "the hub runs without Docker's group", "groupmod -n docker-away docker", "there is no group docker", "groupmod -n docker docker-away",
    ),
    # 06
    **{
        f"{name} does not start at boot": Case(boot, f"{name} starts at boot", f"systemctl disable -q {name}", "disabled", f"systemctl enable -q {name}")
        for name in ("jupyterhub", "jupyterhub-proxy", "nginx", "docker")
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def server(machine: Machine) -> Iterator[Server]:
    with Server.connect(params.load(machine.site)) as server:
        yield server


def failed(server: Server, tests: Sequence[Test]) -> dict[str, str]:
    """Title → what came, of the tests that fail one by one."""
    found = {}
    for test in tests:
        try:
            server.check(test)
        except CheckFailed as failure:
            found[test.title] = str(failure)
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_check_fails_when_what_it_guards_is_broken_and_passes_when_it_is_repaired(server: Server, case: Case) -> None:
    site = server.site
    tests = case.tests(site)
    (test,) = (test for test in tests if case.title in test.title)
    server.check(test)
    certificate, key = site_certificate.paths(site)
    server.run("set -e\n" + case.breaks.replace("{certificate}", certificate).replace("{key}", key), seconds=60)
    try:
        broken = failed(server, tests)
    finally:
        server.run("set -e\n" + case.repairs, seconds=90)
    assert case.says in broken.get(test.title, "it passed"), broken
    # What belongs to several files or units is judged for each by itself.
    if case.tests in (exposure.secrets_closed, boot, accounts):
        assert list(broken) == [test.title]
    server.check(*tests)


def test_without_a_hub_nothing_is_said_about_it(server: Server) -> None:
    tests = [*process(server.site), *groups(server.site), *ports(server.site)]
    server.run("systemctl stop jupyterhub")
    try:
        account, member, listens = failed(server, tests).values()
    finally:
        server.run(f"systemctl start jupyterhub; {_READY}", seconds=90)
    assert "the hub runs as jupyterhub: expected" in account
    assert "the hub does not run" in member
    assert "nothing listens on 8081" in listens
    server.check(*tests)


def test_each_check_that_expects_a_failure_is_among_them(server: Server) -> None:
    site = server.site
    sections = (
        *accounts(site), *upkeep(site), *config.tests(site), *ports(site), *exposure.secrets_closed(site), *settings(site), *boot(site),
        *nginx.http_tests(site), *nginx.https_tests(site), *site_certificate.tests(site), *docker_setup.container_tests(site), *docker_setup.access_tests(site),
    )  # fmt: skip
    expecting = [test.title for test in sections if test.fails]
    assert len(expecting) >= 6
    assert [title for title in expecting if not any(case.title in title for case in CASES.values())] == []
