"""The site of the documentation: built without a warning, and whole by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import doc_pages
from doc_pages import DOCS
from hubrun.environment import PROJECT

pytestmark = pytest.mark.slow

# What a browser fetches by itself; a link is followed by a person.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Fetched(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in FETCHED and values.get("rel") != "canonical":
            self.urls.append(values.get(FETCHED[tag]) or "")


def build(config: Path, to: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(to)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("site")
    done = build(PROJECT / "mkdocs.yml", to)
    assert done.returncode == 0 and "WARNING -" not in done.stderr, done.stderr
    return to


def test_every_page_is_built(site: Path) -> None:
    wanted = {path.relative_to(DOCS).with_suffix(".html") for path in doc_pages.pages() if path.parent != PROJECT}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert built == wanted | {Path("404.html")}


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Fetched()
        page.feed(path.read_text())
        assert page.urls
        for url in page.urls:
            assert "//" not in url, f"{path}: {url}"
            # That of a page that is not found has addresses from the top of a web server.
            folder = site if path.name == "404.html" else path.parent
            assert (folder / url.partition("?")[0].lstrip("/")).resolve().exists(), f"{path}: {url}"
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text() and "@import" not in path.read_text(), path


def test_nothing_but_pages_is_published(site: Path) -> None:
    assert not [path for path in site.rglob("*") if path.suffix in {".py", ".pyc", ".md"}]


def test_a_link_into_nowhere_ends_the_build(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    with (tmp_path / "docs/index.md").open("a") as page:
        page.write("\n[away](tutorial.md#nowhere)\n")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1 and "nowhere" in done.stderr
