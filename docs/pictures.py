"""Makes the pictures of the documentation again, from the program: `.venv/bin/python docs/pictures.py [NAME...]`.

It needs Chromium, and `launch-pages` a practice server, as tests/server do. pngquant, a Debian package, makes them small.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from hubrun.environment import PROJECT

sys.path += [str(PROJECT / "tests"), str(PROJECT / "tests" / "server"), str(PROJECT / "tests" / "desired")]

from machines import CHROMIUM_FLAGS
from test_cards_browser import THEMES, running_browser, running_lab

from record_site import make_site

FOLDER = PROJECT / "docs" / "pictures"


def records(folder: Path) -> None:
    """The pages of records: `records-index.png`, `records-run.png`."""
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        draw_records(opened, folder)
        opened.close()


def draw_records(browser: Browser, folder: Path) -> None:
    """The same, of a made-up history, in a browser that is open."""
    with tempfile.TemporaryDirectory() as history:
        site = make_site(Path(history))
        page = browser.new_page(viewport={"width": 1100, "height": 860}, color_scheme="light")
        for name, place in (("records-index", "index"), ("records-run", "resumed run")):
            page.goto(site.places[place].as_uri())
            page.screenshot(path=str(folder / f"{name}.png"))
        page.close()


def launch_pages(folder: Path) -> None:
    """The pages for launches that are refused, on one sheet: `launch-pages.png`. The test of these pages takes it."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/server/test_launch_browser.py"]
    subprocess.run(command, cwd=PROJECT, env=os.environ | {"HUBRUN_PICTURES": str(folder)}, check=True)


def grades(folder: Path) -> None:
    """What would be sent of an assignment: `grades.png`. The test of that page takes it."""
    test = "tests/hubrun_hub/lti/test_staff_pages_browser.py::test_a_double_click_on_send_sends_once_and_says_so"
    with tempfile.TemporaryDirectory() as taken:
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", test]
        subprocess.run(command, cwd=PROJECT, env=os.environ | {"HUBRUN_PICTURES": taken}, check=True)
        shutil.copy(Path(taken) / "staff-grades-by-hand.png", folder / "grades.png")


def jupyterlab(folder: Path) -> None:
    """Cards of each kind in JupyterLab: `jupyterlab-light.png`, `jupyterlab-dark.png`."""
    with tempfile.TemporaryDirectory() as name, running_lab(Path(name)) as lab, running_browser() as opened:
        for theme in THEMES:
            page = lab.open(opened, "made.ipynb", theme, "laptop")
            page.screenshot(path=str(folder / f"jupyterlab-{theme}.png"))
            page.context.close()


PICTURES = {"grades": grades, "jupyterlab": jupyterlab, "launch-pages": launch_pages, "records": records}


def main(names: list[str]) -> None:
    """Make the pictures with these names, all of them without a name. Ends with 2 for a name that there is not."""
    if unknown := set(names) - PICTURES.keys():
        print(f"there is no {', '.join(unknown)}; there are {', '.join(PICTURES)}", file=sys.stderr)
        sys.exit(2)
    for name in names or PICTURES:
        PICTURES[name](FOLDER)
    if shrink := shutil.which("pngquant"):
        subprocess.run([shrink, "--force", "--ext", ".png", "32", *map(str, FOLDER.glob("*.png"))], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
