"""A submission that tries to run a script in the browser of whoever looks at it, in every way that we know of."""

from __future__ import annotations

from typing import Any

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

# What each attempt does where it succeeds: the page's window then has a list of their numbers.
_RUN = "(window.top.ran=window.top.ran||[]).push({number})"
HTML = (
    "<script>{run}</script>",
    '<img src="no-such" onerror="{run}">',
    '<svg onload="{run}"><circle r="9"/></svg>',
    '<svg><script>{run}</script></svg>',
    '<svg><a xlink:href="javascript:{run}"><text y="20" class="follow">svg</text></a></svg>',
    '<details open ontoggle="{run}"><summary>x</summary></details>',
    '<input autofocus onfocus="{run}">',
    '<a class="follow" href="javascript:{run}">plain</a>',
    '<a class="follow" href=" java&#115;cript:{run}">entity</a>',
    '<a class="follow" href="java&Tab;script&colon;{run}">tab</a>',
    '<a class="follow" href="files/javascript:{run}">prefix</a>',
    '<a class="follow" href="data:text/html,<script>{run}</script>">data</a>',
    '<iframe srcdoc="<script>{run}</script>"></iframe>',
    '<iframe src="javascript:{run}"></iframe>',
    '<object data="data:text/html,<script>{run}</script>"></object>',
    '<form action="javascript:{run}"><button class="follow">form</button></form>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={run}&gt;">',
    '<noscript><p title="</noscript><img src=x onerror={run}>">',
    '<div data-toggle="tooltip" data-html="true" title="<img src=x onerror={run}>" class="follow">tip</div>',
    '<base href="https://evil.invalid/"><meta http-equiv="refresh" content="0;url=javascript:{run}">',
    '<style>@import "https://evil.invalid/x.css";</style><link rel="stylesheet" href="https://evil.invalid/x.css">',
)  # fmt: skip
# Of Markdown, before it is HTML.
MARKDOWN = (
    "[link](javascript:{run})",
    "[link](<javascript:{run}>)",
    "[ref]\n\n[ref]: javascript:{run}",
    "![x](x\"onerror=\"{run})",
    "<javascript:{run}>",
    "$\\href{{javascript:{run}}}{{click}}$ $</script><script>{run}</script>$",
    "```html\n<script>{run}</script>\n```",
    "```\"><img src=x onerror={run}>\nx\n```",
    "```mermaid\ngraph LR; A-->B; click A \"javascript:{run}\"\n```",
    "# Title <img src=x onerror={run}>",
)  # fmt: skip


class _Numbers:
    def __init__(self) -> None:
        self.last = 0

    def fill(self, text: str) -> str:
        self.last += 1
        return text.format(run=_RUN.format(number=self.last))


def spoil(book: Any) -> int:
    """Add every attempt to the cells of a notebook (nbformat 4); return how many there are."""
    numbers = _Numbers()
    fill = numbers.fill
    for text in (*HTML, *MARKDOWN):
        book.cells.append(new_markdown_cell(fill(text)))
    for text in HTML:
        book.cells.append(code(new_output("display_data", {"text/html": fill(text), "text/plain": "x"})))
        book.cells.append(code(new_output("display_data", {"text/markdown": fill(text)})))
        book.cells.append(new_raw_cell(fill(text)))
    script, run = fill("<script>{run}</script>"), fill("{run}")
    image = fill('"><img src=x onerror="{run}">')
    for output in (
        new_output("display_data", {"application/javascript": run}),
        new_output("display_data", {"text/vnd.mermaid": script}),
        new_output("display_data", {"text/latex": script}),
        new_output("display_data", {"text/plain": script}),
        new_output("display_data", {"image/svg+xml": f'<svg xmlns="http://www.w3.org/2000/svg" onload="{run}">{script}</svg>'}),
        new_output("display_data", {"image/png": image}),
        new_output("display_data", {"image/png": "AAAA"}, metadata={"image/png": {"width": image, "alt": image, "unconfined": True}}),
        new_output("display_data", {"text/html": script}, metadata={"text/html": {"isolated": True}}),
        new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": script}}),
        new_output("stream", name="stdout", text=script),
        new_output("error", ename=script, evalue=script, traceback=[script, f"\x1b[31m{image}\x1b[0m"]),
    ):  # fmt: skip
        book.cells.append(code(output))
    attached = new_markdown_cell("![x](attachment:x.png)")
    attached["attachments"] = {"x.png": {image: "AAAA", "image/png": image}}
    named = code(new_output("stream", name="stdout", text="x"))
    named["metadata"] = {
        "tags": [image], "name": image, "deletable": False,
        "nbgrader": {"grade_id": image, "solution": True, "grade": True, "points": 1, "comment": image, "schema_version": 3, "locked": False, "task": False, "cell_type": "code"},
    }  # fmt: skip
    book.cells += [attached, named]
    book.metadata["title"] = image
    book.metadata["language_info"] = {"name": image, "pygments_lexer": image}
    book.metadata["widgets"] = {
        "application/vnd.jupyter.widget-state+json": {"state": {"x": script}, "version_major": 1, "x": image}
    }
    return numbers.last


def code(output: Any) -> Any:
    """A cell with this output, which makes the same again when it is run (autograding does)."""
    source = "1"
    if output.output_type == "display_data":
        source = f"from IPython.display import display\ndisplay({dict(output.data)!r}, raw=True, metadata={dict(output.metadata)!r})"
    elif output.output_type == "stream":
        source = f"print({output.text!r})"
    elif output.output_type == "error":
        source = f"raise ValueError({output.evalue!r})"
    return new_code_cell(source, outputs=[output])


def notebook() -> Any:
    """A notebook of these attempts alone, and of one that nbformat itself refuses to read."""
    book = new_notebook()
    spoil(book)
    book.cells[-1]["id"] = '"><img src=x onerror="alert(1)">'
    return book


# A file handed in beside the notebook.
PAGE = "<!doctype html><h1>mine</h1><script>document.body.append('ran'); document.title = 'ran'</script>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>document.documentElement.setAttribute("data-ran", "1")</script></svg>'
