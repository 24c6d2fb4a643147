"""A site out of a params file, a command line or a notebook; what is wrong is said with its file, line and name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hubrun.errors import BadInput
from hubrun.params.site import FORMER, Site

# YAML's tags for what stands before a colon: text, and <<, which takes in another mapping.
_NAMES = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
# So much of a wrong value is shown, in characters.
_EXCERPT = 120


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Site:
    """The site in the YAML file `path`, with `overrides` (name → text, typed by the schema) laid over it.

    Raises BadInput that names the file, the line and the parameter.
    """
    values, lines = read_yaml(path)
    for name in FORMER.keys() & {*values, *(overrides or {})}:
        from hubrun.terminal import echo

        echo(f"note: {path}: {name} is without effect: {FORMER[name]}", err=True)
    typed = {name: _typed(name, text) for name, text in (overrides or {}).items()}
    return build({**values, **typed}, str(path), {name: line for name, line in lines.items() if name not in typed})


def read_yaml(path: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Values and line numbers of a flat YAML file. Raises BadInput for a missing, broken or nested one."""
    path = Path(path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        files = {each.stem: each for folder in (Path("params"), path.parent) for each in folder.glob("*.yaml")}
        near = difflib.get_close_matches(path.stem, files, 1)
        remedy = f"Did you mean {files[near[0]]}?" if near else "`./hubrun new SITE` writes one to fill in"
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise BadInput(f"cannot read the params file: {reason}", str(path), remedy) from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        values = loader.construct_document(node) if keys else {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise BadInput(f"not valid YAML: {getattr(error, 'problem', error)}", where) from None
    if not isinstance(node, yaml.MappingNode):
        raise BadInput("a params file holds lines of the form `name: value`", str(path))
    lines: dict[str, int] = {}
    for key in keys:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in _NAMES:
            raise BadInput("a name must be text", f"{path}, line {key.start_mark.line + 1}")
        if key.value in lines:
            raise BadInput(f"{_shown(key.value)} is given twice", f"{path}, line {key.start_mark.line + 1}")
        lines[key.value] = key.start_mark.line + 1
    return cast(dict[str, Any], values), lines


def build(values: Mapping[str, Any], source: str, lines: Mapping[str, int] | None = None) -> Site:
    """A site from plain values; `source` and `lines` (name → line) say in errors where they came from."""
    try:
        return Site(**values)
    except ValidationError as error:
        problems = [_explain(problem, lines or {}) for problem in error.errors()]
        raise BadInput("; ".join(problems), source, "./hubrun params explains every parameter") from None


def _typed(name: str, text: str) -> Any:
    """`text` from a command line as the schema's type for `name` (YAML syntax for lists)."""
    field = Site.model_fields.get(name)
    if field is None or field.annotation is str or "Literal" in str(field.annotation):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _explain(problem: ErrorDetails, lines: Mapping[str, int]) -> str:
    name = _shown(str(problem["loc"][0])) if problem["loc"] else ""
    within = "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in problem["loc"][1:])
    at = f" (line {lines[name]})" if name in lines else ""
    given = problem.get("input")
    if problem["type"] == "extra_forbidden" and within:
        return f"{name}{within}{at}: there is no such setting"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Site.model_fields, 1)
        return f"unknown parameter {name}{at}" + (f", did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{name}{within} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if not name:
        return message
    if given is None:
        return f"{name}{within}{at} has no value: give it one, or remove the line"
    if problem["type"] == "literal_error" and isinstance(given, bool):
        message += " (YAML makes true and false of yes, no, on and off: in quotes they are words)"
    elif problem["type"] == "literal_error" and not isinstance(given, str):
        message += "; put it in quotes"
    wanted = {
        "string_type": "must be text; put it in quotes",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
        "list_type": "must be a list, such as [a, b]",
        "model_type": "must be a mapping, such as {name: bio}",
    }.get(problem["type"], f"must be {message}" if problem["type"] == "value_error" else message)
    return f"{name}{within}{at} is {_excerpt(given)}: {wanted}"


def _shown(name: str) -> str:
    """A name out of a file, which may be anything, on one line."""
    return name if name.isprintable() and len(name) < _EXCERPT else _excerpt(name)


def _excerpt(given: object) -> str:
    """What was given, on one line, not too long, and without a password that may be in an address."""
    said = re.sub(r"(\w+://|[\w.+-]*:)[^\s'\"]*@", r"\1…@", repr(given))
    return said if len(said) < _EXCERPT else f"{said[:_EXCERPT]}…"
