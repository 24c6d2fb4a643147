"""The pages of the records as a browser shows them: nothing is fetched, nothing is wrong, everybody can read them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from machines import CHROMIUM_FLAGS
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).parents[2]
sys.path.append(str(PROJECT / "tests"))

import five_runs  # noqa: E402
from hubrun.records.ledger import history  # noqa: E402
from hubrun.records.ledger.report import Finding, Report  # noqa: E402
from hubrun.records.pages import rendering, website  # noqa: E402
from hubrun.records.pages.compare import compare  # noqa: E402
from record_site import Site, make_site  # noqa: E402

pytestmark = pytest.mark.browser

LAPTOP = {"width": 1366, "height": 768}
SCREENS = {
    "laptop, light": {"viewport": LAPTOP, "color_scheme": "light"},
    "laptop, dark": {"viewport": LAPTOP, "color_scheme": "dark"},
    "telephone": {"viewport": {"width": 390, "height": 800}},
}
PAGES = ("index", "site", "run", "failed run", "resumed run", "broken run", "notebook", "comparison")


@dataclass
class Seen:
    """What a browser did with a page: what it asked for, and what it complained of."""

    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    records = tmp_path_factory.mktemp("records")
    site = make_site(records)
    first, second = (run.manifest() for run in history.History(records, "biology").runs()[:2])
    site.places["comparison"] = records / "comparison.html"
    site.places["comparison"].write_text(
        rendering.comparison(first.predicate, second.predicate, compare(first, second))
    )
    broken = records / "physics" / "20260101T000000Z-abcdef"
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text("{")
    fault = Finding(f"physics/{broken.name}/manifest.json", "was changed after it was signed", "Find out by whom")
    website.write_site(records, {"physics": Report(runs=1, findings=[fault])})
    site.places["broken run"] = site.index.parent / "physics" / broken.name / "index.html"
    return site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "there is no Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


def watch(page: Page) -> Seen:
    seen = Seen()
    page.on("request", lambda request: seen.asked.append(request.url))
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    return seen


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_by_itself_and_fits_the_screen(
    site: Site, browser: Browser, tmp_path: Path, name: str, screen: str
) -> None:
    context = browser.new_context(**SCREENS[screen])
    page = context.new_page()
    seen = watch(page)
    page.goto(site.places[name].as_uri())
    page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    assert seen.asked == [site.places[name].as_uri()]
    assert seen.said == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelectorAll('main h1').length") == 1
    context.close()


@pytest.mark.parametrize("screen", ["laptop, light", "laptop, dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_fault(site: Site, browser: Browser, name: str, screen: str) -> None:
    context = browser.new_context(**SCREENS[screen], bypass_csp=True)  # axe is a script, and our pages run none
    page = context.new_page()
    page.goto(site.places[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(page).response["violations"]
    grave = [
        (each["id"], each["help"], [node["html"][:120] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == []
    context.close()


def test_a_script_in_an_output_does_nothing(browser: Browser, tmp_path: Path) -> None:
    record = five_runs.Writer(tmp_path).run(does={})
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><svg onload=\"document.title='owned'\"></svg>"
    cells = [new_code_cell("1", outputs=[new_output("display_data", {"text/html": evil, "application/vnd.hubrun+json": {}})])]  # fmt: skip
    nbformat.write(new_notebook(cells=cells), tmp_path / "biology" / record.run / "06_verify.ipynb")
    path = website.write_site(tmp_path, {}).parent / "biology" / record.run / "06_verify.html"
    # The second is the same page as if nothing had been taken out: then the policy must hold.
    bare = tmp_path / "bare.html"
    bare.write_text(path.read_text().replace("<main>", f"<main>{evil}"))
    context = browser.new_context()
    for place in (path, bare):
        page = context.new_page()
        seen = watch(page)
        page.goto(place.as_uri())
        assert "owned" not in page.title()
        assert [url for url in seen.asked if not url.startswith("file:")] == []
    assert len([line for line in seen.said if "Content Security Policy" in line]) >= 2
    context.close()


def test_on_paper_what_is_folded_is_open_and_the_ground_is_white(site: Site, browser: Browser) -> None:
    context = browser.new_context(viewport=LAPTOP, color_scheme="dark")
    page = context.new_page()
    page.goto(site.places["run"].as_uri())
    diff = page.locator(".change .diff").first
    assert not diff.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert diff.is_visible()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    context.close()


def test_the_keyboard_reaches_the_links_and_the_focus_can_be_seen(site: Site, browser: Browser) -> None:
    context = browser.new_context(viewport=LAPTOP)
    page = context.new_page()
    page.goto(site.places["site"].as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Records"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(site.index.as_uri())
    context.close()


def test_the_pictures_of_the_documentation_are_made(browser: Browser, tmp_path: Path) -> None:
    sys.path.append(str(PROJECT / "docs"))
    import pictures

    pictures.draw_records(browser, tmp_path)
    made = {path.name: path.read_bytes()[:8] for path in tmp_path.iterdir()}
    assert made == dict.fromkeys(("records-index.png", "records-run.png"), b"\x89PNG\r\n\x1a\n")
