"""A run: small runbooks through papermill with our engine, what is told while they run, and what is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hubrun.display import MIME
from hubrun.errors import BadInput
from hubrun.notebook import SITE_FILE
from hubrun.params import Site
from hubrun.record import run as record
from hubrun.record.run import Part, Run, execute, new_run, runbooks
from hubrun.record.steps import Listener, Step, report, titles
from hubrun.secret import Secret

SITE = Site(site="biology", domain="hub.example.edu", swap_mb=0)
SHOW = "from IPython.display import display\n"


def shown(**data: Any) -> str:
    """A cell that shows what `server.ensure` or `server.check` show, for machines and for people."""
    return f"display({ {MIME: data, 'text/plain': 'card'}!r}, raw=True)"


def changed(name: str, status: str) -> str:
    return shown(results=[{"resource": name, "status": status}])


def book(folder: Path, name: str, *steps: tuple[str, Sequence[str]]) -> Path:
    """A runbook with a parameters cell and these steps: title, cells."""
    parameters = new_code_cell('site = ""\ndomain = ""\nswap_mb = 1\ncheck = False', metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell(f"# {name}"), parameters]
    for title, sources in steps:
        cells += [new_markdown_cell(f"## {title}\n\nWhy."), *(new_code_cell(source) for source in sources)]
    path = folder / f"{name}.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@dataclass
class Ear:
    """Keeps what a listener is told."""

    started: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    ended: list[Step] = field(default_factory=list)

    def listen(self, part: Part) -> Listener:
        return Listener(lambda step: self.started.append(step.title), self.lines.append, self.ended.append)


@dataclass
class Done:
    run: Run
    ear: Ear
    manifest: dict[str, Any]


PASSWORD = "hunter2-and-a-half"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of three runbooks, the second of which fails."""
    folder = tmp_path_factory.mktemp("books")
    Secret(PASSWORD, "sudo_password")
    books = [
        book(
            folder, "01_one",
            ("Target", ["import os\nprint(site, domain, swap_mb, check, os.environ.get('HUBRUN_SITE'))"]),
            ("Packages", [SHOW + "display({'text/plain': 'install nginx (2 s): Unpacking'}, raw=True)\n" + changed("packages", "ok"), changed("file", "changed")]),
            ("Check", [SHOW + shown(checks=[{"check": "nginx answers", "ok": True}])]),
        ),
        book(folder, "02_two", ("Fine", ["pass"]), ("Breaks", ["'still ' + 'runs'", f"raise ValueError('no {PASSWORD}')"]), ("Never", ["1 / 0"])),
        book(folder, "03_three", ("Not reached", ["pass"])),
    ]  # fmt: skip
    run, ear = new_run(SITE, "install", folder / "records"), Ear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SITE_FILE, "/other/site.yaml")  # a run is about its own site, whatever a lab session says
        execute(run, books, ear.listen)
    return Done(run, ear, json.loads((run.folder / "manifest.json").read_text()))


def test_steps_are_told_as_they_begin_and_end_with_what_came_of_them(done: Done) -> None:
    assert done.ear.started == ["01_one", "Target", "Packages", "Check", "02_two", "Fine", "Breaks"]
    assert [(step.title, step.status) for step in done.ear.ended] == [
        ("01_one", "ok"), ("Target", "ok"), ("Packages", "changed"), ("Check", "ok"), ("02_two", "ok"), ("Fine", "ok"), ("Breaks", "failed"),
    ]  # fmt: skip
    assert all(step.seconds > 0 for step in done.ear.ended)
    assert "install nginx (2 s): Unpacking" in done.ear.lines and "card" not in done.ear.lines


def test_a_failure_stops_the_run_and_the_later_runbooks_do_not_begin(done: Done) -> None:
    assert [(part.name, part.status) for part in done.run.parts] == [("01_one", "changed"), ("02_two", "failed")]
    assert done.run.status == "failed"
    assert sorted(path.name for path in done.run.folder.iterdir()) == ["01_one.ipynb", "02_two.ipynb", "manifest.json"]


def test_the_manifest_says_what_happened(done: Done) -> None:
    manifest = done.manifest
    assert {name: manifest[name] for name in ("version", "run", "site", "mode", "status")} == {
        "version": 1, "run": done.run.folder.name, "site": "biology", "mode": "install", "status": "failed",
    }  # fmt: skip
    assert manifest["parameters"] == {"site": "biology", "domain": "hub.example.edu", "swap_mb": 0}
    assert manifest["seconds"] > 0 and manifest["started"].endswith("+00:00")
    first, second = manifest["runbooks"]
    assert [step["title"] for step in first["steps"]] == ["01_one", "Target", "Packages", "Check"]
    assert [result["resource"] for result in first["steps"][2]["results"]] == ["packages", "file"]
    assert first["steps"][3]["checks"] == [{"check": "nginx answers", "ok": True}]
    assert second["error"] == "ValueError: no <sudo_password>"
    for part in manifest["runbooks"]:
        executed = done.run.folder / f"{part['name']}.ipynb"
        assert part["sha256"] == hashlib.sha256(executed.read_bytes()).hexdigest()


def test_a_secret_that_this_process_knows_is_not_in_the_manifest(done: Done) -> None:
    assert PASSWORD not in (done.run.folder / "manifest.json").read_text()


def test_the_executed_runbook_got_the_sites_values_and_shows_where_it_stopped(done: Done) -> None:
    first = nbformat.read(done.run.folder / "01_one.ipynb", as_version=4)
    said = next(
        output.text for cell in first.cells for output in cell.get("outputs", []) if output.output_type == "stream"
    )
    assert said == "biology hub.example.edu 0 False None\n"
    second = nbformat.read(done.run.folder / "02_two.ipynb", as_version=4)
    ran = [cell.source for cell in second.cells if cell.cell_type == "code" and cell.execution_count is not None]
    assert "1 / 0" not in ran and "'still ' + 'runs'" in ran


def test_a_kernel_that_dies_is_a_failed_step_and_check_mode_reaches_the_runbook(tmp_path: Path) -> None:
    run, ear = new_run(SITE, "check", tmp_path), Ear()
    path = book(
        tmp_path,
        "01_dies",
        ("Looks", [SHOW + "assert check is True\n" + changed("file", "would change")]),
        ("Dies", ["import os\nos._exit(9)"]),
    )
    execute(run, [path], ear.listen)
    assert [(step.title, step.status) for step in ear.ended][1:2] == [("Looks", "would change")]
    assert run.status == "failed" and "kernel" in run.parts[0].error.lower()
    assert json.loads((run.folder / "manifest.json").read_text())["runbooks"][0]["status"] == "failed"


def test_an_interrupted_run_is_kept_as_interrupted_and_the_interrupt_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "_execute_one", interrupt)
    run = new_run(SITE, "install", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(run, [tmp_path / "01_a.ipynb", tmp_path / "02_b.ipynb"], Ear().listen)
    kept = json.loads((run.folder / "manifest.json").read_text())
    assert (kept["status"], [part["name"] for part in kept["runbooks"]]) == ("interrupted", ["01_a"])


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], "ok"),
        (["ok", "ok"], "ok"),
        (["ok", "changed", "ok"], "changed"),
        (["would change", "ok"], "would change"),
        (["changed", "failed"], "failed"),
        (["changed", "interrupted"], "interrupted"),
    ],
)
def test_a_runs_status_is_the_one_that_matters_most(statuses: list[str], status: str) -> None:
    assert Run(SITE, "install", Path("x"), [Part("p", each) for each in statuses]).status == status


def test_each_run_has_a_folder_of_its_own_below_its_site(tmp_path: Path) -> None:
    first, second = (new_run(SITE, "install", tmp_path).folder for _ in range(2))
    assert first != second and first.parent == second.parent == tmp_path / "biology"
    assert json.loads((first / "manifest.json").read_text())["status"] == "ok"
    assert [path.name for path in first.iterdir()] == ["manifest.json"]


def test_a_record_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"the record cannot be written: Not a directory\. .*--records"):
        new_run(SITE, "install", tmp_path / "file")


def test_runbooks_are_run_in_order_from_the_one_that_is_named() -> None:
    every = [path.stem[:2] for path in runbooks()]
    assert every == ["01", "02", "03", "04", "05", "06"]
    assert [path.stem[:2] for path in runbooks(first="03")] == ["03", "04", "05", "06"]
    assert [path.stem for path in runbooks(only="04_docker")] == ["04_docker_spawner"]
    with pytest.raises(BadInput, match="--from: there is no runbook 07. There are 01_server, 02_hub_lti"):
        runbooks(first="07")
    with pytest.raises(BadInput, match="--only: there is no runbook hub"):
        runbooks(only="hub")


def test_a_cell_belongs_to_the_heading_above_it() -> None:
    cells = [
        new_code_cell(""),
        new_markdown_cell("# One\ntext"),
        new_code_cell(""),
        new_markdown_cell("no heading"),
        new_markdown_cell("### Three "),
    ]
    assert titles(new_notebook(cells=cells)) == ["", "One", "One", "One", "Three"]


def test_a_failed_cell_fails_its_step_for_good() -> None:
    step = Step("s")
    report(step, new_code_cell(outputs=[new_output("error", ename="E", evalue="", traceback=[])]))
    report(step, new_code_cell(outputs=[new_output("display_data", {MIME: {"results": [{"status": "changed"}]}})]))
    assert (step.status, len(step.results)) == ("failed", 1)
