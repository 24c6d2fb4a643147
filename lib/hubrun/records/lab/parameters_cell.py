"""A site's values, written into the parameters cell of a runbook's copy. Pure."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any


def filled(source: str, values: Mapping[str, Any]) -> str:
    """The `source` of a parameters cell that sets each of `values`: in its own line, whose help stays, or else at the end.

    A second cell, as papermill puts behind the first, would silently win over what a person changes in the first.
    """
    content = source.encode()  # ast counts columns in bytes
    begins = [0]
    for line in content.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))
    places: dict[str, tuple[int, int]] = {}
    for node in ast.parse(source).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        for target in targets:
            if isinstance(target, ast.Name) and value and target.id in values:
                end = begins[(value.end_lineno or value.lineno) - 1] + (value.end_col_offset or 0)
                places[target.id] = begins[value.lineno - 1] + value.col_offset, end
    for name, (start, end) in sorted(places.items(), key=lambda each: each[1], reverse=True):
        content = content[:start] + _literal(values[name]).encode() + content[end:]
    further = [f"{name} = {_literal(value)}" for name, value in values.items() if name not in places]
    return "\n".join([content.decode(), *further])


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
