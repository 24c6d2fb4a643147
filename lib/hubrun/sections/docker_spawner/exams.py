"""Exams of courses: what begins and ends them by the server's clock."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.files import Directory
from hubrun.resources.services import Service
from hubrun.sections.hub import config
from hubrun.server_paths import KEPT
from hubrun.shell import quote

_UNITS = ("/etc/systemd/system/hubrun-exam.service", "/etc/systemd/system/hubrun-exam.timer")


def exams(site: Site) -> list[Resource]:
    """The program and its timer; nothing for a site without exams. The rules of the network are `student_network`'s."""
    if not site.exams:
        return []
    units = [config.unit(site, path) for path in _UNITS]
    return [Directory(KEPT, 0o700), *config.hub_code(), *units, Service("hubrun-exam.timer")]


def tests(site: Site) -> list[Test]:
    """Tests that exams are looked after, and that each host of one has an address: nobody could reach it otherwise."""
    hosts = sorted({host for each in site.courses if each.exam for host in each.exam.hosts})
    looked = Test(
        "exams begin and end by themselves", "systemctl is-active hubrun-exam.timer", prints="^active$",
        remedy="See journalctl -u hubrun-exam -n 20",
    )  # fmt: skip
    found = [
        Test(
            f"{host}, which an exam allows, has an address", quote("getent ahostsv4 {}", host),
            remedy="Is the name right? Is it one that this server's name servers know?",
        )
        for host in hosts
    ]  # fmt: skip
    return [looked, *found] if site.exams else []
