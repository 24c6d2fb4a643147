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

pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(2400)]

# Every path, with what it is; of a file the size, which shows a change of most kinds.
LISTING = """
find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/tmp \\) -prune -o -type d -printf '%p=d %m %u\\n' \\
    -o -printf '%p=%y %s %m %u %l\\n'
dpkg-query -W -f 'package ${Package}=${db:Status-Status}\\n' | grep '=installed$'
getent passwd | sed -E 's/^([^:]*):/account \\1=/'
"""
# What the hub writes by itself while it runs.
HUBS_OWN = r"/var/lib/jupyterhub(/jupyterhub\.sqlite(-\w+)?)?: "
NAMED = "find / -xdev -path /proc -prune -o '(' -iname '*jupyterhub*' -o -iname '*hubrun*' ')' -print"
# What differs after an uninstall with both yeses, and why: docs/how-to/remove.md says it too.
EXPLAINED = {
    r"/etc/sudoers\.d/hubrun-admin|/home/teacher(/.*)?|account teacher": "admin_user: the operator may be logged in as it",
    r"/etc/(passwd|shadow|group|gshadow|subuid|subgid)-?": "admin_user, and the copies that useradd keeps",
    r"package netbase|/etc/(ethertypes|networks|protocols|rpc|services)|/usr/share/doc/netbase(/.*)?|/var/lib/dpkg/info/netbase\..*": "recommended by perl, which was here before",
    r"/var/lib/apt/(extended_states|lists/.*)|/var/lib/dpkg/(status|status-old)|/var/backups/(alternatives|apt|dpkg)\..*": "lists and notes of apt and dpkg, and what dpkg keeps of them each night",
    r"/var/lib/ucf/(hashfile|registry)(\.\d)?|/var/cache/debconf/(config|templates)\.dat(-old)?": "notes of ucf and debconf",
    r"/var/lib/systemd/timers/stamp-[\w-]+\.timer": "when a timer ran last",
    r"/var/log/(alternatives\.log|dpkg\.log|apt/.*|unattended-upgrades(/.*)?|journal/.*)": "logs",
    r"/var/lib/(docker|containerd)": "a mount here, so that a practice server has it before: its mode",
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
    assert plan.code == 2 and "remove certbot" in plan.output, plan.tail
    touched = differences(installed, here.everything())
    assert [line for line in touched if not re.match(HUBS_OWN, line)] == []
    no = hubrun("run", "uninstall", here.site)
    assert no.code == 1 and f"uninstall_confirm={site.domain}" in no.error and "uninstall_files=1 " in no.error, no.tail
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
    there = [line.partition(": ")[0] for line in differences(before, listing(here))]
    reasons = {name: [each for each in EXPLAINED if re.fullmatch(each, name)] for name in there}
    assert [name for name, found in reasons.items() if not found] == []
    assert {found[0] for found in reasons.values()} == set(EXPLAINED), "a reason for what does not differ"
    assert here.run(NAMED) == "/etc/sudoers.d/hubrun-admin\n"
