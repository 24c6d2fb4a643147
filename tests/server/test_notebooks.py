"""The runbooks cell by cell, in a Jupyter of one's own, with a site's values in their parameters cells."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from machines import PROJECT, Machine
from pytest_notebook.nb_regression import NBRegressionFixture

from hubrun import params
from hubrun.records.lab.notebook_copy import NotebookCopy

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

RUNBOOKS = sorted((PROJECT / "runbooks").glob("0[0-9]_*.ipynb"))


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_runs_in_jupyter_and_keeps_its_text(runbook: Path, machine: Machine, tmp_path: Path) -> None:
    values = params.load(machine.site).given()
    copy = NotebookCopy(runbook, tmp_path / runbook.name, values)
    nbformat.write(copy.nb, copy.file)
    fixture = NBRegressionFixture(
        exec_cwd=str(runbook.parent),
        exec_timeout=240,
        # what a run brings; the cells themselves must stay as they are
        diff_ignore=("/cells/*/outputs", "/cells/*/execution_count", "/cells/*/metadata", "/metadata"),
    )
    before = copy.file.read_bytes()
    result = fixture.check(str(copy.file))
    assert result.process_resources is not None
    executed = [cell for cell in result.nb_final.cells if cell.cell_type == "code" and cell.source]
    assert executed and all(cell.execution_count for cell in executed)
    text = str([output for cell in executed for output in cell.outputs])
    assert machine.info["domain"] in text
    assert copy.file.read_bytes() == before
