"""A session in JupyterLab itself, by keyboard and menu, which is killed at random moments: browser, kernel or command.

The server that the runbook sets up is `sshd`. HUBRUN_SEED repeats the moments of an earlier run of this test.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from books import book, code, marks, places, printed, random_hex, read, until
from hub_front import FLAGS
from jupyterlab_page import chromium, first_cell, menu, open_runbook, shut_down
from lab import Lab, opened
from sshd import Sshd, serve

LONG = bool(os.environ.get("HUBRUN_LONG"))
SEED = int(os.environ.get("HUBRUN_SEED", str(random.randrange(10**6))))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if LONG else 600)]

# In two parts: nobody can know a value before somebody said that it is a secret.
ENVIRONMENT, SECRET, SERVED = "vK7-uQz'4 pLm9", "Tr8&dW<2>xNc", random_hex("lti")
KNOWS = f"""
from hubrun import Server, site_from
from hubrun.redaction.secret import Secret
from hubrun.redaction.redact import HERE
import hashlib, os
site = site_from(globals())
_a, _b = Secret({SECRET[:6]!r} + {SECRET[6:]!r}, 'sudo_password'), {SERVED[:30]!r} + {SERVED[30:]!r}
HERE.learn_digest('LTI_CLIENT_SECRET', 'salt', hashlib.sha256(('salt' + _b).encode()).hexdigest())
server = Server.connect(site)
server
""".strip()
LEAKS = "_all = [os.environ['PLANTED_TOKEN'], _a.reveal(), _b]\nprint(_all)\nprint('<b>', *_all, '</b>')\n_all"
PROGRESS = """
import time
from hubrun.desired.cards import Card, ProgressLine, Row
line = ProgressLine()
for _number in range(12):
    line.line(f'installing part {_number}')
    time.sleep(0.3)
line.finish(Card('done in 3 s', [Row('ok', 'the long step')]))
""".strip()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    with serve(folder) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(FLAGS) as started:
        yield started


@contextmanager
def session(tmp_path: Path, sshd: Sshd, books: list[Path]) -> Iterator[Lab]:
    """A session whose files, Jupyter's too, are below tmp_path/run and its short folder for temporary files."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="t") as temporary:
        environment = {"HOME": str(home), "TMPDIR": temporary, "PLANTED_TOKEN": ENVIRONMENT}
        with (
            opened(tmp_path / "records", books, sshd.parameters(), **environment) as lab,
            watched([tmp_path / "records", home, Path(temporary)]),
        ):
            yield lab


@contextmanager
def watched(folders: list[Path]) -> Iterator[None]:
    """Look for the secrets in every file again and again."""
    found: list[str] = []
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.1):
            for folder in folders:
                for secret in (ENVIRONMENT, SECRET, SERVED):
                    try:
                        found.extend(places(folder, secret))
                    except OSError:
                        continue  # a file that was replaced meanwhile: it is looked at again

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
    assert found == []


def new_page(browser: Browser, width: int = 1280) -> Page:
    return browser.new_context(viewport={"width": width, "height": 900}).new_page()


def test_a_runbook_by_keyboard_and_by_run_all(browser: Browser, tmp_path: Path, sshd: Sshd) -> None:
    gate = tmp_path / "gate"
    breaks = f"import pathlib\nassert pathlib.Path({str(gate)!r}).exists(), 'not yet'"
    one = book(tmp_path, "01_one", ("Target", [KNOWS]), ("Leaks", [LEAKS]), ("Long", [PROGRESS]), ("Breaks", [breaks]))
    two = book(tmp_path, "02_two", ("Target", [KNOWS]), ("Fine", ["'two ' + site.site"]), ("Leaks", [LEAKS]))
    with session(tmp_path, sshd, [one, two]) as lab:
        page = new_page(browser)
        open_runbook(page, lab.login)
        assert page.get_by_text("official Jupyter news").count() == 0
        first_cell(page)
        for _ in read(one).cells[:-4]:
            page.keyboard.press("Shift+Enter")
        shown = page.locator(".jp-Notebook:visible .jp-OutputArea-output")
        shown.get_by_text("Target", exact=True).wait_for(timeout=60_000)
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")  # the long one
        shown.get_by_text("installing part").wait_for(timeout=60_000)
        shown.get_by_text("done in 3 s").wait_for(timeout=60_000)
        assert shown.get_by_text("installing part").count() == 0
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Control+Enter")  # the cell stays the one that is chosen
        until(lambda: marks(lab.nb("01_one"))[-1] == ("failed", "error"))
        shown.get_by_text("not yet").last.wait_for(timeout=60_000)  # a person reads it, and then runs the cell again
        page.wait_for_timeout(1000)
        gate.touch()
        page.keyboard.press("Control+Enter")
        until(lambda: marks(lab.nb("01_one"))[-1] == ("ok", ""))
        page.keyboard.press("Control+s")
        open_runbook(page, lab.login.replace("01_one", "02_two"))
        menu(page, "Run", "Run All Cells")
        until(lambda: [mark[0] for mark in marks(lab.nb("02_two"))] == ["ok"] * 3)
        assert page.get_by_text("File Changed").count() == 0
        page.screenshot(path=tmp_path / "lab.png")
        shut_down(page)
        assert lab.process.wait(60) == 0, lab.log.read_text()
        record = lab.record()
        assert [(book.name, book.status) for book in record.runbooks] == [("01_one", "ok"), ("02_two", "ok")]
        breaks_step = record.runbooks[0].steps[-1]
        assert [run.status for run in breaks_step.runs] == ["failed", "ok"]
        assert record.server["host_key"].startswith("SHA256:")
        assert record.redactions.keys() >= {"PLANTED_TOKEN", "sudo_password", "LTI_CLIENT_SECRET"}
        long = code(lab.nb("01_one"))[2]
        assert [output.data["text/plain"].splitlines()[0] for output in long.outputs] == ["done in 3 s"]
        assert lab.sound()


TRACED = "open({0!r}, 'a').write('begin {1}\\n')\nimport time; time.sleep({2}); print('cell {1}')\nopen({0!r}, 'a').write('end {1}\\n')"


@pytest.mark.long
@pytest.mark.parametrize("number", range(10 if LONG else 3))
def test_what_ran_is_on_record_when_something_is_killed(
    number: int, browser: Browser, tmp_path: Path, sshd: Sshd
) -> None:
    dice = random.Random(f"{SEED}-{number}")
    way, trace = ("browser", "kernel", "command")[number % 3], tmp_path / "trace"
    trace.touch()
    pauses = [round(dice.choice([0.0, 0.05, 0.3, 1.0]), 2) for _ in range(12)]
    cells = [TRACED.format(str(trace), index, pause) for index, pause in enumerate(pauses)]
    path = book(
        tmp_path,
        "01_one",
        ("Target", [KNOWS, LEAKS, f"open({str(trace)!r}, 'a').write(f'pid {{os.getpid()}}\\n')"]),
        ("Steps", cells),
    )
    with session(tmp_path, sshd, [path]) as lab:
        page = new_page(browser)
        open_runbook(page, lab.login)
        menu(page, "Run", "Run All Cells")
        until(lambda: "pid" in trace.read_text())
        time.sleep(dice.uniform(0, 4))
        if way == "browser":
            page.context.close()
            until(lambda: "end 11" in trace.read_text())
        elif way == "kernel":
            os.kill(int(trace.read_text().split()[1]), signal.SIGKILL)
            page.context.close()
        else:
            lab.stop(signal.SIGKILL)
            page.context.close()
        time.sleep(0.2)
        said = f"seed {SEED}, {way}: {trace.read_text()}"
        if way == "command":
            after = trace.read_text()
            record = lab.close_killed()
            time.sleep(1.5)
            assert trace.read_text() == after, f"the kernel went on: {said}"
            assert (record.status, record.cause) == ("interrupted", "killed"), said
        else:
            if way == "kernel":
                until(lambda: "running" not in [mark[0] for mark in marks(lab.nb("01_one"))])
            lab.stop()
            record = lab.record()
        lines = trace.read_text().splitlines()[1:]
        kept = code(lab.nb("01_one"))[3:]
        for index, cell in enumerate(kept):
            status = cell.metadata.hubrun.status
            begun, ended = f"begin {index}" in lines, f"end {index}" in lines
            if status == "ok":
                assert ended and printed(cell) == f"cell {index}\n", said
            elif status == "interrupted":
                assert cell.metadata.hubrun.cause == {"kernel": "kernel died", "command": "killed"}[way], said
            else:
                assert status == "not run" and not begun, said
        assert [run.started for run in record.runbooks[0].steps[-1].runs] == sorted(run.started for run in record.runbooks[0].steps[-1].runs)  # fmt: skip
        if way == "browser":
            assert record.status == "ok", said
        assert lab.sound()
