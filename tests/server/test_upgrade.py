"""A site of the version before is brought to this one by `install`, while students work on it.

The version before is taken from the project's own history and run as it was, with a `.venv` of its own.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from canvas import key_and_secret
from conftest import KEEP, server
from machines import PROJECT, Ended, Machine, Running, hubrun

from hubrun import params
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from lti_platform import signed_form

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

# Raised when a version is released.
BEFORE = "194d6a0"
USER = "ada"


@dataclass
class Work:
    """What a student did before the upgrade, and what was seen of her open JupyterLab while it went on."""

    browser: Browser
    before: Ended
    statuses: list[tuple[float, int]] = field(default_factory=list)
    plan: Ended | None = None
    install: Ended | None = None


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the version before, with its packages."""
    folder = tmp_path_factory.mktemp("before")
    archive = subprocess.run(["git", "archive", BEFORE], cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    subprocess.run([folder / "hubrun", "--help"], stdout=subprocess.DEVNULL, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def site(old: Path, upgraded_machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site's file as its operator wrote it for the version before: without what that did not know."""
    command = [
        old / ".venv/bin/python",
        "-c",
        "import json, hubrun.params as p; print(json.dumps(list(p.Site.model_fields)))",
    ]
    known = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
    values: dict[str, Any] = yaml.safe_load(upgraded_machine.site.read_text())
    path = tmp_path_factory.mktemp("site") / "upgrade.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in values.items() if name in known}))
    return path


@pytest.fixture(scope="module")
def upgraded_machine() -> Iterator[Machine]:
    yield from server("upgrade")


def logged_in(machine: Machine, user: str = USER) -> Browser:
    """A browser in which Canvas has launched `user`. Signed here: the version before has no program of this one's for it."""
    site = params.load(machine.site)
    browser = Browser(Route.to(site))
    launch = browser.launch(
        site.launch_url, signed_form(site.launch_url, *key_and_secret(machine), user, context_id=None)
    )
    assert launch.user == user, launch.came
    return browser


@pytest.fixture(scope="module")
def work(old: Path, site: Path, upgraded_machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    """The version before installs; ada works; this version plans, and installs while her JupyterLab is open."""
    records = tmp_path_factory.mktemp("records")
    before = Running(str(old / "hubrun"), "install", str(site), "--records", str(records)).end(600)
    assert before.code == 0, before.tail
    with logged_in(upgraded_machine) as browser:
        browser.start(180)
        browser.run_cell("kept = 41")
        browser.write_file("essay.txt", "three pages")
        done = Work(browser, before)
        done.plan = hubrun("plan", site, "--records", records)
        end = threading.Event()
        thread = threading.Thread(target=_poll, args=(browser, done, end))
        thread.start()
        try:
            done.install = hubrun("install", site, "--records", records, seconds=600)
        finally:
            end.set()
            thread.join()
        yield done


def _poll(browser: Browser, work: Work, end: threading.Event) -> None:
    """What an open JupyterLab does all the time: it asks its server for the folder that it shows."""
    began = time.monotonic()
    while not end.wait(1):
        try:
            status = browser.get(f"{browser.home_path}api/contents/", 10).status_code
        except Exception:  # the connection was cut: that is seen, too
            status = 0
        work.statuses.append((time.monotonic() - began, status))


def test_the_plan_says_what_students_will_notice(work: Work) -> None:
    assert work.plan is not None and work.plan.code == 2, work.plan and work.plan.tail
    said = work.plan.output
    for thing in ("/usr/local/lib/hubrun", "jupyterhub.service", "image"):
        assert thing in said, work.plan.tail


def test_the_install_ends_with_a_verified_hub(work: Work) -> None:
    assert work.install is not None and work.install.code == 0, work.install and work.install.tail


def test_the_open_jupyterlab_goes_on_without_a_new_launch(work: Work) -> None:
    """It may be cut off while services restart, for seconds; at the end it answers again, with the same cookies."""
    bad = [seconds for seconds, status in work.statuses if status != 200]
    print(f"{len(bad)} of {len(work.statuses)} polls were not answered with 200")
    assert [status for _, status in work.statuses[-3:]] == [200, 200, 200], work.statuses
    assert len(bad) <= 30, work.statuses


def test_the_kernel_kept_its_variable_and_the_file_is_there(work: Work) -> None:
    assert work.browser.run_cell("kept + 1") == "42"
    assert work.browser.read_file("essay.txt") == "three pages"


def test_her_next_server_is_hers_with_the_new_limits(work: Work, upgraded_machine: Machine) -> None:
    work.browser.stop()
    with logged_in(upgraded_machine) as browser:
        browser.start(120)
        assert browser.read_file("essay.txt") == "three pages"
        assert "Read-only" in browser.run_cell(
            "try: open('/opt/conda/x', 'w')\nexcept OSError as error: print(error.strerror)"
        )
    users = upgraded_machine.run(
        "python3 -c \"import sqlite3; print(*[row[0] for row in sqlite3.connect('/var/lib/jupyterhub/jupyterhub.sqlite').execute('SELECT name FROM users')])\""
    )
    assert users.split().count(USER) == 1


def test_a_second_install_changes_nothing_and_the_old_records_verify(work: Work, site: Path) -> None:
    assert work.install is not None
    records = work.install.record.parent.parent
    again = hubrun("plan", site, "--records", records)
    assert again.code == 0, again.tail
    verified = hubrun("records", "verify", "--records", records)
    assert verified.code == 0, verified.tail
    if KEEP:
        print(records)
