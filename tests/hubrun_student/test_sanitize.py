"""What students hand in, as nbgrader's pages show it: text, its looks, pictures, and nothing that runs."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import hostile
from hubrun_student.nbgrader import sanitize

SAFE_TAGS = set(sanitize._TAGS)


class Reader(HTMLParser):
    """What a browser is told to make, as tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


def check(text: str) -> None:
    for tag, attributes in Reader(text).tags:
        assert tag in SAFE_TAGS, tag
        for name, value in attributes.items():
            assert not name.startswith(("on", "data-")) and name not in ("id", "name", "srcdoc"), name
            if name in ("href", "src"):
                scheme = urlsplit("".join(value.split())).scheme.lower()
                pictures = tag == "img" and value.startswith("data:image/")
                assert scheme in ("", "http", "https", "mailto") or pictures, value


@pytest.mark.parametrize("text", hostile.HTML)
def test_no_attempt_is_left_in_html(text: str) -> None:
    check(sanitize.html(text))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*hostile.HTML, "<", ">", '"', "'", "<!--", "-->", "]]>", "<svg>", "</style>", "&lt;", "\0", "x"]
        ),
        max_size=6,
    )
)
def test_no_two_attempts_make_a_third(pieces: list[str]) -> None:
    check(sanitize.html("".join(pieces)))


@pytest.mark.parametrize(
    "text",
    [
        "<p>Because <b>x</b> &lt; <i>y</i>: $a_1$</p>",
        '<a href="https://example.edu/x?a=1&amp;b=2">there</a>',
        '<a href="week1/notes.pdf">notes</a>',
        '<img alt="plot" src="data:image/png;base64,AAAA">',
        '<img alt="plot" src="plot.png" width="300">',
        '<table class="dataframe"><thead><tr style="text-align: right;"><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>',
        '<div class="highlight"><pre><span class="k">def</span> <span class="nf">f</span></pre></div>',
    ],
)  # fmt: skip
def test_what_says_how_text_looks_stays(text: str) -> None:
    assert sanitize.html(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '<p id="test_double">x</p>',
        '<span class="score tabbable">5</span>',
        '<span class="glyphicon glyphicon-ok">5</span>',
        '<p name="base_url">x</p>',
        '<p style="position: fixed; top: 0">x</p>',
    ],
)
def test_nothing_poses_as_a_field_of_the_page(text: str) -> None:
    cleaned = sanitize.html(text)
    assert not any(word in cleaned for word in ("id=", "name=", "class=", "position"))


def strings(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [text for name, value in found.items() for text in [str(name), *strings(value)]]
    if isinstance(found, list):
        return [text for value in found for text in strings(value)]
    return [found] if isinstance(found, str) else []


def test_of_a_notebook_the_pages_get_what_they_show() -> None:
    book = sanitize.notebook(hostile.notebook())
    assert set(book.metadata) <= {"language_info"}
    for cell in book.cells:
        assert set(cell.metadata) <= {"nbgrader"} and "grade_id" not in str(cell.metadata)
        assert "<" not in cell.get("id", "")
        for output in cell.get("outputs", []):
            assert set(output.get("data", {})) <= set(sanitize._SHOWN)
            check(output.get("data", {}).get("text/html", ""))
            assert "push" not in str(output.get("metadata", {}))
        if cell.cell_type == "raw":
            assert "<" not in cell.source


def test_marks_of_nbgrader_stay_where_they_are_right() -> None:
    good, bad = new_markdown_cell("x"), new_markdown_cell("y")
    marks = {"grade_id": "why-1", "grade": True, "solution": True, "points": 5, "comment": None, "x": {"y": 1}}
    good.metadata.nbgrader, bad.metadata.nbgrader = marks, {**marks, "grade_id": 'a"><script>'}
    one, two = sanitize.notebook(new_notebook(cells=[good, bad])).cells
    assert one.metadata.nbgrader == {"grade_id": "why-1", "grade": True, "solution": True, "points": 5}
    assert two.metadata == {}


def test_outputs_keep_their_texts_pictures_and_sizes() -> None:
    picture = new_output(
        "display_data", {"image/png": "AAAA", "text/plain": "<Figure>"}, metadata={"image/png": {"width": 300}}
    )
    cell = new_code_cell("1", outputs=[picture, new_output("stream", name="stdout", text="a\n"), new_output("error", ename="E", evalue="v", traceback=["t"])])  # fmt: skip
    outputs = sanitize.notebook(new_notebook(cells=[cell])).cells[0].outputs
    assert outputs[0].data == picture.data and outputs[0].metadata == picture.metadata
    assert (outputs[1].text, outputs[2].traceback) == ("a\n", ["t"])


def test_a_notebook_that_is_none_is_no_error() -> None:
    """nbformat reads what it can; types are as the student pleases."""
    book = new_notebook(cells=[new_code_cell("1"), new_markdown_cell("x")])
    book.metadata["language_info"] = ["x"]
    book.cells[0].outputs = [
        {"output_type": "display_data", "data": ["x"], "metadata": "y"},
        5,
        {"output_type": "error"},
    ]
    book.cells[1]["attachments"] = {"x.png": "y"}
    book.cells[1].metadata["nbgrader"] = "z"
    outputs = sanitize.notebook(book).cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data", "error"]
