"""The runbooks cell by cell, as a person steps through them in `./hubrun lab params/SITE.yaml`."""

from __future__ import annotations

from pathlib import Path

import pytest
from machines import PROJECT, Machine
from pytest_notebook.nb_regression import NBRegressionFixture

from hubrun.environment import SITE_FILE

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

RUNBOOKS = sorted((PROJECT / "runbooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_runs_in_jupyterlab_and_keeps_its_text(
    runbook: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SITE_FILE, str(machine.site))
    fixture = NBRegressionFixture(
        exec_cwd=str(runbook.parent),
        exec_timeout=240,
        # what a run brings; the cells themselves must stay as they are
        diff_ignore=("/cells/*/outputs", "/cells/*/execution_count", "/cells/*/metadata", "/metadata"),
    )
    before = runbook.read_bytes()
    result = fixture.check(str(runbook))
    assert result.process_resources is not None
    executed = [cell for cell in result.nb_final.cells if cell.cell_type == "code" and cell.source]
    assert executed and all(cell.execution_count for cell in executed)
    # site_from took the site from the file: the empty values of the parameters cell name no server.
    text = str([output for cell in executed for output in cell.outputs])
    assert machine.info["domain"] in text
    assert runbook.read_bytes() == before
