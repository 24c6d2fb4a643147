"""What the tests on practice servers share: a server that was set up once, a fresh one, and the order of the modules.

HUBRUN_KEEP=1 leaves the servers running at the end, and the next run uses them again: for work on the tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import BrowserContext, Page, Response
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for aptrepo and lti_platform, also when these tests are run alone

import seed  # noqa: E402
from canvas import resolve_localhost  # noqa: E402
from machines import PROJECT, Ended, Machine, differences, hubrun  # noqa: E402

# `./hubrun test` runs these tests in two halves beside each other, which take about as long; without it, all run in one.
# The first half has the server that is set up first, and says how that went.
FIRST = (
    "test_install", "test_attacks_docker", "test_attacks_network", "test_attacks_space", "test_nbgrader", "test_course_folders", "test_exam", "test_autograde", "test_attacks_student", "test_launches", "test_launch_browser", "test_attacks_origin", "test_canvas_step", "test_deep_links", "test_launch_command", "test_watch", "test_image", "test_upgrade_runbook", "test_rotate", "test_killed_on_site", "test_chaos",
    "test_notebooks", "test_lab", "test_records", "test_docs", "test_plan", "test_checks_fail", "test_bad_input", "test_bare_papermill",
)  # fmt: skip
# Those that begin with a fresh server come first, while the one is set up of which others are copies. Debian 13 comes last:
# its images are made then, and no other server is made or copied meanwhile.
SECOND = (
    "test_upgrade", "test_docker_ce", "test_remove", "test_backup_restore", "test_homes_server", "test_courses_server", "test_nodes_server", "test_killed", "test_killed_build", "test_upgrade_class",
    "test_killed_backup", "test_uninstall", "test_killed_removal", "test_look", "test_debian13", "test_subdomains", "test_record_pictures",
)  # fmt: skip
ORDER = FIRST + SECOND
KEEP = bool(os.environ.get("HUBRUN_KEEP"))
HALF = os.environ.get("HUBRUN_TEST_HALF", "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.parent == HERE]
    others = [item for item in items if item.path.parent != HERE]
    items[:] = others + sorted(ours, key=lambda item: ORDER.index(item.path.stem))
    if HALF:
        of_first = {item for item in ours if item.path.stem in FIRST}
        left = [item for item in items if (item in of_first) != (HALF == "first")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def first(count: int, values: Iterable[Any]) -> list[Any]:
    """The values of a parameter; a kind is shown by so many of them, and --long alone tries the others."""
    return [
        value if number < count else pytest.param(value, marks=pytest.mark.only_long)
        for number, value in enumerate(values)
    ]


class Processes:
    """The command lines of all processes of this machine, seen every fifth of a second; containers' among them."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.looks = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.2):
            done = subprocess.run(["ps", "-eo", "args", "-ww"], capture_output=True, text=True, check=True)
            self.seen.update(done.stdout.splitlines())
            self.looks += 1


@dataclass(frozen=True)
class Installed:
    """A practice server that `./hubrun practice` set up: how that went, and which processes ran meanwhile.

    plan: what `./hubrun plan` said of it while it was fresh; touched: what that changed on it.
    """

    machine: Machine
    plan: Ended
    touched: list[str]
    first: Ended
    processes: Processes


@contextlib.contextmanager
def _only_here(name: str) -> Iterator[Machine]:
    """A practice server that is not there before; afterwards, whatever happens, it is gone again with its records."""
    machine = Machine(name)
    if not KEEP:
        machine.down()
    try:
        yield machine
    finally:
        if not KEEP:
            machine.down()
            shutil.rmtree(PROJECT / "records" / name, ignore_errors=True)


def server(name: str, *options: str) -> Iterator[Machine]:
    """A fresh practice server for as long as it is used."""
    with _only_here(name) as machine:
        machine.up(*options)
        yield machine


def set_up(name: str) -> Iterator[Machine]:
    """A practice server of its own, on which `./hubrun practice` has been: a copy of the seed, if there is one."""
    with _only_here(name) as machine:
        if not machine.known and seed.there():
            machine.copy_of(seed.NAME)
            machine.up()
            for number in ("02", "03"):  # which make its ports known to its hub and nginx
                ended = hubrun("install", machine.site, "--only", number)
                assert ended.code == 0, ended.tail
        else:
            machine.practice()
        yield machine


@pytest.fixture(scope="module", autouse=True)
def practice_domains() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve_localhost(socket.getaddrinfo))
        yield


@pytest.fixture(scope="session", autouse=True)
def networks_change() -> Iterator[None]:
    """Chromium gives up what it loads when a network interface comes or goes, and containers do so all the time.

    https://github.com/microsoft/playwright/issues/13062. A form that a page sends by itself ends at an error page of
    Chromium then, unseen, and is sent again. Who waits in vain is told where the page stands.
    """
    changed = "ERR_NETWORK_CHANGED"
    go, wait = Page.goto, Page.wait_for_url

    def goto(page: Page, url: str, **options: Any) -> Response | None:
        for _ in range(9):
            try:
                return go(page, url, **options)
            except PlaywrightError as error:
                if changed not in error.message:
                    raise
        return go(page, url, **options)

    def wait_for_url(page: Page, url: Any, *, timeout: float = 30_000, **options: Any) -> None:
        end = time.monotonic() + timeout / 1000
        while True:
            left = end - time.monotonic()
            try:
                return wait(page, url, timeout=max(1.0, min(3.0, left) * 1000), **options)
            except PlaywrightError as error:
                if left <= 0:
                    text = page.locator("body").inner_text(timeout=3000)
                    raise AssertionError(f"{url} did not come: {page.url}\n{text[:2000]}") from error
                if changed not in error.message and not isinstance(error, PlaywrightTimeout):
                    raise
            if page.url.startswith("chrome-error:"):
                with contextlib.suppress(PlaywrightError):
                    page.reload()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Page, "goto", goto)
        patch.setattr(Page, "wait_for_url", wait_for_url)
        yield


@pytest.fixture(scope="session", autouse=True)
def tabs_close() -> Iterator[None]:
    """Chromium loses the request to close a tab that comes as a new page of it begins, and whoever closes it waits for ever.

    Seen in its protocol (156.0.8078): Target.closeTarget is answered with success, Page.lifecycleEvent "init" follows, and no
    Target.detachedFromTarget. JupyterLab loads once more under its workspace. So a tab first shows a page that stays.
    """
    go, close = Page.goto, BrowserContext.close

    def close_tabs(context: BrowserContext, **options: Any) -> None:
        for page in context.pages:
            for _ in range(9):
                with contextlib.suppress(PlaywrightError):  # another page came at that moment
                    go(page, "about:blank", timeout=5000)  # ms
                    break
        close(context, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BrowserContext, "close", close_tabs)
        yield


@pytest.fixture(scope="session", autouse=True)
def alone() -> Iterator[None]:
    """One run of these tests at a time in a checkout: they take one another's servers down otherwise."""
    with (HERE / ("canvas.py" if HALF == "first" else "conftest.py")).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit("another run of tests/server goes on in this checkout", 1)
        with contextlib.nullcontext() if KEEP else seed.used():
            yield


@pytest.fixture(scope="session", autouse=True)
def seed_coming(alone: None) -> Iterator[contextlib.ExitStack]:
    """Closed when the seed is made, or will not be: until then the second half waits for it."""
    with contextlib.ExitStack() as coming:
        if HALF == "first":
            coming.enter_context(seed.coming())
        yield coming


@pytest.fixture(scope="session")
def installed(seed_coming: contextlib.ExitStack) -> Iterator[Installed]:
    """What a person has after `./hubrun practice --name test`, and nothing else. The seed is a copy of it."""
    assert HALF != "second", "who asks for this is of the first half"
    with _only_here("test") as machine:
        with seed_coming:
            used = machine.known
            machine.up()
            before = machine.everything()
            plan = hubrun("plan", machine.site)
            touched = differences(before, machine.everything())
            with Processes() as processes:
                first = machine.practice()
            if not used:
                seed.take(machine)
        yield Installed(machine, plan, touched, first, processes)


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """The server that is set up; in the second half a copy of it."""
    if HALF == "second":
        yield from set_up("test2")
    else:
        yield request.getfixturevalue("installed").machine


@pytest.fixture(scope="session")
def operated() -> Iterator[Machine]:
    """A server of its own that is set up, for what changes a whole site: removals, and then backups."""
    yield from set_up("operated")


@pytest.fixture(scope="session")
def trixie() -> Iterator[Machine]:
    """A fresh server with Debian 13, and a name that is longer than nginx expects; `trixie_run` sets it up."""
    yield from server("trixie-of-the-department-of-chemistry", "--os", "debian-13")


@pytest.fixture(scope="session")
def trixie_run(trixie: Machine) -> Ended:
    """How `./hubrun practice` went on Debian 13."""
    return hubrun("practice", "--name", trixie.name, "--os", "debian-13", seconds=600)


@pytest.fixture(scope="session")
def bare() -> Iterator[Machine]:
    """A fresh server; who changes it calls `reset` first or last."""
    yield from server("bare2" if HALF == "second" else "bare")
