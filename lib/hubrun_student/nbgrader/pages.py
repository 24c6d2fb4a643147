"""nbgrader's pages without scripts of students: formgrader's for teachers, and the feedback that students get.

`clean` takes them out of what was handed in. Beside that, each page says to the browser that only scripts with a number,
new for each answer, run in it (Content Security Policy Level 3, 6.6.2.3 and `strict-dynamic`); and submitted files come
into a sandbox, where none run. So what one of the two lets through is stopped by the other.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc"
from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from copy import deepcopy
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, pass_context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import strip_files_prefix
from nbgrader.server_extensions.formgrader import handlers
from traitlets import default
from traitlets.config import Config

from . import sanitize

TEMPLATES = Path(__file__).parent / "templates"
_THEIRS = str(handlers.template_path)

_SCRIPTS = "script-src 'nonce-{nonce}' 'strict-dynamic'; object-src 'none'; base-uri 'none'"
# Shown in a tab of JupyterLab, which is a frame. MathJax (fonts and parts of itself) comes from its usual place.
PAGE = (
    "default-src 'self'; " + _SCRIPTS + "; style-src 'self' 'unsafe-inline' https:; font-src 'self' data: https:; "
    "img-src 'self' data: https:; form-action 'self'; frame-ancestors 'self'"
)
FEEDBACK = (
    "default-src 'none'; " + _SCRIPTS + "; style-src 'unsafe-inline' https:; font-src data: https:; "
    "img-src data: https:; form-action 'none'"
)
# No scripts, and an origin of its own (HTML Standard, 7.6).
FILE = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"


class CleanExporter(HTMLExporter):
    """nbconvert's, of what `clean` leaves, with our templates before nbgrader's."""

    own_template = ""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        # nbgrader configures all exporters to its own template; paths are found while this one is made.
        ours = Config()
        ours.HTMLExporter.extra_template_basedirs = [str(TEMPLATES), _THEIRS]
        ours.HTMLExporter.template_name = self.own_template
        ours.HTMLExporter.sanitize_html = True
        mixed = deepcopy(config)
        mixed.merge(ours)
        super().__init__(config=mixed, **kwargs)

    @default("template_paths")
    def _template_paths(self, *args: Any, **kwargs: Any) -> list[str]:
        return [str(TEMPLATES / "shared"), *super()._template_paths(*args, **kwargs), _THEIRS]

    def default_filters(self) -> Iterator[tuple[str, Any]]:
        yield from super().default_filters()
        yield "clean_html", sanitize.html
        # It is done before the cleaning: of "files/javascript:…" it leaves what is after the slash.
        yield "strip_files_prefix", lambda text: text
        yield "own_scripts", own_scripts

    @pass_context
    def markdown2html(self, context: Any, source: str) -> Any:
        return sanitize.html(strip_files_prefix(super().markdown2html(context, source)))

    def from_notebook_node(self, nb: Any, resources: Any = None, **kwargs: Any) -> Any:
        resources = dict(resources or {})
        resources.setdefault("nonce", secrets.token_urlsafe(16))
        return super().from_notebook_node(sanitize.notebook(nb), resources, **kwargs)


class FormgradePage(CleanExporter):
    """A submission, with the fields for scores and comments."""

    own_template = "hubrun-formgrade"

    def from_notebook_node(self, nb: Any, resources: Any = None, **kwargs: Any) -> Any:
        # nbgrader's template puts names into the page as they are; `as_is` is for those of ours, which do not.
        given = dict(resources or {})
        safe = {name: escape(each) if isinstance(each, str) else each for name, each in given.items()}
        return super().from_notebook_node(nb, safe | {"as_is": given}, **kwargs)


class FeedbackPage(CleanExporter):
    """A graded submission, as its student gets it back: a file, which carries its policy with it."""

    own_template = "hubrun-feedback"

    def _preprocess(self, nb: Any, resources: Any) -> Any:
        nb, resources = super()._preprocess(nb, resources)
        names = resources.get("nbgrader", {})
        if "notebook" in names:
            names["notebook"] = escape(names["notebook"])
        return nb, resources


def own_scripts(head: str, nonce: str) -> str:
    """The head of nbgrader's template for feedback, whose scripts may run, with the policy as its first line."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{FEEDBACK.format(nonce=nonce)}">'
    return head.replace("<script", f'<script nonce="{nonce}"').replace("<head>", f"<head>\n{policy}", 1)


class Guarded:
    """Comes before one of formgrader's handlers: what its page may do, and a number for its own scripts."""

    settings: dict[str, Any]

    @property
    def nonce(self) -> str:
        if not hasattr(self, "_nonce"):
            self._nonce = secrets.token_urlsafe(16)
        return self._nonce

    @property
    def content_security_policy(self) -> str:
        return PAGE.format(nonce=self.nonce)

    def set_default_headers(self: Any) -> None:
        super().set_default_headers()
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("X-Content-Type-Options", "nosniff")

    def render(self: Any, name: str, **values: Any) -> Any:
        return super().render(name, nonce=self.nonce, **values)

    @property
    def exporter(self) -> Any:
        return _WithNonce(self.settings["nbgrader_exporter"], self.nonce)


class GuardedFiles(Guarded):
    """Comes before the handler of submitted files."""

    @property
    def content_security_policy(self) -> str:
        return FILE

    def set_extra_headers(self: Any, path: str) -> None:
        super().set_extra_headers(path)
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        if path.lower().endswith(".pdf"):
            # Chromium shows none in a sandbox.
            self.set_header("Content-Disposition", "attachment")


class _WithNonce:
    def __init__(self, exporter: FormgradePage, nonce: str) -> None:
        self._exporter, self._nonce = exporter, nonce

    def from_filename(self, filename: str, resources: dict[str, Any]) -> Any:
        return self._exporter.from_filename(filename, resources=resources | {"nonce": self._nonce})


def guard(handler: Any) -> Any:
    """The class that comes before this handler."""
    return GuardedFiles if issubclass(handler, handlers.SubmissionFilesHandler) else Guarded


_ON_CLICK = re.compile(r'(<(a|button)\b[^>]*?) onclick="(\w+\(\));?"([^>]*>.*?</\2>)', re.IGNORECASE)
_LISTEN = r'\1\4<script>$(document.currentScript.previousElementSibling).on("click", function () { \3; });</script>'


# Whose pages these are: of nbgrader's base.tpl.
_HEADING, _TITLE = "<h1>nbgrader</h1>", "<title>nbgrader formgrade</title>"


class _Loader(FileSystemLoader):
    """nbgrader's own templates of lists and forms, with a number at each script, names as JSON in scripts, and no onclick."""

    def get_source(self, environment: Environment, template: str) -> Any:
        text, *rest = super().get_source(environment, template)
        text = re.sub(r'= "{{ (\w+) }}";', r"= {{ \1 | tojson }};", text)
        text = _ON_CLICK.sub(_LISTEN, text)
        if template == "base.tpl":
            assert _HEADING in text and _TITLE in text, "formgrader's pages are no longer what they were"
            text = text.replace(_HEADING, f"{_HEADING}<p><strong>{{{{ course_name }}}}</strong></p>")
            text = text.replace(_TITLE, "<title>{{ course_name }}: formgrader</title>")
        return text.replace("<script", '<script nonce="{{ nonce }}"'), *rest


def environment(course_name: str) -> Environment:
    """jinja2's for nbgrader's lists and forms: names of courses, students and assignments are text in them."""
    made = Environment(loader=_Loader([TEMPLATES / "shared", _THEIRS]), autoescape=True)
    made.globals["course_name"] = course_name
    return made
