"""The cell of a notebook that runs now, as the program that shows the notebook told the kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A cell that runs. id: the notebook's own for it; empty where nobody shows the notebook, and a program runs it.

    source: its text. run: differs each time that it is run.
    """

    id: str = ""
    source: str = ""
    run: str = ""


def current_cell() -> Cell:
    """The cell that runs now; all empty outside a notebook.

    JupyterLab, Notebook and VS Code send the id with each cell (metadata.cellId); nbclient and papermill do not.
    """
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return Cell()
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return Cell()
    request = shell.get_parent()
    return Cell(
        str(request.get("metadata", {}).get("cellId", "")),
        str(request.get("content", {}).get("code", "")),
        str(request.get("header", {}).get("msg_id", "")),
    )
