"""A session of `./hubrun lab`: what is run in it is its record, whatever becomes of browser, kernel and command."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell

from books import SITE, book, code, marks, printed, result, until
from lab import Lab, Tab, opened
from sshd import serve

pytestmark = pytest.mark.slow

REPAIRED = "import pathlib\nassert pathlib.Path({!r}).exists(), 'not yet'"


@pytest.fixture
def books(tmp_path: Path) -> list[Path]:
    return [
        book(
            tmp_path, "01_one",
            ("Target", ["print(site, domain, swap_mb, min_disk_gb)"]),
            ("Packages", [result("packages", "changed"), "'second'"]),
            ("Breaks", [REPAIRED.format(str(tmp_path / "there"))]),
            ("Goes on", ["import time\nprint('begun', flush=True)\ntime.sleep(60)"]),
        ),
        book(tmp_path, "02_two", ("Fine", ["2"]), ("Later", ["3"])),
        book(tmp_path, "03_three", ("Never", ["pass"])),
    ]  # fmt: skip


@pytest.fixture
def lab(books: list[Path], tmp_path: Path) -> Iterator[Lab]:
    site = SITE.given() | {"min_disk_gb": 12}
    with opened(tmp_path / "records", books, site) as lab:
        yield lab


def test_what_is_run_is_the_record(lab: Lab, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.glob("*.ipynb")}
    one, two = Tab(lab, "01_one"), Tab(lab, "02_two")
    parameters = one.cell("site =")
    assert parameters.source.startswith('site = "biology"\ndomain = "hub.example.edu"\nswap_mb = 0\ncheck = False')
    assert one.run(parameters, one.cell("print"), one.cell("from IPython"), one.cell("'second'")) == "ok"
    assert one.run(one.cell("import pathlib"), one.cell("import time")) == "aborted"
    until(lambda: marks(lab.nb("01_one"))[-2:] == [("failed", "error"), ("not run", "")])
    assert two.run(two.cell("3")) == "ok"
    (tmp_path / "there").touch()
    assert one.run(one.cell("import pathlib")) == "ok"
    assert lab.stop() == 0, lab.log.read_text()
    assert before == {path: path.read_bytes() for path in tmp_path.glob("*.ipynb")}
    assert printed(code(lab.nb("01_one"))[0]) == "biology hub.example.edu 0 12\n"
    assert marks(lab.nb("01_one")) == [("ok", ""), ("changed", ""), ("ok", ""), ("ok", ""), ("not run", "")]
    record = lab.record()
    assert (record.mode, record.status, record.cause) == ("interactive", "changed", "")
    first, second, third = record.runbooks
    assert [(step.title, step.status, [(run.cell, run.status) for run in step.runs]) for step in first.steps] == [
        ("01_one", "ok", [(1, "ok")]), ("Target", "ok", [(1, "ok")]),
        ("Packages", "changed", [(1, "changed"), (2, "ok")]),
        ("Breaks", "ok", [(1, "failed"), (1, "ok")]), ("Goes on", "not run", []),
    ]  # fmt: skip
    assert first.steps[3].runs[0].reason == "AssertionError: not yet"
    assert [(step.title, step.status) for step in second.steps] == [("02_two", "not run"), ("Fine", "not run"), ("Later", "ok")]  # fmt: skip
    assert (third.status, third.file) == ("not run", "")
    assert first.started < second.started < first.ended
    assert lab.sound()


def test_the_lab_is_open_to_nobody_else_and_writes_nothing_but_copies(lab: Lab) -> None:
    assert lab.token not in lab.log.read_text()
    assert lab.token not in Path(f"/proc/{lab.process.pid}/cmdline").read_text()
    assert lab.http.get("/api/contents", headers={"Authorization": ""}).status_code == 403
    listed = [each["path"] for each in lab.http.get("/api/contents").json()["content"]]
    assert listed == ["01_one.ipynb", "02_two.ipynb", "03_three.ipynb"]
    nb = lab.get("01_one")
    assert lab.put("other", nb).status_code == 403
    assert lab.http.post("/api/contents", json={"type": "notebook"}).status_code == 403
    assert (
        lab.http.put("/api/contents/a.txt", json={"type": "file", "format": "text", "content": "a"}).status_code == 403
    )
    assert lab.http.delete("/api/contents/01_one.ipynb").status_code == 403
    assert lab.http.patch("/api/contents/01_one.ipynb", json={"path": "other.ipynb"}).status_code == 403
    assert lab.http.post("/api/terminals", json={}).status_code == 404
    assert lab.http.post("/api/kernels", json={"name": "python3"}).status_code == 403
    assert lab.http.post("/api/contents/01_one.ipynb/checkpoints").status_code == 201
    names = ["01_one.ipynb", "02_two.ipynb", "03_three.ipynb", "manifest.json"]
    assert sorted(path.name for path in lab.folder.iterdir()) == names


def test_a_browser_that_is_gone_changes_nothing(lab: Lab) -> None:
    tab = Tab(lab, "01_one")
    tab.send(tab.cell("site ="), tab.cell("print"), new_code_cell("print('new')", id="unsaved"), tab.cell("'second'"))
    until(lambda: marks(lab.nb("01_one"))[0][0] != "not run")
    tab.socket.shutdown()
    until(lambda: any("'second'" in str(cell.outputs) for cell in code(lab.nb("01_one"))))
    again = Tab(lab, "01_one")
    assert printed(again.cell("print('new')")) == "new\n"
    again.nb.cells = [cell for cell in again.nb.cells if "'second'" not in cell.source]
    again.cell("print(site").source = "print('a draft')"
    again.cell("print('a draft')").outputs = []
    assert lab.put("01_one", again.nb).status_code == 200
    assert [cell.source for cell in code(lab.nb("01_one"))][:4] == [
        "print(site, domain, swap_mb, min_disk_gb)", "print('new')", code(lab.nb("01_one"))[2].source, "'second'",
    ]  # fmt: skip
    assert Tab(lab, "01_one").cell("print('a draft')").outputs


def test_a_kernel_that_dies_interrupts_its_cell_alone(lab: Lab) -> None:
    one, two = Tab(lab, "01_one"), Tab(lab, "02_two")
    one.send(new_code_cell("import os\nos.kill(os.getpid(), 9)", id="kills"), one.cell("'second'"))
    until(lambda: ("interrupted", "kernel died") in marks(lab.nb("01_one")))
    assert two.run(two.cell("2")) == "ok"
    assert lab.stop() == 1
    assert (lab.record().status, lab.record().cause) == ("interrupted", "kernel died")
    assert lab.sound()


@pytest.mark.parametrize(
    ("number", "cause", "exit_code"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 1), (signal.SIGHUP, "SIGHUP", 1)],
)
def test_a_signal_interrupts_what_runs_and_ends_everything(lab: Lab, number: int, cause: str, exit_code: int) -> None:
    tab = Tab(lab, "01_one")
    pid = tab_pid(tab)
    tab.send(tab.cell("import time"))
    until(lambda: any("begun" in printed(cell) for cell in code(lab.nb("01_one"))))
    assert lab.stop(number) == exit_code, lab.log.read_text()
    record = lab.record()
    assert (record.status, record.cause) == ("interrupted", cause)
    (slept,) = [cell for cell in code(lab.nb("01_one")) if cell.source.startswith("import time")]
    assert slept.outputs[-1].ename == "KeyboardInterrupt"
    assert not alive(pid)
    assert lab.sound()


def test_two_signals_end_it_at_once_and_the_record_is_closed(lab: Lab) -> None:
    tab = Tab(lab, "01_one")
    pid = tab_pid(tab)
    deaf = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun', flush=True)\ntime.sleep(90)"
    )
    tab.send(new_code_cell(deaf, id="deaf"))
    until(lambda: any("begun" in printed(cell) for cell in code(lab.nb("01_one"))))
    lab.process.send_signal(signal.SIGTERM)
    until(lambda: bool(lab.process.poll() is None), 1)
    assert lab.stop(signal.SIGTERM) == 1
    assert (lab.record().status, lab.record().cause) == ("interrupted", "SIGTERM")
    until(lambda: not alive(pid))
    assert lab.sound()


def test_a_session_that_is_killed_is_closed_by_the_next_run_and_its_kernels_are_gone(lab: Lab) -> None:
    tab = Tab(lab, "01_one")
    pid = tab_pid(tab)
    tab.send(tab.cell("site ="), tab.cell("print"), tab.cell("import time"), tab.cell("'second'"))
    until(lambda: any("begun" in printed(cell) for cell in code(lab.nb("01_one"))))
    lab.stop(signal.SIGKILL)
    until(lambda: not alive(pid), 2)
    record = lab.close_killed()
    assert (record.status, record.cause) == ("interrupted", "killed")
    assert [(book.status, book.file) for book in record.runbooks] == [
        ("interrupted", "01_one.ipynb"), ("not run", ""), ("not run", ""),
    ]  # fmt: skip
    first = {
        cell.source.partition("(")[0]: mark
        for cell, mark in zip(code(lab.nb("01_one")), marks(lab.nb("01_one")), strict=True)
    }
    assert first["print"] == ("ok", "") and first["'second'"] == ("not run", "")
    assert first["import time\nprint"] == ("interrupted", "killed")
    assert lab.sound()


CONNECTS = "from hubrun import Server, site_from\nsite = site_from(globals())\nserver = Server.connect(site)\nserver"
SITE_OF_SERVER = "print(server.site.swap_mb, server.site.user_memory_mb)"


@pytest.mark.parametrize("shared", [False, True], ids=["two kernels", "one kernel"])
def test_each_runbook_is_about_its_own_parameters(shared: bool, tmp_path: Path) -> None:
    (tmp_path / "sshd").mkdir()
    with serve(tmp_path / "sshd") as sshd:
        books = [book(tmp_path, name, ("Target", [CONNECTS, SITE_OF_SERVER])) for name in ("01_one", "02_two")]
        with opened(tmp_path / "records", books, sshd.parameters(user_memory_mb=4096)) as lab:
            one = Tab(lab, "01_one")
            two = Tab(lab, "02_two", one.kernel if shared else "")
            two.cell("site =").source += "\nswap_mb = 77"
            for tab in (one, two):
                assert tab.run(tab.cell("site ="), tab.cell("from hubrun"), tab.cell("print(server.site")) == "ok"
            assert one.run(one.cell("site ="), one.cell("from hubrun"), one.cell("print(server.site")) == "ok"
            assert lab.stop() == 0, lab.log.read_text()
            assert [printed(code(lab.nb(name))[1]) for name in ("01_one", "02_two")] == ["1 4096\n", "77 4096\n"]
            assert len(sshd.offered) == (1 if shared else 2)
            assert lab.record().server["host_key"].startswith("SHA256:")
            assert lab.sound()


def tab_pid(tab: Tab) -> int:
    """The process of its kernel."""
    assert tab.run(new_code_cell("import os\nos.getpid()", id="pid")) == "ok"
    found = next(each for each in tab.seen if each["msg_type"] == "execute_result")
    return int(found["content"]["data"]["text/plain"])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
