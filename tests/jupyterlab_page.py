"""JupyterLab in a browser, as a person uses it: by keyboard and by its menus."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

SECONDS = 120_000  # in ms: the machine may have much else to do


@contextmanager
def chromium(flags: Sequence[str]) -> Iterator[Browser]:
    """A Chromium without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "there is no Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(flags))
        yield browser
        browser.close()


def open_runbook(page: Page, address: str) -> None:
    """Open a runbook, and wait until its kernel is ready."""
    page.goto(address)
    # JupyterLab opens the tabs of before first: what is visible then is another runbook.
    name = address.partition("/lab/tree/")[2].partition("?")[0]
    page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab.lm-mod-current", has_text=name).wait_for(timeout=SECONDS)
    page.locator(".jp-Notebook:visible .jp-CodeCell").first.wait_for(timeout=SECONDS)
    page.locator(".jp-NotebookPanel:visible .jp-KernelName", has_text="Python 3").wait_for(timeout=SECONDS)
    # Without a kernel JupyterLab would ask for one; the indicator in the notebook's toolbar is idle before there is any.
    page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for(timeout=SECONDS)


def menu(page: Page, *names: str) -> None:
    """Choose an entry of a menu."""
    page.locator("#jp-MainMenu .lm-MenuBar-itemLabel").get_by_text(names[0], exact=True).click()
    for name in names[1:]:
        page.locator(".lm-Menu .lm-Menu-itemLabel").get_by_text(name, exact=True).last.click()


def first_cell(page: Page) -> None:
    """Begin at the first cell, as Shift+Enter counts."""
    page.locator(".jp-Notebook:visible .jp-Cell").first.click()
    page.keyboard.press("Escape")


def shut_down(page: Page) -> None:
    """End the session from JupyterLab's menu."""
    menu(page, "File", "Shut Down")
    page.locator(".jp-Dialog-button.jp-mod-warn, .jp-Dialog-button.jp-mod-accept").last.click()
