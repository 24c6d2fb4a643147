"""The engine `hubrun`: what became of each cell, on disk at every moment, also with bare papermill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_client.manager import KernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from papermill.exceptions import PapermillExecutionError

from books import Ear, book, code, forget, forms, marks, printed, random_hex, read, result, shown
from hubrun import atomic_write
from hubrun.records.ledger.manifest import RunbookRecord
from hubrun.records.ledger.steps import derive
from hubrun.records.run import papermill_engine
from hubrun.records.run.notebook_saver import NotebookSaver
from hubrun.records.run.signals import Stopped
from hubrun.redaction.redact import HERE

pytestmark = pytest.mark.slow

PAPERMILL = [sys.executable, "-m", "papermill", "--engine", "hubrun", "--no-progress-bar"]


def execute(path: Path, ear: Ear | None = None, **options: object) -> NotebookNode:
    """The notebook at `path` as the engine left it on disk."""
    out = path.with_suffix(".out.ipynb")
    listener = ear.listen(RunbookRecord(name="")) if ear else None
    papermill.execute_notebook(
        str(path), str(out), engine_name="hubrun", progress_bar=False, listener=listener, **options
    )
    return read(out)


def left(path: Path) -> NotebookNode:
    return read(path.with_suffix(".out.ipynb"))


# -- bare papermill, in a process of its own, from the beginning of this module on


PRINTS = "import time\nfor _ in range(300): print(f'{time.time():.3f}', flush=True); time.sleep(0.1)"


@dataclass
class Watched:
    """What a reader saw of a notebook while a cell printed the time, until its terminal was closed."""

    ended: int
    nb: NotebookNode
    behind: list[float] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)


class Watch(threading.Thread):
    """Runs papermill, and reads its notebook again and again, for 4 s of printing; then sends SIGHUP."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.out = path.with_suffix(".out.ipynb")
        environment = {**os.environ, "TMPDIR": str(path.parent)}
        self.process = subprocess.Popen([*PAPERMILL, path, self.out], stderr=subprocess.DEVNULL, env=environment)
        self.behind: list[float] = []
        self.torn: list[str] = []

    def run(self) -> None:
        begun = 0.0
        while self.process.poll() is None and (not begun or time.monotonic() - begun < 4):
            time.sleep(0.05)
            if not self.out.exists():
                continue
            asked = time.time()
            try:
                nb = nbformat.reads(self.out.read_text(), as_version=4)
                nbformat.validate(nb)
            except Exception as error:
                self.torn.append(repr(error))
                continue
            lines = printed(code(nb)[0]).split()
            if lines:
                begun = begun or time.monotonic()
                self.behind.append(asked - float(lines[-1]))
        self.process.send_signal(signal.SIGHUP)
        self.process.wait(20)


@pytest.fixture(scope="module", autouse=True)
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    path = book(tmp_path_factory.mktemp("watched"), "prints", ("Prints", [PRINTS]), ("Never", ["1"]))
    watch = Watch(path)
    watch.start()
    yield watch
    watch.process.kill()
    watch.join()


# -- each cell


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[NotebookNode, Ear]:
    """A notebook in which everything happens, and an error in the end; and what was told while it ran."""
    folder, ear = tmp_path_factory.mktemp("told"), Ear()
    out = str(folder / "all.out.ipynb")
    itself = f"import json\ncells = json.load(open({out!r}))['cells']\nprint([cell['metadata']['hubrun']['status'] for cell in (cells[3], cells[-1])])"
    path = book(
        folder, "all",
        ("Sees itself", [itself, ""]),
        ("Two resources", [result("packages", "ok"), result("file", "changed")]),
        ("Check mode", [result("file", "would change")]),
        ("Left out", [shown(unchecked=["nginx answers"])]),
        ("Tells", ["from IPython.display import display\ndisplay({'text/plain': 'install nginx (2 s)'}, raw=True)", shown(checks=[{"check": "nginx", "ok": True}], notes=["a build failed"])]),
        ("Breaks", ["'before'", "import time\ntime.sleep(0.2)\nraise ValueError('no')", "'after'"]),
        ("Never", ["1 / 0"]),
    )  # fmt: skip
    with pytest.raises(PapermillExecutionError, match="ValueError: no"):
        execute(path, ear)
    return left(path), ear


def test_each_cell_says_what_became_of_it(told: tuple[NotebookNode, Ear]) -> None:
    assert marks(told[0]) == [
        ("ok", ""), ("ok", ""), ("changed", ""), ("would change", ""), ("not checked", ""), ("ok", ""), ("ok", ""),
        ("ok", ""), ("failed", "error"), ("not run", ""), ("not run", ""),
    ]  # fmt: skip
    failed = code(told[0])[8].metadata.hubrun
    assert failed.reason == "ValueError: no"
    assert failed.started < failed.ended and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+00:00", failed.ended)


def test_papermills_own_statuses_do_not_claim_what_never_ran(told: tuple[NotebookNode, Ear]) -> None:
    stamps = [cell.metadata.papermill for cell in code(told[0])]
    assert [stamp.status for stamp in stamps[7:]] == ["completed", "failed", "pending", "pending"]
    assert stamps[8].exception is True and stamps[9].exception is None and stamps[9].start_time is None
    assert stamps[8].duration > 0.1
    assert {cell.execution_count for cell in code(told[0])[9:]} == {None}


def test_a_cell_is_on_disk_as_running_before_the_kernel_gets_it(told: tuple[NotebookNode, Ear]) -> None:
    assert printed(code(told[0])[0]) == "['running', 'not run']\n"


def test_a_step_is_what_its_cells_came_to(told: tuple[NotebookNode, Ear]) -> None:
    steps = [step for step in derive(told[0]) if step.title != "all"]
    assert [(step.title, step.status, step.cause, step.reason) for step in steps] == [
        ("Sees itself", "ok", "", ""), ("Two resources", "changed", "", ""), ("Check mode", "would change", "", ""),
        ("Left out", "not checked", "", ""), ("Tells", "ok", "", ""), ("Breaks", "failed", "error", "ValueError: no"),
        ("Never", "not run", "", ""),
    ]  # fmt: skip
    assert [result["resource"] for result in steps[1].results] == ["packages", "file"]
    assert [each.notes for each in steps] == [[]] * 4 + [["a build failed"]] + [[]] * 2
    assert (steps[3].unchecked, steps[4].checks) == (["nginx answers"], [{"check": "nginx", "ok": True}])
    started, ended = (datetime.fromisoformat(each) for each in (steps[5].started, steps[5].ended))
    assert steps[5].seconds >= 0.2
    assert abs((ended - started).total_seconds() - steps[5].seconds) < 0.01
    assert (steps[6].started, steps[6].ended, steps[6].seconds) == ("", "", 0)


def test_steps_are_told_once_when_they_begin_and_once_when_they_end(told: tuple[NotebookNode, Ear]) -> None:
    titles = ["all", "Sees itself", "Two resources", "Check mode", "Left out", "Tells", "Breaks"]
    assert told[1].started == titles and [step.title for step in told[1].ended] == titles
    assert [step.status for step in told[1].ended][2:] == ["changed", "would change", "not checked", "ok", "failed"]
    assert told[1].lines == ["install nginx (2 s)"]


# -- what ends a notebook, told apart


def test_a_kernel_that_died_is_no_error_of_the_cell(tmp_path: Path) -> None:
    dies = "import os, time\nprint('begun', flush=True)\ntime.sleep(0.2)\nos._exit(9)"
    path = book(tmp_path, "dies", ("Fine", ["1"]), ("Dies", [dies, "2"]))
    with pytest.raises(DeadKernelError):
        execute(path)
    assert marks(left(path)) == [("ok", ""), ("interrupted", "kernel died"), ("not run", "")]
    died = code(left(path))[1]
    assert "the server alone" in died.metadata.hubrun.reason and printed(died) == "begun\n"
    assert [cell.metadata.papermill.status for cell in code(left(path))] == ["completed", "failed", "pending"]
    assert [(step.status, step.cause) for step in derive(left(path))][1:] == [
        ("ok", ""), ("interrupted", "kernel died"),
    ]  # fmt: skip


def test_who_asks_a_person_gets_an_error_as_nobody_is_there(tmp_path: Path) -> None:
    path = book(tmp_path, "asks", ("Asks", ["input('Password: ')"]))
    with pytest.raises(PapermillExecutionError, match="StdinNotImplementedError"):
        execute(path)


def test_a_lost_connection_is_told_from_an_error(tmp_path: Path) -> None:
    lost = "from hubrun.errors import ConnectionLost\nraise ConnectionLost('the SSH connection was lost', 'hub:22', 'Again')"
    path = book(tmp_path, "lost", ("Loses it", [lost]), ("Never", ["1"]))
    with pytest.raises(PapermillExecutionError):
        execute(path)
    assert marks(left(path)) == [("interrupted", "connection lost"), ("not run", "")]
    assert "hub:22: the SSH connection was lost. Again" in code(left(path))[0].metadata.hubrun.reason


def test_outputs_that_come_long_after_the_kernels_reply_are_kept(tmp_path: Path) -> None:
    slow = "get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(5))"
    impatient = "sys.stdout.flush_timeout = sys.stderr.flush_timeout = 0.1"
    execute(book(tmp_path, "late", ("Shows", [f"import sys, time\n{slow}\n{impatient}\ndisplay('late')"])))
    assert [output.data["text/plain"] for output in code(left(tmp_path / "late.ipynb"))[0].outputs] == ["'late'"]


def interrupt_when(path: Path, text: str, number: int = signal.SIGINT) -> threading.Thread:
    """Send a signal to this process as soon as `text` is an output on disk."""

    def wait() -> None:
        out, end = path.with_suffix(".out.ipynb"), time.monotonic() + 15
        while time.monotonic() < end:
            if out.exists() and any(text in printed(cell) for cell in code(read(out))):
                os.kill(os.getpid(), number)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_ctrl_c_interrupts_the_cell_and_keeps_what_it_had_done(tmp_path: Path) -> None:
    goes_on = "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(30)\nfinally:\n    print('closed', flush=True)"
    path = book(tmp_path, "stopped", ("Goes on", [goes_on]), ("Never", ["1"]))
    thread = interrupt_when(path, "begun")
    with pytest.raises(Stopped) as caught:
        execute(path)
    thread.join()
    assert caught.value.cause == "Ctrl-C"
    assert marks(left(path)) == [("interrupted", "Ctrl-C"), ("not run", "")]
    assert printed(code(left(path))[0]) == "begun\nclosed\n"
    assert left(path).cells[-3].outputs[-1].ename == "KeyboardInterrupt"


def test_a_cell_has_its_seconds_after_ctrl_c_also_when_the_disk_makes_this_process_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = NotebookSaver.save_if_behind

    def slow(saver: NotebookSaver) -> None:
        save(saver)
        if not thread.is_alive() and not waited:
            waited.append(True)
            time.sleep(4)

    waited: list[bool] = []
    monkeypatch.setattr(papermill_engine, "_GRACE", 3)
    monkeypatch.setattr(NotebookSaver, "save_if_behind", slow)
    closes = "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(30)\nfinally:\n    time.sleep(0.5); print('closed')"
    path = book(tmp_path, "slow", ("Goes on", [closes]))
    thread = interrupt_when(path, "begun")
    with pytest.raises(Stopped):
        execute(path)
    assert waited
    assert printed(code(left(path))[0]) == "begun\nclosed\n"


def test_ctrl_c_ends_the_notebook_even_when_its_last_cell_takes_no_notice(tmp_path: Path) -> None:
    careless = (
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    pass"
    )
    path = book(tmp_path, "careless", ("Careless", [careless]))
    thread = interrupt_when(path, "begun")
    with pytest.raises(Stopped):
        execute(path)
    thread.join()
    assert marks(left(path)) == [("ok", "")]


def test_a_signal_that_comes_while_a_cell_begins_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, sent = NotebookSaver.save, []

    def saved(saver: NotebookSaver, **_: object) -> None:
        save(saver)
        if code(saver.nb)[1].metadata.hubrun["status"] == "running" and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(NotebookSaver, "save", saved)
    path = book(tmp_path, "begins", ("One", ["1"]), ("Two", ["2", "3"]))
    with pytest.raises(Stopped):
        execute(path)
    assert marks(left(path)) == [("ok", ""), ("interrupted", "SIGTERM"), ("not run", "")]


def test_a_cell_that_does_not_end_on_sigterm_is_ended_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(papermill_engine, "_GRACE", 0)
    monkeypatch.setattr(KernelManager, "shutdown_wait_time", 0.4)
    deaf = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun', flush=True)\ntime.sleep(30)"
    )
    path = book(tmp_path, "deaf", ("Deaf", [deaf]), ("Never", ["1"]))
    thread = interrupt_when(path, "begun", signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        execute(path)
    thread.join()
    assert caught.value.cause == "SIGTERM"
    assert marks(left(path)) == [("interrupted", "SIGTERM"), ("not run", "")]
    assert printed(code(left(path))[0]) == "begun\n"


# -- the file on disk


def test_a_write_that_is_cut_short_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_write.write(tmp_path / "f", b"old")

    def cut(*_: object) -> None:
        raise OSError("the power is gone")

    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(OSError, match="the power is gone"):
        atomic_write.write(tmp_path / "f", b"new, and much longer")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"old")]


def test_a_reader_always_finds_a_whole_notebook_that_is_at_most_2_s_behind(watch: Watch) -> None:
    watch.join(30)
    assert watch.torn == []
    assert len(watch.behind) > 30 and max(watch.behind) < 2


def test_a_closed_terminal_ends_it_in_order(watch: Watch) -> None:
    watch.join(30)
    assert marks(read(watch.out)) == [("interrupted", "SIGHUP"), ("not run", "")]
    assert watch.process.returncode not in (0, -signal.SIGHUP)
    assert len(printed(code(read(watch.out))[0]).split()) > 15


# -- secrets


def test_bare_papermill_writes_and_logs_no_secret_and_tells_a_time_out(tmp_path: Path) -> None:
    known = {"in the environment": "vK7-uQz'4 pLm9", "of a Secret": "Tr8&dW<2>xNc", "of the server": random_hex("lti")}
    environment, secret, served = known.values()
    path = book(
        tmp_path, "leaks",
        ("Knows", [
            "from hubrun.runbook import site_from\n_note = globals().pop('note')\nsite_from(globals())",
            # In two parts: nobody can know a value before somebody said that it is a secret.
            f"from hubrun.redaction.secret import Secret\n_a = Secret({secret[:6]!r} + {secret[6:]!r}, 'sudo_password')",
            f"import hashlib\nfrom hubrun.redaction.redact import HERE\n_b = {served[:30]!r} + {served[30:]!r}\nHERE.learn_digest('LTI_CLIENT_SECRET', 'salt', hashlib.sha256(('salt' + _b).encode()).hexdigest())",
        ]),
        (f"Heading with {environment}", [
            "import base64, html, os, shlex, sys, urllib.parse\n_all = [os.environ['PLANTED_TOKEN'], _a.reveal(), _b]",
            "for _each in _all: print(_each, base64.b64encode(_each.encode()).decode(), base64.b64encode(b'user:' + _each.encode()).decode(), urllib.parse.quote(_each), shlex.quote(_each))",
            "print(*_all, file=sys.stderr)",
            "from IPython.display import HTML, display\ndisplay(HTML(f'<b>{html.escape(\" \".join(_all))}</b>'), {'key': _all}, {'text/plain': _all[0], 'image/png': base64.b64encode(_all[1].encode() * 3).decode()})",
            f"# written into a cell: {environment}\n_all",
        ]),
        ("Ends", ["raise ValueError(_all, 'in a message')", f"# {environment}\nimport time\nprint(_all, flush=True)\ntime.sleep(9)"]),
    )  # fmt: skip
    nb = nbformat.read(path, as_version=4)
    nb.cells[-2].metadata["tags"] = ["raises-exception"]
    nb.cells[-1].metadata["note"] = {"kept": environment}
    nbformat.write(nb, path)
    records = tmp_path / "records"
    records.mkdir()
    parameters = ["-p", "site", "biology", "-p", "domain", "hub.example.edu", "-p", "note", environment]
    done = subprocess.run(
        [*PAPERMILL, "--log-output", "--execution-timeout", "3", *parameters, path, records / "leaks.ipynb"],
        env={**os.environ, "PLANTED_TOKEN": environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    executed = read(records / "leaks.ipynb")
    assert marks(executed)[-2:] == [("ok", ""), ("failed", "time-out")], done.stderr
    assert code(executed)[-1].metadata.hubrun.reason == "the cell did not end within 3 s"
    written = (records / "leaks.ipynb").read_bytes()
    for where, value in known.items():
        assert [form for form in forms(value) if form in written] == [], where
        assert [form for form in forms(value) if form in (done.stdout + done.stderr).encode()] == [], where
    assert "<PLANTED_TOKEN> <sudo_password> <LTI_CLIENT_SECRET>" in done.stderr


def test_a_cell_that_was_saved_before_is_looked_through_again_where_it_or_what_is_secret_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    cells = [new_code_cell("1", outputs=[new_output("stream", text="told-early\n")]), new_code_cell("2")]
    saver = NotebookSaver(new_notebook(cells=cells), output_path=str(tmp_path / "out.ipynb"), progress_bar=False)
    saver.save()
    before = saver.kept
    assert before and before.cells[0].outputs[0].text == "told-early\n"
    HERE.learn("told-early", "password")
    saver.save()
    assert (saver.kept.cells[0].outputs[0].text, saver.counts) == ("<password>\n", {"password": 1})
    saver.nb.cells[0].outputs[0].text = "told-early, and changed by another cell\n"
    saver.save()
    saver.save()
    assert saver.kept.cells[0].outputs[0].text.startswith("<password>, and changed")
    assert saver.counts == {"password": 1}, "of the notebook as it is, however often it was written"
    assert read(tmp_path / "out.ipynb") == saver.kept
    saver.save(as_nbformat=True)
    assert (tmp_path / "out.ipynb").read_text() == nbformat.writes(saver.kept)
