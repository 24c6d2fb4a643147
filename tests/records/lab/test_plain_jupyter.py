"""The runbooks in a Jupyter of one's own, without `./hubrun lab`: the parameters cell says which site they are about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from pytest_notebook.nb_regression import NBRegressionFixture

from books import book
from hubrun.records.lab.parameters_cell import filled
from sshd import Sshd, serve

pytestmark = pytest.mark.slow

CONNECTS = "from hubrun import Server, site_from\nsite = site_from(globals())\nserver = Server.connect(site)\nserver"
ASKS = "from hubrun import Test\nserver.check(Test('it answers', 'echo here', prints='^here$'))"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with serve(tmp_path) as server:
        yield server


def executed(path: Path) -> list[nbformat.NotebookNode]:
    """The code cells as a Jupyter that knows nothing of hubrun executes them."""
    fixture = NBRegressionFixture(exec_cwd=str(path.parent), exec_timeout=120, diff_ignore=("/cells", "/metadata"))
    before = path.read_bytes()
    nb = fixture.check(str(path)).nb_final
    assert path.read_bytes() == before
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def test_a_runbook_whose_cell_names_the_site_runs(tmp_path: Path, sshd: Sshd) -> None:
    path = book(tmp_path, "01_one", ("Target", [CONNECTS, ASKS]))
    nb = nbformat.read(path, as_version=4)
    nb.cells[1].source = filled(nb.cells[1].source, sshd.parameters())
    nbformat.write(nb, path)
    _, target, check = executed(path)
    assert "here: https://hub.example.edu" in target.outputs[-1].data["text/plain"]
    assert "no runbook was run" in target.outputs[-1].data["text/plain"] or "run on this server" in target.outputs[-1].data["text/plain"]  # fmt: skip
    assert "it answers" in check.outputs[-1].data["text/plain"]


def test_a_runbook_whose_cell_is_empty_says_what_is_missing(tmp_path: Path) -> None:
    path = book(tmp_path, "01_one", ("Target", [f"try:\n    {CONNECTS.splitlines()[0]}\n    site_from(globals())\nexcept Exception as error:\n    print(error)"]))  # fmt: skip
    _, target = executed(path)
    assert "parameters: site is missing; domain is missing" in target.outputs[-1].text
