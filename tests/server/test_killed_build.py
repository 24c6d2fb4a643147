"""The first build of the students' image, killed at random moments in the background: the next run ends green, with the right image.

Each way once; `./hubrun test --long` kills ten builds. HUBRUN_SEED repeats the moments of an earlier run.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest
from conftest import set_up
from machines import Ended, Machine, hubrun, start

from hubrun import params
from hubrun.sections.docker_spawner.image_versions import described

LONG = bool(os.environ.get("HUBRUN_LONG"))
pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(5400 if LONG else 2400)]

SEED = int(os.environ.get("HUBRUN_SEED", str(random.randrange(10**6))))
UNIT = "hubrun-build-*.service"
# As on a server that has never had an image, nor a layer of one.
NEVER_BUILT = f"""
systemctl stop '{UNIT}'; rm -rf /run/hubrun-build /etc/jupyterhub/images /etc/jupyterhub/started-once
docker rm -f hubrun-image; docker image ls -q --filter reference=hubrun-singleuser | sort -u | xargs -r docker image rm -f
docker container prune -f; docker image prune -f; docker builder prune -af
"""
# Way → what it does on the server while the image is built; "runner": the run that waits for it is killed; "reboot": all is.
WAYS = {
    "the build's process is killed": f"systemctl kill -s KILL --kill-who=main '{UNIT}'",
    "all of the unit is killed": f"systemctl kill -s KILL '{UNIT}'",
    "the unit is stopped": f"systemctl stop '{UNIT}'",
    "Docker is killed": "systemctl kill -s KILL docker",
    "runner": "",
    "reboot": "",
}
KILLS = 10 if LONG else len(WAYS)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    yield from set_up("killed-build")


def only(machine: Machine, number: str, *options: str) -> Ended:
    return hubrun("install", machine.site, "--only", number, *options, seconds=900)


def right(machine: Machine) -> None:
    """The image that the site's file describes counts, nothing is left of a build, and there is nothing to do."""
    wanted = described(params.load(machine.site))
    label = "docker image inspect -f '{{index .Config.Labels \"hubrun.context\"}}' $1"
    assert machine.run(label, wanted.name).strip() == machine.run(label, wanted.tag).strip() == wanted.digest
    assert machine.run("docker run --rm $1 jupyterhub-singleuser --version", wanted.name).strip()
    assert machine.run("ls /run/hubrun-build 2> /dev/null | grep -v lock || true") == begun(machine) == ""
    assert machine.run("systemctl is-active jupyterhub jupyterhub-proxy docker | sort -u") == "active\n"
    again = hubrun("plan", machine.site, "--only", "04")
    assert again.code == 0, again.tail


def begun(machine: Machine) -> str:
    return machine.run(f"systemctl list-units --plain --no-legend '{UNIT}'").strip()


def wait(machine: Machine) -> float:
    """Wait for the end of the build; for how long, in seconds."""
    began = time.monotonic()
    while begun(machine):
        assert time.monotonic() < began + 300
        time.sleep(0.5)
    return time.monotonic() - began


def test_a_build_that_is_killed_is_made_again_by_the_step_that_waits_for_it(machine: Machine) -> None:
    moments = random.Random(SEED)
    ways = [list(WAYS)[number % len(WAYS)] for number in range(KILLS)]
    moments.shuffle(ways)
    right(machine)
    machine.run(NEVER_BUILT, seconds=300)
    first = only(machine, "01")
    assert first.code == 0 and begun(machine), first.tail
    longest, at_work = wait(machine), 0
    ended = only(machine, "04")
    assert ended.code == 0, ended.tail
    right(machine)
    for way in ways:
        machine.run(NEVER_BUILT, seconds=300)
        began = only(machine, "01")
        assert began.code == 0, began.tail
        after = moments.uniform(0.0, longest)
        about = f"seed {SEED}: {way} after {after:.2f} s\n"
        running = start("install", machine.site, "--only", "04") if way == "runner" else None
        time.sleep(after)
        at_work += bool(begun(machine))
        if running:
            running.kill()
        elif way == "reboot":
            machine.docker("restart", "-t", "1", machine.info["container"])
            machine.run("systemctl is-system-running --wait || true")
        else:
            machine.run(f"{WAYS[way]} || true")
        done = only(machine, "04")
        assert done.code == 0, about + done.tail
        right(machine)
        print(f"{way} after {after:.1f} s: 04 took {done.seconds:.1f} s")
    assert at_work >= KILLS / 3, f"seed {SEED}: most had ended before"


def test_one_that_fails_is_said_by_the_next_runbook_and_stops_the_image_step_alone(machine: Machine) -> None:
    machine.run(NEVER_BUILT, seconds=300)
    wrong = ("--set", "extra_pip_packages=[hubrun-no-such-package==99]")
    first = only(machine, "01", *wrong)
    assert first.code == 0, first.tail
    wait(machine)
    second = only(machine, "02")
    assert second.code == 0 and "note: An image could not be built in the background" in second.output, second.tail
    assert "hubrun-no-such-package" in second.output
    failed = only(machine, "04", *wrong)
    assert failed.code == 1 and "hubrun-no-such-package" in failed.error, failed.tail
    corrected = only(machine, "04")
    assert corrected.code == 0, corrected.tail
    right(machine)
