"""A new image for students beside the one that they have: only one that works becomes current, and the way back is short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import KEEP, first
from machines import Ended, Machine, hubrun
from test_upgrade import logged_in

from hubrun import params

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

NAME = "hubrun-singleuser"
# Another image than the site's file describes, and quickly built.
NEW = ("--set", "jupyterlab_git=false")
# What is built on the site's base → what the run says of it.
BROKEN = {
    "ends-at-once": ('ENTRYPOINT ["/bin/false"]', "ended at once"),
    "no-kernel": (
        """USER 0
RUN install -d /usr/local/etc/jupyter && \\
    echo '{"MappingKernelManager": {"default_kernel_name": "none"}}' \\
    > /usr/local/etc/jupyter/jupyter_server_config.json
USER 1000""",
        "it starts no kernel",
    ),
}

# As if nobody had been there for an hour.
AN_HOUR_AGO = """/usr/bin/python3 -c "import sqlite3
with sqlite3.connect('/var/lib/jupyterhub/jupyterhub.sqlite', timeout=20) as database:
    database.execute(\\"UPDATE spawners SET last_activity = datetime('now', '-1 hour')\\")" """


def image(machine: Machine, *options: str) -> Ended:
    return hubrun("run", "image", machine.site, *options, seconds=600)


def current(machine: Machine) -> str:
    return machine.run(f"docker image inspect -f '{{{{.Id}}}}' {NAME}").strip()


def tags(machine: Machine) -> list[str]:
    return sorted(machine.run(f"docker image ls --format '{{{{.Tag}}}}' {NAME}").split())


@pytest.fixture(autouse=True)
def as_it_was(machine: Machine) -> Iterator[None]:
    """What the site's file describes counts again at the end."""
    yield
    if not KEEP:
        ended = image(machine)
        assert ended.code == 0, ended.tail


def test_a_second_run_changes_nothing_and_names_who_runs_on_which(machine: Machine) -> None:
    with logged_in(machine) as browser, machine.undisturbed():
        browser.start(120)
        ended = image(machine)
        browser.stop()
    assert ended.code == 0, ended.tail
    assert {status for _, status in ended.results} <= {"ok"}, ended.tail
    book = (ended.record / "12_image.ipynb").read_text()
    assert "current" in book and "ada, idle for" in book


def test_an_image_that_does_not_build_says_why_and_leaves_nothing(machine: Machine) -> None:
    before = (
        current(machine),
        tags(machine),
        machine.run("docker images -aq -f dangling=true | sort; docker ps -aq | sort"),
    )
    ended = image(machine, "--set", "extra_pip_packages=[hubrun-no-such-package==99]")
    assert ended.code == 1 and "hubrun-no-such-package" in ended.error, ended.tail
    assert before == (current(machine), tags(machine), machine.run("docker images -aq -f dangling=true | sort; docker ps -aq | sort"))  # fmt: skip


@pytest.mark.parametrize("kind", first(1, BROKEN))
def test_an_image_that_does_not_work_never_counts(machine: Machine, kind: str) -> None:
    lines, says = BROKEN[kind]
    base = params.load(machine.site).base_image
    # The copy of a registry's image has no digest of its own, and is taken as it is.
    machine.run(f"docker build -t broken:{kind} - > /dev/null", data=f"FROM {base}\n{lines}\n".encode(), seconds=120)
    before = current(machine)
    ended = image(machine, "--set", f"base_image=broken:{kind}")
    assert ended.code == 1 and says in ended.error, ended.tail
    assert current(machine) == before
    assert "candidate" not in tags(machine)
    with logged_in(machine) as browser:
        browser.start(120)
        assert browser.run_cell("6*7") == "42"
        browser.stop()


def test_a_good_one_counts_while_people_work_and_the_way_back_takes_seconds(machine: Machine) -> None:
    before = current(machine)
    hub = "systemctl show jupyterhub jupyterhub-proxy docker -p MainPID --value"
    pids = machine.run(hub)
    with logged_in(machine) as browser:
        browser.start(120)
        browser.run_cell("kept = 41")
        ended = image(machine, *NEW)
        assert ended.code == 0, ended.tail
        assert current(machine) != before
        assert browser.run_cell("kept + 1") == "42"
        back = image(machine, *NEW, "--set", "image=previous")
        assert back.code == 0 and current(machine) == before, back.tail
        print(f"the way back took {back.seconds:.1f} s")
        assert back.seconds < 90, f"{back.seconds:.0f} s"  # a third of it where nothing else keeps the machine busy
        again = image(machine, *NEW, "--set", "image=previous")
        assert {status for _, status in again.results} <= {"ok"}, again.tail
        browser.stop()
    assert machine.run(hub) == pids, "nothing was restarted"
    assert len([tag for tag in tags(machine) if len(tag) == 12]) <= 3


@pytest.mark.only_long
def test_an_id_that_is_not_there_is_one_clear_error(machine: Machine) -> None:
    with machine.undisturbed():
        ended = image(machine, "--set", "image=0123456789ab")
    assert ended.code == 1 and "This server has" in ended.error, ended.tail


@pytest.mark.only_long
def test_idle_servers_on_an_older_image_are_stopped_when_asked(machine: Machine) -> None:
    with logged_in(machine) as browser:
        browser.start(120)
        old = machine.container_of("ada")
        ended = image(machine, *NEW)
        assert ended.code == 0 and machine.container_of("ada") == old, ended.tail
        for _ in range(3):  # the hub notes by itself, every few minutes, who was there
            machine.run(AN_HOUR_AGO)
            ended = image(machine, *NEW, "--set", "restart_idle_minutes=30")
            assert ended.code == 0, ended.tail
            if not machine.container_of("ada"):
                break
        assert machine.container_of("ada") == ""
    # A launch looks whether the server still runs, as the hub by itself does twice a minute.
    with logged_in(machine) as browser:
        browser.start(180)
        new = machine.container_of("ada")
        ids = machine.run(f"docker inspect -f '{{{{.Image}}}}' {new}").strip()
        assert old and ids == current(machine)
        browser.stop()


def test_a_prune_of_everything_leaves_the_current_image(machine: Machine) -> None:
    machine.run(
        "docker ps -q --filter network=jupyterhub | xargs -r docker rm -f; docker system prune -af", seconds=120
    )
    with logged_in(machine) as browser:
        browser.start(120)
        browser.stop()


@pytest.mark.only_long
def test_limits_of_students_servers_restart_nothing(machine: Machine) -> None:
    hub = "systemctl show jupyterhub jupyterhub-proxy -p MainPID --value"
    pids = machine.run(hub)
    changed = ["--only", "04", "--set", "user_memory_mb=700", "--set", "user_processes=200"]
    ended = hubrun("install", machine.site, *changed, seconds=300)
    assert ended.code == 0 and machine.run(hub) == pids, ended.tail
    with logged_in(machine) as browser:
        browser.start(120)
        found = machine.run(
            f"docker inspect -f '{{{{.HostConfig.Memory}}}} {{{{.HostConfig.PidsLimit}}}}' {machine.container_of('ada')}"
        )
        assert found.split() == [str(700 << 20), "200"]
        browser.stop()
    assert hubrun("install", machine.site, "--only", "04", seconds=300).code == 0
