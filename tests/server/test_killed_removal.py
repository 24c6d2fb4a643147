"""Removals that are killed at random moments: the next run ends green, what is to stay is whole, and what is to go is gone.

Three kills each; `./hubrun test --long` kills ten of each. HUBRUN_SEED repeats the moments of an earlier run.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator

import pytest
from canvas import key_and_secret
from conftest import set_up
from machines import Ended, Machine, hubrun, start

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

LONG = bool(os.environ.get("HUBRUN_LONG"))
pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(5400 if LONG else 2400)]

KILLS = 10 if LONG else 3
SEED = int(os.environ.get("HUBRUN_SEED", str(random.randrange(10**6))))
# Files of somebody else, and what the LMS knows the site by.
KEPT = """
sha256sum /var/lib/docker/volumes/jupyterhub-user-bob/_data/essay.txt /etc/jupyterhub/lti.env
grep -qaw bob /var/lib/jupyterhub/lti_people.sqlite* && echo bob is known
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    yield from set_up("killed-removal")


def works(machine: Machine, user: str) -> None:
    """This person launches, and has a file."""
    site = params.load(machine.site)
    with Browser(Route.to(site)) as browser:
        browser.launch(site.launch_url, signed_form(site.launch_url, *key_and_secret(machine), user))
        browser.start(180)
        browser.write_file("essay.txt", f"by {user}")


def killed(machine: Machine, after: float, *command: str) -> bool:
    """Whether a run of this that is killed after so many seconds had not ended by itself."""
    running = start("run", *command[:1], machine.site, *command[1:])
    running.wait(after)
    alive = running.alive
    running.kill()
    return alive


def ended(machine: Machine, about: str, *command: str) -> Ended:
    """A run that ends well, after which there is nothing to do."""
    done = hubrun("run", *command[:1], machine.site, *command[1:], seconds=900)
    assert done.code == 0, about + done.tail
    again = hubrun("run", *command[:1], machine.site, *command[1:])
    assert again.code == 0 and {status for _, status in again.results} <= {"ok"}, about + again.tail
    return done


def test_the_removal_of_a_person_that_is_killed_is_ended_by_the_next_run(machine: Machine) -> None:
    moments = random.Random(SEED)
    works(machine, "bob")
    kept = machine.run(KEPT)
    command = ("remove", "--set", "remove_person=user=ada", "--set", "remove_confirm=ada")
    works(machine, "ada")
    longest = ended(machine, "", *command).seconds
    interrupted = 0
    for number in range(KILLS):
        works(machine, "ada")
        after = moments.uniform(1.0, longest)
        interrupted += killed(machine, after, *command)
        about = f"seed {SEED}, kill {number} after {after:.2f} s\n"
        ended(machine, about, *command)
        assert (
            machine.run(
                "docker volume ls -q --filter name=jupyterhub-user-ada; ls -A /srv/nbgrader/.removing 2> /dev/null || true"
            )
            == ""
        ), about
        assert machine.run("systemctl is-active jupyterhub jupyterhub-proxy nginx docker | sort -u") == "active\n", (
            about
        )
        assert machine.run(KEPT) == kept, about
    assert interrupted >= KILLS / 2
    works(machine, "ada")


def test_an_uninstall_that_is_killed_again_and_again_goes_on_and_students_files_go_only_with_the_second_yes(
    machine: Machine,
) -> None:
    moments = random.Random(SEED)
    works(machine, "bob")
    kept = machine.run(KEPT)
    first = ("uninstall", "--set", f"uninstall_confirm={params.load(machine.site).domain}")
    interrupted = 0
    for number in range(KILLS):
        interrupted += killed(machine, moments.uniform(2.0, 20.0), *first)
        assert machine.run(KEPT) == kept, f"seed {SEED}, kill {number}"
    ended(machine, f"seed {SEED}\n", *first)
    assert machine.run(KEPT) == kept
    (people,) = re.findall(r"uninstall_files=(\d+)", hubrun("run", "uninstall", machine.site).error)
    both = (*first, "--set", f"uninstall_files={people}")
    for _ in range(KILLS):
        interrupted += killed(machine, moments.uniform(2.0, 20.0), *both)
    ended(machine, f"seed {SEED}\n", *both)
    assert interrupted >= KILLS, f"seed {SEED}"
    # The account of admin_user stays.
    left = "find / -xdev -path /proc -prune -o '(' -iname '*jupyterhub*' -o -iname '*hubrun*' ')' -print"
    assert machine.run(left) == "/etc/sudoers.d/hubrun-admin\n"
    assert (
        machine.run(
            "systemctl list-units --all --plain --no-legend 'jupyterhub*' 'hubrun*'; command -v docker nginx || true"
        )
        == ""
    )
