"""A link into a git repository, from the click in Canvas to the open notebook: in a browser, in a student's container."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from canvas import stop_at_home
from git_outside import PATH, page_of_canvas, repository_outside
from machines import CHROMIUM_FLAGS, Machine
from playwright.sync_api import BrowserContext, sync_playwright

from hubrun import params
from hubrun.params import Site
from hubrun.sections.canvas.git_links import GitLink

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(900)]

STUDENT = "gus"


@pytest.fixture(scope="module")
def site(machine: Machine) -> Site:
    return params.load(machine.site)


@pytest.fixture(scope="module")
def repository(machine: Machine, site: Site) -> Iterator[str]:
    with repository_outside(machine, site) as url:
        yield url


@pytest.fixture(scope="module")
def browser(machine: Machine, site: Site) -> Iterator[BrowserContext]:
    """The student's browser; at the end the student stops their server, and the files go."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        context = chromium.new_context(ignore_https_errors=True, viewport={"width": 1366, "height": 768})
        yield context
        home = context.new_page()
        home.goto(f"{site.url}/hub/home")
        stop_at_home(home)
        chromium.close()
    machine.run(f"docker volume rm -f jupyterhub-user-{STUDENT}")


def test_a_launch_pulls_the_repository_and_opens_the_notebook(
    machine: Machine, site: Site, repository: str, browser: BrowserContext
) -> None:
    link = GitLink(site.url, repository, "autumn", PATH)
    page = browser.new_page()
    page.set_content(page_of_canvas(machine, link.launch_url, STUDENT))
    page.wait_for_url(f"{site.url}/user/{STUDENT}/**/lab/tree/course/{quote(PATH)}", timeout=120_000)
    page.get_by_text("Pulled from git").first.wait_for(timeout=60_000)
    page.locator(".lm-TabBar-tab.lm-mod-current", has_text="lab #2 übung.ipynb").wait_for()
    # The file is the student's own, in a clone of the branch.
    answer = browser.new_page().goto(f"{site.url}/user/{STUDENT}/api/contents/course/{quote(PATH)}?content=0")
    model = answer.json() if answer else {}
    assert (model["path"], model["writable"]) == (f"course/{PATH}", True)
    head = machine.run(
        "docker exec $1 git -C /home/jovyan/course rev-parse --abbrev-ref HEAD", machine.container_of(STUDENT)
    )
    assert head.strip() == "autumn"
