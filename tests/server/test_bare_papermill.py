"""Papermill alone takes a fresh server through the runbooks: nothing of ours is on the command line."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from machines import PROJECT, Machine, Running

pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(900)]

RUNBOOKS = sorted((PROJECT / "runbooks").glob("0[0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def fresh(bare: Machine) -> Machine:
    bare.reset()
    return bare


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_papermill_runs_each_runbook_with_the_params_file(runbook: Path, fresh: Machine, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    papermill = str(PROJECT / ".venv" / "bin" / "papermill")
    source = str(runbook.relative_to(PROJECT))
    ended = Running(papermill, source, str(out), "-f", str(fresh.site), "--no-progress-bar").end(400)
    assert ended.code == 0, ended.tail
    cells = [cell for cell in nbformat.read(out, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells if cell.source)
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert fresh.info["domain"] in str(cells)


def test_afterwards_the_server_needs_nothing_more(fresh: Machine) -> None:
    papermill = str(PROJECT / ".venv" / "bin" / "hubrun")
    ended = Running(papermill, "plan", str(fresh.site)).end(300)
    assert ended.code == 0, ended.tail
