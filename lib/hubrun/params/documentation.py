"""The schema as people read it: YAML with comments, a notebook's parameters cell, a table. All made from `Site`."""

from __future__ import annotations

import textwrap
from typing import Any, cast, get_origin

import yaml
from pydantic.fields import FieldInfo

from hubrun.params.site import Site, fields

GROUPS = {
    "site": "The site", "ssh_host": "SSH", "record_signing_key": "The record of a run", "ca_certificates": "01 server", "lti_lms": "02 hub and LTI", "subdomains": "03 HTTPS",
    "docker_channel": "04 Docker and DockerSpawner", "canvas_tool_name": "05 Canvas",
    "alerts_to": "17 watch",
}  # fmt: skip
# A site that could be somebody's, for the parameters that have no default.
EXAMPLE = {"site": "example", "domain": "hub.example.edu"}


def kind(field: FieldInfo) -> str:
    """The parameter's type in the words of a notebook's annotation: str, int, float, bool or list."""
    annotation = cast(Any, field.annotation)
    if get_origin(annotation) is list:
        return "list"
    return annotation.__name__ if annotation in (str, int, float, bool) else "str"


def default(field: FieldInfo) -> Any:
    """A parameter's default; "" for one that must be given."""
    return "" if field.is_required() else field.default


def cell(runbook: str) -> str:
    """The parameters cell of a runbook ("03"): each parameter it uses with type, default and help."""
    lines = [
        f"{name}: {kind(field)} = {_literal(default(field))}  # {field.description}" for name, field in fields(runbook)
    ]
    return "\n".join([*lines, "check: bool = False  # True: show what would change and touch nothing"])


def example() -> str:
    """params/example.yaml: every parameter with its help; those with a default are commented out."""
    lines = [
        "# Every parameter of a site. Copy this file, fill in the first lines, and uncomment what you want otherwise.",
        "# `./hubrun plan params/YOURS.yaml` shows what would be done; `./hubrun install params/YOURS.yaml` does it.",
    ]
    for name, field in Site.model_fields.items():
        if name in GROUPS:
            lines += ["", f"# ---- {GROUPS[name]}"]
        lines += textwrap.wrap(str(field.description), 110, initial_indent="# ", subsequent_indent="# ")
        value = EXAMPLE.get(name, default(field))
        text = yaml.safe_dump({name: value}, default_flow_style=False, width=1000).strip()
        lines.append(text if field.is_required() else f"#{text}")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Every parameter as a Markdown table."""
    rows = ["| parameter | default | used by | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Site.model_fields.items():
        used = cast(dict[str, Any], field.json_schema_extra)["runbooks"]
        value = (
            "*required*"
            if field.is_required()
            else f"`{yaml.safe_dump(field.default, default_flow_style=True).splitlines()[0]}`"
        )
        rows.append(f"| `{name}` | {value} | {used} | {field.description} |")
    return "\n".join(rows) + "\n"


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
