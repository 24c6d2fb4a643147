"""What is done by the server's clock: exams begin and end, and work is taken when it is due, and autograded."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.services import Service
from hubrun.sections.hub import config
from hubrun.shell import quote


def units(site: Site) -> list[Resource]:
    """The programs and their timers; nothing for a site that has none of it. An exam's rules of the network are
    `student_network`'s."""
    wanted = {"hubrun-exam": site.exams, "hubrun-due": site.due_dates, "hubrun-autograde": site.autogrades}
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    if not names:
        return []
    files = [config.unit(site, f"/etc/systemd/system/{name}.{kind}") for name in names for kind in ("service", "timer")]
    return [*config.hub_code(), *files, *(Service(f"{name}.timer") for name in names)]


def tests(site: Site) -> list[Test]:
    """Tests that all are looked after, and that each host of an exam has an address: nobody could reach it otherwise."""
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
    due = Test(
        "work is taken when it is due", "systemctl is-active hubrun-due.timer", prints="^active$",
        remedy="See journalctl -u hubrun-due -n 20",
    )  # fmt: skip
    graded = Test(
        "work that was taken is autograded", "systemctl is-active hubrun-autograde.timer", prints="^active$",
        remedy="See journalctl -u hubrun-autograde -n 20",
    )  # fmt: skip
    return [
        *([looked, *found] if site.exams else []),
        *([due] if site.due_dates else []),
        *([graded] if site.autogrades else []),
    ]
