"""The two forms of a runbook: the notebook, which is run, and its .py twin, which is easy to edit. Both say the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubrun import atomic_write, private_state
from hubrun.errors import BadInput

# Of each pair that was compared and found equal, a digest: jupytext takes most of a second to import and to read.
_COMPARED = "twins.json"


def check(notebooks: Sequence[Path]) -> None:
    """Raise BadInput for a notebook that differs from its twin, or where one of the two cannot be read.

    A notebook without a twin is taken as it is.
    """
    compared = _compared()
    new: dict[str, str] = {}
    for notebook in notebooks:
        twin = notebook.with_suffix(".py")
        if not twin.exists():
            continue
        contents = [_read(path) for path in (notebook, twin)]
        digest = hashlib.sha256("\0".join(contents).encode()).hexdigest()
        if compared.get(str(notebook)) != digest:
            _compare(notebook, twin, *contents)
            new[str(notebook)] = digest
    if new:
        kept = {path: digest for path, digest in (compared | new).items() if Path(path).exists()}
        with contextlib.suppress(OSError):  # they are compared again then
            atomic_write.write(private_state.folder() / _COMPARED, json.dumps(kept, indent=1).encode(), 0o600)


def _compared() -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(private_state.read(private_state.folder() / _COMPARED))
        return found if isinstance(found, dict) else {}
    return {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise BadInput(
            f"cannot be read: {reason}", _shown(path), f"git diff {_shown(path)} shows what was changed"
        ) from None


def _compare(notebook: Path, twin: Path, content: str, twin_content: str) -> None:
    import jupytext
    import nbformat

    try:
        cells = nbformat.reads(content, as_version=4).cells
    except Exception:  # nbformat's own errors have no class in common
        what = "is not a notebook that can be read"
        raise BadInput(what, _shown(notebook), f"git diff {_shown(notebook)} shows what was changed") from None
    place = difference(cells, jupytext.reads(twin_content, fmt="py:percent").cells)
    if place:
        raise BadInput(
            f"differs from its twin {twin.name} in {place}",
            _shown(notebook),
            f"If the .py is right: .venv/bin/jupytext --update --to ipynb {_shown(twin)}; "
            f"if the notebook is right: .venv/bin/jupytext --to py:percent {_shown(notebook)}",
        )


def difference(notebook: Sequence[Any], twin: Sequence[Any]) -> str:
    """The first place where the cells of a notebook and those of its twin differ, such as "cell 7 (Swap)"; "" for none."""
    mine, its = (
        [(cell.cell_type, cell.metadata.get("tags", []), cell.source) for cell in cells] for cells in (notebook, twin)
    )
    if mine == its:
        return ""
    same = zip(mine, its, strict=False)
    index = next((i for i, (one, other) in enumerate(same) if one != other), min(len(mine), len(its)))
    headings = [
        found[1]
        for kind, _, source in mine[: index + 1]
        if kind == "markdown" and (found := re.match(r"#+ +(.+)", source))
    ]
    return f"cell {index + 1}" + (f" ({headings[-1]})" if headings else "")


def _shown(path: Path) -> str:
    """The path as it is named from the project's folder."""
    return f"{path.parent.name}/{path.name}"
