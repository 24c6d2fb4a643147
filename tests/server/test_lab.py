"""A session of `./hubrun lab` on a fresh server: 01 cell by cell, the others by Run All, in JupyterLab itself."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from conftest import server
from machines import CHROMIUM_FLAGS, PROJECT, Machine, hubrun

from books import code, forms, marks, until
from hubrun import server_paths
from hubrun.records.ledger.steps import is_code
from jupyterlab_page import chromium, first_cell, menu, open_runbook, shut_down
from lab import Lab

pytestmark = [pytest.mark.server, pytest.mark.only_long, pytest.mark.timeout(1800)]

PLANTED = "vK7-uQz'4 pLm9"
RUNBOOKS = sorted((PROJECT / "runbooks").glob("0[0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def fresh() -> Iterator[Machine]:
    yield from server("lab")


@contextmanager
def watched(folders: list[Path], secrets: list[str]) -> Iterator[None]:
    """Look for the secrets in every file, again and again; further ones may be added meanwhile."""
    found: list[str] = []
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.5):
            for path in [path for folder in folders for path in folder.rglob("*")]:
                try:
                    content = path.read_bytes() if path.is_file() else b""
                except OSError:
                    continue  # it was replaced meanwhile, and is looked at again
                found.extend(str(path) for secret in secrets if any(form in content for form in forms(secret)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
    assert found == []


def git_status() -> str:
    return subprocess.run(["git", "status", "--porcelain"], cwd=PROJECT, capture_output=True, text=True).stdout


def test_a_server_is_set_up_in_jupyterlab_and_that_is_the_record(fresh: Machine, tmp_path: Path) -> None:
    before, secrets = git_status(), [PLANTED]
    # Somebody else has port 80: the preflight of 01 says so, and goes on when that is repaired.
    fresh.run("systemd-run --unit stranger systemd-socket-activate -l 80 /bin/cat")
    with tempfile.TemporaryDirectory(prefix="t") as temporary, chromium(CHROMIUM_FLAGS) as browser:
        environment = {**os.environ, "TMPDIR": temporary, "PLANTED_TOKEN": PLANTED}
        command = [PROJECT / "hubrun", "lab", fresh.site]
        with (
            watched([tmp_path, Path(temporary)], secrets),
            closing(Lab(tmp_path / "records", fresh.name, command, **environment)) as lab,
        ):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            open_runbook(page, lab.login)
            first_cell(page)
            cells = lab.nb("01_server").cells
            preflight = next(index for index, cell in enumerate(cells) if "preflight(" in cell.source)
            for index in range(preflight + 1):
                page.keyboard.press("Shift+Enter")
                done(lab, "01_server", index)
            assert code(lab.nb("01_server"))[1].metadata.hubrun.status == "failed"
            fresh.run("systemctl stop stranger")
            page.keyboard.press("ArrowUp")
            for index in range(preflight, len(cells)):
                page.keyboard.press("Shift+Enter")
                done(lab, "01_server", index)
            for runbook in RUNBOOKS[1:]:
                open_runbook(page, lab.login.replace("01_server", runbook.stem))
                menu(page, "Run", "Run All Cells")
                until(lambda name=runbook.stem: not left(lab, name), 600)  # type: ignore[misc]
                failed = [mark for mark in marks(lab.nb(runbook.stem)) if mark[0] in ("failed", "interrupted")]
                assert failed == [], runbook.stem
                if runbook.stem == "02_hub_lti":
                    text = fresh.secret(server_paths.LTI_ENV)
                    secrets.extend(line.partition("=")[2] for line in text.splitlines() if "SECRET=" in line)
                    assert len(secrets) > 1
            shut_down(page)
            assert lab.process.wait(60) == 0, lab.log.read_text()
        record = lab.record()
        assert (record.mode, record.status, record.cause) == ("interactive", "changed", "")
        assert [book.name for book in record.runbooks if book.status in ("ok", "changed")] == [path.stem for path in RUNBOOKS]  # fmt: skip
        (again,) = [step for step in record.runbooks[0].steps if step.title == "Preflight"]
        assert [run.status for run in again.runs] == ["failed", "ok"]
        assert "80" in again.runs[0].reason
        targets = [str(code(lab.nb(path.stem))[0].outputs) for path in RUNBOOKS[:2]]
        assert "begin with 01_server" in targets[0]
        assert "run on this server: 01_server. Not yet: 02_hub_lti" in targets[1]
        assert hubrun("records", "verify", "--records", tmp_path / "records").code == 0
        shown = hubrun("records", "show", "--records", tmp_path / "records").output
        assert "Preflight, cell 1 (time 2)" in shown
        assert git_status() == before
        assert hubrun("plan", fresh.site, "--records", tmp_path / "records").code == 0


def done(lab: Lab, name: str, index: int) -> None:
    """Wait until the cell in this place has ended, if the kernel gets it."""
    if is_code(lab.nb(name).cells[index]):
        until(lambda: lab.nb(name).cells[index].metadata.hubrun.status not in ("not run", "running"), 300)


def left(lab: Lab, name: str) -> list[tuple[str, str]]:
    """The cells of a runbook that are still to end; none behind a failure."""
    every = marks(lab.nb(name))
    ends = any(mark[0] in ("failed", "interrupted") for mark in every)
    return [] if ends else [mark for mark in every if mark[0] in ("not run", "running")]
