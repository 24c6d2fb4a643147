"""What a run imports, and when: the seconds of a run with nothing to do are imports, and they come back one by one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_core.utils import run_sync

from hubrun.records.run.kernels import SharedKernel

# Each is a tenth of a second or more, or brings such ones.
NEVER = {
    "numpy", "pandas.core", "pyarrow", "isoduration", "arrow", "rfc3987_syntax", "uri_template", "jupytext", "matplotlib",
    "hubrun.lms.launch_page", "hubrun.canvas_api.canvas", "hubrun.practice.practice_server", "hubrun.cli.capacity",
}  # fmt: skip
NOT_IN_THE_RUNNER = {"paramiko", "fabric", "invoke", "jinja2", "httpx", "scrapbook", "hubrun.desired.server"}
# Before these, the kernel is started.
LATER = {"pydantic", "yaml", "nbformat", "jsonschema", "papermill", "nbclient", "requests", "cryptography"}
_SHOW = "import json, sys; print(json.dumps([name for name, module in sys.modules.items() if module]))"


def imported(code: str) -> set[str]:
    """The modules that a new process has imported after this code, which prints them."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_kernel_starts_before_what_the_runner_needs_is_imported(tmp_path: Path) -> None:
    code = f"""
from hubrun.records.run import kernels

def take(kernel, *_):
    {_SHOW}
    raise SystemExit

kernels.SharedKernel.take = take
import sys
sys.argv = ["hubrun", "install", {str(tmp_path / "site.yaml")!r}]
from hubrun.cli.main import main
main()
"""
    found = imported(code)
    assert not (NEVER | NOT_IN_THE_RUNNER | LATER) & found
    ours = {name for name in found if name.startswith("hubrun.")}
    assert len(ours) <= 24, sorted(ours)
    assert len(found) <= 470


def test_the_runner_imports_neither_ssh_nor_what_runbooks_need() -> None:
    code = f"import hubrun.cli.one_site, papermill, hubrun.records.run.papermill_engine\n{_SHOW}"
    found = imported(code)
    assert not (NEVER | NOT_IN_THE_RUNNER) & found
    assert len(found) <= 930


@pytest.mark.slow
def test_the_kernel_of_a_run_imports_no_tables_and_no_debugger() -> None:
    said: list[str] = []
    with SharedKernel() as kernel:
        code = f"import scrapbook\n{_SHOW}"
        run_sync(kernel.client().execute_interactive)(
            code, output_hook=lambda message: said.append(message["content"].get("text", ""))
        )
    found = set(json.loads("".join(said)))
    assert "paramiko" in found, "what runbooks need is there"
    assert not (NEVER | {"debugpy"}) & found
    assert len(found) <= 1150


def test_a_module_that_was_put_off_is_there_when_it_is_used() -> None:
    code = """
import importlib.util, sys, hubrun
assert importlib.util.find_spec("pandas") and "pandas.core" not in sys.modules
import pandas as tables
assert "pandas.core" not in sys.modules
assert not hasattr(tables, "__file__") and "pandas.core" not in sys.modules
print(tables.DataFrame({"a": [1, 2]}).sum().a)
import pandas.api
from pandas import Series
assert sys.modules["pandas"] is not tables and tables.Series is Series
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"
