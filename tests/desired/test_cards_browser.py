"""Cards as people see them: in JupyterLab, light and dark, just made or opened again, and without styles as on GitHub.

To look at them: python tests/desired/test_cards_browser.py FOLDER
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, Page, sync_playwright

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))

import five_runs
from hubrun.records.pages import website
from sample_cards import notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WIDTHS = {"laptop": {"width": 1280, "height": 800}, "desk": {"width": 1920, "height": 1080}}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
TOKEN = "cards"
CARDS = len(notebook().cells) // 2


@dataclass
class Lab:
    """A JupyterLab with two copies of the notebook: `made.ipynb` is trusted, as after a run; `opened.ipynb` is not."""

    address: str
    settings: Path

    def open(self, browser: Browser, name: str, theme: str, width: str) -> Page:
        """The notebook with its cards, all of them drawn."""
        themes = self.settings / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
        themes.parent.mkdir(parents=True, exist_ok=True)
        themes.write_text(json.dumps({"theme": THEMES[theme]}))
        page = browser.new_context(viewport=WIDTHS[width]).new_page()
        page.goto(f"{self.address}/lab/tree/{name}?token={TOKEN}&reset")
        page.wait_for_function(f"document.querySelectorAll('.jp-OutputArea table').length >= {CARDS}", timeout=90_000)
        page.wait_for_function(f"document.body.dataset.jpThemeName === '{THEMES[theme]}'")
        return page


@contextlib.contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    settings, data = folder / "settings", folder / "data"
    for place, values in {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        path = settings / "@jupyterlab" / f"{place}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    books = folder / "books"
    books.mkdir()
    for name in ("made", "opened"):
        nbformat.write(notebook(), books / f"{name}.ipynb")
    data.mkdir()
    NotebookNotary(data_dir=str(data)).sign(nbformat.read(books / "made.ipynb", as_version=4))
    own = {"JUPYTERLAB_SETTINGS_DIR": settings, "JUPYTER_DATA_DIR": data, "JUPYTER_CONFIG_DIR": folder / "config",
           "JUPYTER_RUNTIME_DIR": folder / "runtime", "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces"}  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.port=0", f"--ServerApp.root_dir={books}", f"--IdentityProvider.token={TOKEN}", "--allow-root"]  # fmt: skip
    log = folder / "log"
    with log.open("w") as out:
        lab = subprocess.Popen(command, env=os.environ | {k: str(v) for k, v in own.items()}, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert lab.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield Lab(found[0], settings)
    finally:
        lab.terminate()
        lab.wait(20)


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "there is no Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


def grave(page: Page, context: str | None = None) -> list[Any]:
    """What axe finds that keeps people from reading, with all folds open."""
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(page, context=context).response
    assert found["passes"], "axe has looked at something"
    return [
        (each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["made", "opened"])
def test_in_jupyterlab_everybody_can_read_the_cards(
    lab: Lab, browser: Browser, name: str, theme: str, width: str
) -> None:
    page = lab.open(browser, f"{name}.ipynb", theme, width)
    assert grave(page, ".jp-OutputArea") == []
    # nothing hangs out of its cell, with all folds open
    wide = "[...document.querySelectorAll('.jp-OutputArea-output table')].filter(each => each.scrollWidth > each.closest('.jp-OutputArea-output').clientWidth + 1).length"
    assert page.evaluate(wide) == 0
    table = page.get_by_role("table", name="2 would change in 0.4 s")
    assert table.get_by_role("columnheader").all_inner_texts() == ["status", "resource", "time"]
    assert table.get_by_role("rowheader").all_inner_texts()[1] == "service nginx.service"
    assert page.get_by_text("Run this cell again to do this.").count() == 1
    page.context.close()


def record_page(folder: Path) -> Path:
    """The page of a record whose last notebook is the one with the cards."""
    record = five_runs.Writer(folder).run(does={})
    nbformat.write(notebook(), folder / record.site / record.run / "06_verify.ipynb")
    return website.write_site(folder, {}).parent / record.site / record.run / "06_verify.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_a_records_page_everybody_can_read_the_cards(browser: Browser, tmp_path: Path, theme: Any) -> None:
    page = browser.new_context(viewport=WIDTHS["laptop"], color_scheme=theme, bypass_csp=True).new_page()
    page.goto(record_page(tmp_path).as_uri())
    assert page.locator(".output table").count() == CARDS
    assert grave(page) == []
    page.context.close()


def bare_page(folder: Path) -> Path:
    """The cards as GitHub shows them: without any style or script (its sanitizer takes out the attributes)."""
    cards = [cell.outputs[0].data["text/html"] for cell in notebook().cells if cell.cell_type == "code"]
    body = re.sub(r" style='[^']*'", "", "".join(cards))
    path = folder / "bare.html"
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>cards</title><main><h1>Cards</h1>{body}</main>"
    )
    return path


def test_without_styles_a_card_still_says_everything(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(bare_page(tmp_path).as_uri())
    failed = page.get_by_role("table", name="1 ok, 1 failed, 1 not run in 31.4 s")
    assert "failed\tpackages nginx\t31.2 s" in failed.inner_text()
    assert "To do: A download failed" in failed.inner_text() and "package-399" not in failed.inner_text()
    failed.locator("summary", has_text="log of packages nginx").click()
    assert "200 lines left out" in failed.inner_text() and "package-399" in failed.inner_text()
    page.context.close()


def make_pictures(folder: Path) -> None:
    """Write a picture of each theme and width to `folder`, and of a record's page and of GitHub's way."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running_lab(Path(scratch)) as lab, running_browser() as browser:
        for theme in THEMES:
            for width in WIDTHS:
                page = lab.open(browser, "made.ipynb", theme, width)
                # as high as all of it: a notebook scrolls within its panel
                height = page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollHeight + 150")
                page.set_viewport_size(WIDTHS[width] | {"height": height})
                page.wait_for_timeout(500)
                page.screenshot(path=str(folder / f"lab-{theme}-{width}.png"))
                page.context.close()
        other = Path(scratch) / "other"
        other.mkdir()
        for name, place in (("record", record_page(other)), ("github", bare_page(other))):
            page = browser.new_context(viewport=WIDTHS["laptop"], color_scheme="light").new_page()
            page.goto(place.as_uri())
            page.screenshot(path=str(folder / f"{name}.png"), full_page=True)


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1]))
