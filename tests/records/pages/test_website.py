"""The records as pages: what they say, what they must not do, and when they are made again."""

from __future__ import annotations

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import five_runs
from hubrun.desired.cards import MIME, Card, Row
from hubrun.errors import BadInput
from hubrun.records.ledger.history import Run
from hubrun.records.ledger.manifest import Manifest, RunbookRecord, Tick
from hubrun.records.ledger.report import Finding, Report
from hubrun.records.ledger.ticks import ticks
from hubrun.records.pages import notebook_page
from hubrun.records.pages.website import write_site

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """What a page holds: its tags with attributes, its text, and where its links lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.tags, self.text = path, [], ""  # type: ignore[var-annotated]
        self.feed(path.read_text())
        self.said = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += "" if tag in ("span", "b", "a", "code", "strong", "time") else " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[Path]:
        hrefs = [found.get("href", "") for tag, found in self.tags if tag == "a"]
        return [(self.path.parent / href.partition("#")[0]).resolve() for href in hrefs if href and "://" not in href]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = tmp_path_factory.mktemp("records")
    five_runs.write(records)
    five_runs.Writer(records, "chemistry").run(breaks=("03_https", "Certificate", "error", five_runs.REASON))
    return write_site(records, {"biology": Report(runs=5, files=31, signed=5, unsigned=1)})


def run_page(made: Path, number: int, site: str = "biology") -> Page:
    return Page(sorted((made.parent / site).glob("2*"))[number] / "index.html")


def every(made: Path) -> list[Page]:
    return [Page(path) for path in sorted(made.parent.rglob("*.html"))]


def test_a_checklist_is_shown_with_its_ticks() -> None:
    box = '<input class="task-list-item-checkbox" disabled="disabled" type="checkbox"{}>'
    assert (
        notebook_page.cleaned_html(f"<li>{box.format('')}open</li><li>{box.format(' checked')}done</li>")
        == "<li>☐ open</li><li>☑ done</li>"
    )
    assert "<input" not in notebook_page.cleaned_html('<input type="text">')


def test_there_is_a_page_for_each_site_run_and_notebook_and_all_links_lead_somewhere(made: Path) -> None:
    pages = every(made)
    assert len(pages) == 1 + 2 + 6 + 5 * 6 + 1 + 3
    for page in pages:
        assert all(link.is_file() for link in page.links()), page.path
    reached, waiting = set(), [made.resolve()]
    while waiting:
        here = waiting.pop()
        if here not in reached:
            reached.add(here)
            waiting += Page(here).links()
    assert reached == {page.path.resolve() for page in pages}


def test_no_page_has_a_script_or_takes_anything_from_elsewhere(made: Path) -> None:
    for page in every(made):
        assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & {tag for tag, _ in page.tags}
        policy = [found["content"] for tag, found in page.tags if found.get("http-equiv") == "Content-Security-Policy"]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
        assert not re.search(r"url\(|@import|https?://(?!hub\.)", page.path.read_text()), page.path


def test_the_index_shows_first_what_failed_and_why(made: Path) -> None:
    page = Page(made)
    sites = [found["href"] for tag, found in page.tags if tag == "a" and (found["href"] or "").count("/") == 1]
    assert sites == ["chemistry/index.html", "biology/index.html"]
    assert page.said.index(five_runs.REASON) < page.said.index("biology")
    assert "failed in 03_https › Certificate error" in page.said
    assert "Verified: 5 runs, 31 files, 5 signed, 1 not signed" in page.said and "Not verified" in page.said


def test_a_site_has_its_runs_newest_first(made: Path) -> None:
    page = Page(made.parent / "biology" / "index.html")
    names = re.findall(r"\d{8}T\d{6}Z-[0-9a-f]{6}", page.said)
    assert names == sorted(names, reverse=True) and len(names) == 5


def test_a_failed_run_begins_with_the_reason(made: Path) -> None:
    page = run_page(made, 0, "chemistry")
    assert page.said.index(five_runs.REASON) < page.said.index("Server hub")
    assert "Port 443 – not run" in page.said


def test_a_resumed_run_shows_its_first_attempt_with_its_notebook(made: Path) -> None:
    page = run_page(made, 2)
    assert "Attempt 1 ✕ failed in 03_https › Certificate error " + five_runs.REASON in page.said
    assert "LTI_CLIENT_SECRET 2 ×" in page.said
    earlier = page.path.parent / "attempt-1" / "03_https.html"
    assert earlier.resolve() in page.links()
    assert "03_https, attempt 1 ✕ failed" in Page(earlier).said


def test_a_run_shows_each_change_folded_with_its_diff_and_what_packages_changed(made: Path) -> None:
    page = run_page(made, 0)
    source = page.path.read_text()
    assert source.count('<details class="change">') == 16
    assert '<span class="added">+    client_max_body_size 100m;</span>' in source
    assert "8 of 10 packages changed" in page.said and "deb nginx not there 1.22.1-9+deb12u2" in page.said
    assert "upload_limit_mb 100" in page.said
    assert '<time datetime="2026-09-14T08:12:09+00:00"' in source


def test_the_findings_of_a_run_are_on_its_page_and_others_are_counted(tmp_path: Path) -> None:
    five_runs.write(tmp_path)
    names = sorted(path.name for path in (tmp_path / "biology").glob("2*"))
    report = Report(
        runs=5,
        files=31,
        signed=6,
        findings=[Finding(f"biology/{names[1]}/02_hub_lti.ipynb", "was changed", "Find out by whom")],
    )
    made = write_site(tmp_path, {"biology": report})
    assert "Verification failed: this run is not as it was recorded" in run_page(made, 1).said
    assert f"biology/{names[1]}/02_hub_lti.ipynb was changed. Find out by whom" in run_page(made, 1).said
    other = run_page(made, 0).said
    assert "elsewhere in the records of biology there is a fault" in other and "was changed" not in other
    assert f"{names[1]}/02_hub_lti.ipynb was changed" in Page(made).said


def test_a_notebook_page_has_the_status_of_each_cell_and_the_reason(made: Path) -> None:
    page = run_page(made, 0, "chemistry")
    book = Page(page.path.parent / "03_https.html")
    assert "✓ ok" not in book.said and "● changed 5.3 s [1]" in book.said
    assert f"✕ failed 1 min 02 s [2] error {five_runs.REASON}" in book.said
    assert "– not run" in book.said
    assert '<span class="ansi-red-fg">CommandFailed</span>' in book.path.read_text()


EVIL = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<b onclick='x()' style='position:fixed' class='status ok' id='steps'>bold</b><a href='javascript:x()'>link</a>"
    "<iframe src='https://evil.example'></iframe><style>body{display:none}</style><svg onload=x()></svg>"
)


@pytest.mark.parametrize("beside", [{}, {MIME: {"results": []}}])
def test_what_an_output_holds_can_do_nothing_even_beside_our_own_mime_type(
    tmp_path: Path, beside: dict[str, object]
) -> None:
    cell = new_code_cell("1", outputs=[
        new_output("display_data", {"text/html": EVIL, "text/plain": "x"} | beside),
        new_output("display_data", {"application/javascript": "document.title='owned'", "text/plain": "plain"}),
        new_output("display_data", {"text/markdown": EVIL}),
        new_output("stream", text=EVIL),
        new_output("error", ename="E", evalue=EVIL, traceback=[EVIL]),
        new_output("display_data", {"image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>"}),
        new_output("display_data", {"image/png": 'x"onerror="x()'}),
    ])  # fmt: skip
    cell.metadata["hubrun"] = {"status": "failed", "cause": EVIL, "reason": EVIL, "started": EVIL, "ended": EVIL}
    nbformat.write(new_notebook(cells=[new_markdown_cell(EVIL), cell]), tmp_path / "evil.ipynb")
    (tmp_path / "evil.html").write_text(notebook_page.body(tmp_path / "evil.ipynb"))
    page = Page(tmp_path / "evil.html")
    tags = {tag for tag, _ in page.tags}
    assert not {"script", "iframe", "style", "svg"} & tags
    for tag, found in page.tags:
        assert not [name for name in found if name.startswith("on")], (tag, found)
        assert "javascript" not in (found.get("href") or "")
        assert tag != "img" or str(found["src"]).startswith("data:")
        assert tag != "b" or not found
    assert "document.title = 'owned'" in page.text and "plain" in page.text


def test_a_card_keeps_its_folds_its_statuses_and_its_headings() -> None:
    card = Card("title", [Row("failed", "file /a", log="the log")])._repr_mimebundle_()["text/html"]
    cleaned = notebook_page.cleaned_html(card)
    assert '<td><span class="status failed">' in cleaned and "style" not in cleaned
    assert "<caption><b>title</b></caption>" in cleaned and '<th scope="row">file /a</th>' in cleaned
    assert "<details><summary>log<span> of file /a</span></summary><pre>the log</pre></details>" in cleaned


def test_a_checklist_says_who_ticked_what(tmp_path: Path) -> None:
    listed = new_markdown_cell("## By hand\n\n- [x] Publish <b>it</b>\n- [ ] Open it")
    nb = ticks(None, new_notebook(cells=[listed]), "anna", "2026-11-26T12:00:00+00:00")
    nbformat.write(nb, tmp_path / "a.ipynb")
    body = notebook_page.body(tmp_path / "a.ipynb")
    assert "☑ Publish" in body and "☐ Open it" in body
    assert "☑ Publish &lt;b&gt;it&lt;/b&gt;: anna, 26 Nov 2026" in body


def test_what_a_person_ticked_is_on_the_runs_page(tmp_path: Path) -> None:
    record = five_runs.Writer(tmp_path).run()
    folder = tmp_path / record.site / record.run
    record.runbooks[-1].steps[-1].ticked = [Tick(item="Publish <i>it</i>", by="anna", at="2026-11-26T12:00:00+00:00")]
    (folder / "manifest.json").write_bytes(Manifest(predicate=record).encoded())
    write_site(tmp_path, {})
    page = Page(tmp_path / ".html" / record.site / record.run / "index.html")
    assert "Publish <i>it</i>: anna, 26 Nov 2026" in page.said and "1 ticked" in page.said


def test_glued_facts_are_shown(tmp_path: Path) -> None:
    glued = new_output("display_data", {"application/scrapbook.scrap.json+json": {"name": "verified", "data": True}}, metadata={"scrapbook": {"name": "verified"}})  # fmt: skip
    nbformat.write(new_notebook(cells=[new_code_cell("1", outputs=[glued])]), tmp_path / "a.ipynb")
    assert "<summary>glued: verified</summary><pre>true</pre>" in notebook_page.body(tmp_path / "a.ipynb")


def test_a_parameter_or_reason_cannot_write_html(tmp_path: Path) -> None:
    evil = five_runs.PARAMETERS | {"domain": EVIL}
    five_runs.Writer(tmp_path).run(parameters=evil, breaks=("03_https", "Certificate", "error", EVIL))
    for page in every(write_site(tmp_path, {"biology": Report(findings=[Finding(EVIL, EVIL)])})):
        assert not [found for tag, found in page.tags if tag in ("script", "iframe", "img")], page.path


def test_only_notebooks_that_are_newer_than_their_page_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    five_runs.Writer(tmp_path).run(does={})
    asked: list[str] = []
    monkeypatch.setattr(notebook_page, "body", lambda path: asked.append(path.name) or "")
    write_site(tmp_path, {})
    assert len(asked) == 6
    asked.clear()
    index = write_site(tmp_path, {})
    assert asked == [] and index.is_file()
    later = next((tmp_path / "biology").glob("2*")) / "02_hub_lti.ipynb"
    page = index.parent / "biology" / later.parent.name / "02_hub_lti.html"
    os.utime(later, (page.stat().st_mtime + 5,) * 2)
    write_site(tmp_path, {})
    assert asked == ["02_hub_lti.ipynb"]


def test_pages_of_a_run_and_a_site_that_are_gone_are_removed(tmp_path: Path) -> None:
    five_runs.write(tmp_path)
    five_runs.Writer(tmp_path, "chemistry").run(does={})
    index = write_site(tmp_path, {})
    gone = sorted((tmp_path / "biology").glob("2*"))[0]
    shutil.rmtree(gone)
    shutil.rmtree(tmp_path / "chemistry")
    write_site(tmp_path, {})
    assert not (index.parent / "biology" / gone.name).exists() and not (index.parent / "chemistry").exists()
    assert "chemistry" not in index.read_text()
    second = Page(
        index.parent / "biology" / sorted(path.name for path in (tmp_path / "biology").glob("2*"))[0] / "index.html"
    )
    assert f"Before it {gone.name}" in second.said


def test_a_run_and_a_notebook_that_cannot_be_read_have_pages_that_say_so(tmp_path: Path) -> None:
    five_runs.write(tmp_path)
    first, second, *_ = sorted((tmp_path / "biology").glob("2*"))
    (first / "manifest.json").write_text("{")
    (second / "01_server.ipynb").write_text("{")
    (second / "02_hub_lti.ipynb").unlink()
    made = write_site(tmp_path, {})
    assert "is not a manifest of hubrun" in run_page(made, 0).said
    assert f"{first.name} ✕ cannot be read" in Page(made).said
    assert "The notebook cannot be shown" in Page(run_page(made, 1).path.parent / "01_server.html").said
    assert all(link.is_file() for link in run_page(made, 1).links())


def test_a_manifest_cannot_make_us_show_a_file_from_elsewhere(tmp_path: Path) -> None:
    record = five_runs.Writer(tmp_path / "records").run(does={})
    nbformat.write(new_notebook(cells=[new_markdown_cell("private")]), tmp_path / "private.ipynb")
    run = Run(tmp_path / "records" / "biology" / record.run)
    (run.folder / "link.ipynb").symlink_to(tmp_path / "private.ipynb")
    record.runbooks += [RunbookRecord(name="x", file="../../../private.ipynb"), RunbookRecord(name="y", file=str(tmp_path / "private.ipynb")), RunbookRecord(name="z", file="link.ipynb")]  # fmt: skip
    (run.folder / "manifest.json").write_bytes(Manifest(predicate=record).encoded())
    made = write_site(tmp_path / "records", {})
    assert "private" not in "".join(page.path.read_text() for page in every(made))


def test_records_that_are_not_there_or_cannot_be_written_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there are no records"):
        write_site(tmp_path / "none", {})
    five_runs.Writer(tmp_path).run(does={})
    (tmp_path / ".html").write_text("in the way")
    with pytest.raises(BadInput, match="the pages cannot be written: .*Copy the records"):
        write_site(tmp_path, {})
