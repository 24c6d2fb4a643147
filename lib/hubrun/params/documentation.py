"""The schema as people read it: YAML with comments, a notebook's parameters cell, a table. All made from `Site`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_origin

import yaml
from pydantic.fields import FieldInfo

from hubrun.control_characters import in_one_line
from hubrun.params.site import Site, fields

GROUPS = {
    "site": "The site", "ssh_host": "SSH", "record_signing_key": "The record of a run", "ca_certificates": "01 server", "lti_lms": "02 hub and LTI", "subdomains": "03 HTTPS",
    "docker_channel": "04 Docker and DockerSpawner", "nodes": "Nodes", "canvas_tool_name": "05 Canvas",
    "backup_to": "10 backup and 11 restore", "restart_idle_minutes": "12 image", "rotate": "14 rotate",
    "remove_person": "15 remove", "uninstall_confirm": "16 uninstall", "alerts_to": "17 watch",
}  # fmt: skip
# A site that could be somebody's, for the parameters that have no default.
EXAMPLE = {"site": "example", "domain": "hub.example.edu"}


# Parameters of a run, and not of the site (hubrun.runbook).
_OF_THE_RUN = (
    "check: bool = False  # True: show what would change and touch nothing",
    "plan_first: bool = False  # True: each step shows its plan, and does it when you run its cell once more",
)


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
    return "\n".join([*lines, *_OF_THE_RUN])


def example() -> str:
    """params/example.yaml: every parameter with its help; those with a default are commented out."""
    head = [
        "Every parameter of a site, with its default. `./hubrun new SITE` writes such a file for a site of yours.",
        "`./hubrun plan params/SITE.yaml` shows what would be done; `./hubrun install params/SITE.yaml` does it.",
    ]
    return params_file(head, EXAMPLE)


def params_file(
    head: Sequence[str],
    values: Mapping[str, Any],
    proposed: Mapping[str, Any] = {},
    notes: Mapping[str, Sequence[str]] = {},
) -> str:
    """A params file with comments: every parameter with its help, in groups, below the lines of `head`.

    values: those that are set. proposed: values that stand there commented out, as defaults do. notes: lines by parameter,
    below its help. A parameter without a default that is not in `values` is left empty, which the schema refuses.
    """
    lines = [f"# {line}" for line in head]
    for name, field in Site.model_fields.items():
        if name in GROUPS:
            lines += ["", f"# ---- {GROUPS[name]}"]
        for text in (str(field.description), *notes.get(name, ())):
            lines += textwrap.wrap(in_one_line(text), 110, initial_indent="# ", subsequent_indent="# ")
        if name in values:
            lines.append(_yaml(name, values[name]))
        elif field.is_required():
            lines.append(f"{name}:")
        else:
            lines.append(f"#{_yaml(name, proposed.get(name, field.default))}")
    return "\n".join(lines) + "\n"


def _yaml(name: str, value: Any) -> str:
    return yaml.safe_dump({name: value}, default_flow_style=False, width=1000).strip()


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
