"""A server becomes what it was: what differs from the listing before the first install is known, and has a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from canvas import key_and_secret
from conftest import server
from machines import Machine, differences, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(2400)]

# Every path, with what it is; of a file the size, which shows a change of most kinds.
LISTING = """
find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/tmp \\) -prune -o -type d -printf '%p=d %m %u\\n' \\
    -o -printf '%p=%y %s %m %u %l\\n'
dpkg-query -W -f 'package ${Package}=${db:Status-Status}\\n' | grep '=installed$'
getent passwd | sed -E 's/^([^:]*):/account \\1=/'
"""
# What differs after an uninstall with both yeses, and why.
EXPLAINED = {
    r"/var/(log|cache|backups)(/.*)?": "logs, and caches of apt, fonts and manuals",
    r"/var/lib/(apt|dpkg|systemd|ucf|polkit-1|private|logrotate|update-notifier|pam)(/.*)?": "apt's and systemd's own notes",
    r"/etc/(passwd|shadow|group|gshadow|subuid|subgid)-?": "accounts that packages made: Debian keeps them when a package goes",
    r"account (?!jupyterhub).*": "the same",
    r"/etc/(ld\.so\.cache|mtab|machine-id|resolv\.conf|hosts|hostname)": "made again by the system itself",
    r"/etc/(ssl/certs|ca-certificates)(/.*|\.conf)?": "the list of certificate authorities, made again",
    r"/etc/(rc\d\.d|init\.d|systemd/system|systemd/user|alternatives|apparmor\.d|default|cron\.\w+|update-motd\.d|python3.*)(/.*)?": "folders and links that packages leave",
    r"/etc/\.pwd\.lock": "useradd's lock",
    r"/(root|home/\w+)/\..*": "what root's shell and programs note",
    r"/usr/(lib|share|local)/.*(__pycache__|\.pyc|mime|icons|applications|info).*": "what Python and package triggers make",
    r"/var/lib/containerd.*|/opt/containerd(/.*)?": "containerd's empty folders, where Docker's own package came",
    r"package .*": "updated or left because others need it",
}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    yield from server("uninstall")


def listing(machine: Machine) -> dict[str, str]:
    lines = (line.partition("=") for line in machine.run(LISTING, seconds=120).splitlines())
    return {name: about for name, _, about in lines}


def test_after_both_yeses_the_server_is_what_it_was_and_after_the_first_an_install_brings_all_back(
    machine: Machine,
) -> None:
    before = listing(machine)
    ended = hubrun("practice", "--name", machine.name, seconds=600)
    assert ended.code == 0, ended.tail
    here = Machine(machine.name)
    site, key = params.load(here.site), key_and_secret(here)
    with Browser(Route.to(site)) as browser:
        browser.launch(site.launch_url, signed_form(site.launch_url, *key, "ada"))
        browser.start(180)
        browser.write_file("essay.txt", "three pages")

    installed = here.everything()
    plan = hubrun("run", "uninstall", here.site, "--check")
    assert plan.code == 2 and "1 people have files" in plan.output, plan.tail
    assert differences(installed, here.everything()) == []
    no = hubrun("run", "uninstall", here.site)
    assert no.code == 1 and "uninstall_confirm=" in no.error, no.tail
    other = hubrun("run", "uninstall", here.site, "--set", "uninstall_confirm=other.example.edu")
    assert other.code == 1 and "says yes to other.example.edu" in other.error, other.tail

    first = ["--set", f"uninstall_confirm={site.domain}"]
    gone = hubrun("run", "uninstall", here.site, *first, seconds=600)
    assert gone.code == 0, gone.tail
    assert (
        here.run("ls /etc/systemd/system | grep -E '^(jupyterhub|hubrun-)' || true; command -v nginx certbot || true")
        == ""
    )
    again = hubrun("run", "uninstall", here.site, *first)
    assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail
    back = hubrun("practice", "--name", machine.name, seconds=600)
    assert back.code == 0, back.tail
    with Browser(Route.to(site)) as browser:
        browser.launch(site.launch_url, signed_form(site.launch_url, *key, "ada"))
        browser.start(180)
        assert browser.read_file("essay.txt") == "three pages"

    wrong = hubrun("run", "uninstall", here.site, *first, "--set", "uninstall_files=7")
    assert wrong.code == 1 and "1 people have some" in wrong.error, wrong.tail
    both = [*first, "--set", "uninstall_files=1"]
    gone = hubrun("run", "uninstall", here.site, *both, seconds=600)
    assert gone.code == 0, gone.tail
    again = hubrun("run", "uninstall", here.site, *both)
    assert again.code == 0 and {status for _, status in again.results} == {"ok"}, again.tail
    unexplained = [
        line
        for line in differences(before, listing(here))
        if not any(re.fullmatch(pattern, line.partition(": ")[0]) for pattern in EXPLAINED)
    ]
    assert unexplained == []
    assert (
        here.run(
            "find / -xdev -not -path '/proc/*' -iname '*jupyterhub*' -o -xdev -iname '*hubrun*' -print | grep -v /var/log || true"
        )
        == ""
    )
