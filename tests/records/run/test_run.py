"""A run: small runbooks through papermill with our engine, and the record that is kept of it, whatever happens."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jsonschema
import papermill  # noqa: F401  # first: it loads our engine, and with it the saver that is imported below
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import books
from books import SITE, Ear, book, code, forget, install, marks, places, printed, random_hex, read, result, shown, until
from histories import make_run, resume_run
from hubrun import atomic_write
from hubrun.cli.progress import Progress
from hubrun.errors import BadInput
from hubrun.records.ledger import manifest, summary
from hubrun.records.ledger.history import HEAD, LOCK, History
from hubrun.records.ledger.history import Run as KeptRun
from hubrun.records.ledger.manifest import Manifest, Record, RunbookRecord, Software
from hubrun.records.ledger.steps import Listener, mark, titles
from hubrun.records.ledger.verify_history import verify
from hubrun.records.pages import terminal_tables, website
from hubrun.records.run import kernels, resume
from hubrun.records.run import site_run as record
from hubrun.records.run.notebook_saver import NotebookSaver
from hubrun.records.run.signals import Stopped
from hubrun.records.run.site_run import Run, runbooks
from hubrun.terminal import Terminal

pytestmark = pytest.mark.slow


def history(records: Path) -> History:
    return History(records, "biology")


def sound(records: Path) -> bool:
    """Whether nothing is wrong with the records of this site; what is wrong is shown."""
    findings = verify(history(records)).findings
    assert findings == []
    return True


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- one run of three runbooks, the second of which fails, and the same run gone on with


NEEDS = "import os.path\nassert os.path.exists({!r}), 'the file is not there'\nprint('it is there')"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("books")
    return [
        book(
            folder, "01_one",
            ("Target", ["print(site, domain, swap_mb, check)"]),
            ("Packages", [result("packages", "ok"), result("file", "changed")]),
            ("Check", [shown(checks=[{"check": "nginx answers", "ok": True}])]),
        ),
        book(folder, "02_two", ("Fine", ["1"]), ("Breaks", ["'still ' + 'runs'", NEEDS.format(str(folder / "there"))]), ("Then", ["2"])),
        book(folder, "03_three", ("Not reached", ["pass"])),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def failed(three: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return install(tmp_path_factory.mktemp("records"), three)


@pytest.fixture
def copy(failed: Run, tmp_path: Path) -> Path:
    """The records of the failed run, for a test of its own."""
    return Path(shutil.copytree(failed.history.folder.parent, tmp_path / "records"))


def test_a_failure_stops_the_run_and_the_record_says_where(failed: Run) -> None:
    kept = manifest.read(failed.folder).predicate
    assert (kept.status, kept.cause) == ("failed", "error")
    assert kept.reason == "02_two, Breaks: AssertionError: the file is not there"
    assert [(each.name, each.status, each.cause) for each in kept.runbooks] == [
        ("01_one", "changed", ""), ("02_two", "failed", "error"), ("03_three", "not run", ""),
    ]  # fmt: skip
    assert sorted(path.name for path in failed.folder.iterdir()) == ["01_one.ipynb", "02_two.ipynb", "manifest.json"]


def test_each_step_says_what_became_of_it_those_that_were_not_reached_as_well(failed: Run) -> None:
    one, two, three = manifest.read(failed.folder).predicate.runbooks
    assert [(step.title, step.status) for step in one.steps[1:]] == [
        ("Target", "ok"), ("Packages", "changed"), ("Check", "ok"),
    ]  # fmt: skip
    assert [(step.title, step.status, step.cause) for step in two.steps[1:]] == [
        ("Fine", "ok", ""), ("Breaks", "failed", "error"), ("Then", "not run", ""),
    ]  # fmt: skip
    assert [(step.title, step.status) for step in three.steps] == [("03_three", "not run"), ("Not reached", "not run")]
    assert [result["resource"] for result in one.steps[2].results] == ["packages", "file"]
    assert one.steps[3].checks == [{"check": "nginx answers", "ok": True}]
    times = [time for step in [*one.steps, *two.steps[:-1]] for time in (step.started, step.ended)]
    assert times == sorted(times) and all(times)
    assert one.seconds > 0 and three.seconds == 0 and (three.started, three.ended, three.file) == ("", "", "")


def test_the_manifest_is_a_statement_about_the_files_and_where_they_came_from(failed: Run, three: list[Path]) -> None:
    data = json.loads((failed.folder / "manifest.json").read_text())
    assert data["_type"] == "https://in-toto.io/Statement/v1"
    names = ["01_one.ipynb", "02_two.ipynb"]
    assert data["subject"] == [{"name": name, "digest": {"sha256": sha256(failed.folder / name)}} for name in names]
    kept = data["predicate"]
    canonical = json.dumps(kept["parameters"], sort_keys=True, separators=(",", ":"))
    assert kept["parameters_sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert [each["sha256"] for each in kept["runbooks"]] == [*(sha256(failed.folder / name) for name in names), ""]
    assert [each["source_sha256"] for each in kept["runbooks"]] == [sha256(path) for path in three]
    assert kept["parameters"] == {"site": "biology", "domain": "hub.example.edu", "swap_mb": 0}
    assert kept["server"] == {"os": "debian", "host_key": "SHA256:x"}
    installed = {"deb nginx": "1.22.1-9", "hub jupyterhub": "6.1.1"}
    assert kept["packages"] == {"before": installed, "after": installed}
    assert kept["operator"]["login"] and kept["software"]["version"] and kept["started"] < kept["ended"]
    assert kept["seconds"] > 0 and kept["signer"]["unsigned"] == "no key was given"


def test_a_clock_that_is_set_during_a_run_is_named_and_nothing_ends_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])

    def step(title: str) -> None:
        ahead[0] = -97.9 if title == "Second" else ahead[0]

    steps = [(title, [result("file", "changed")]) for title in ("First", "Second", "Third")]
    run = install(
        tmp_path / "records", [book(tmp_path, "01_one", *steps)],
        listen=lambda _: Listener(step, lambda _: None, lambda _: None),
    )  # fmt: skip
    kept = manifest.read(run.folder).predicate
    [one] = kept.runbooks
    for each in (kept, one, *one.steps):
        assert each.started <= each.ended and 0 <= each.seconds < 60
    executed = read(run.folder / "01_one.ipynb")
    assert all(cell.metadata.papermill.duration >= 0 for cell in code(executed))
    assert executed.metadata.papermill.duration >= 0
    [said] = kept.clock
    assert said.endswith(": this machine's clock was set back by 97.9 s")
    assert sound(tmp_path / "records")
    terminal = Terminal(file=io.StringIO(), record=True, width=200)
    terminal.print(terminal_tables.show(KeptRun(run.folder)))
    assert "clock was set back by 97.9 s" in terminal.export_text()
    pages = website.write_site(tmp_path / "records", {}).parent
    assert "clock was set back by 97.9 s" in (pages / "biology" / run.folder.name / "index.html").read_text().replace(
        "&#39;", "'"
    )


def test_a_real_manifest_is_as_its_schema_says_and_the_schema_as_the_models(failed: Run) -> None:
    schema = json.loads(manifest.SCHEMA.read_text())
    assert schema == Manifest.model_json_schema(by_alias=True), "json.dumps(Manifest.model_json_schema(), indent=1)"
    data = json.loads((failed.folder / "manifest.json").read_text())
    jsonschema.validate(data, schema)
    data["predicate"]["runbooks"][0]["status"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)


def test_the_executed_runbook_got_the_sites_values(failed: Run) -> None:
    first = read(failed.folder / "01_one.ipynb")
    assert printed(code(first)[0]) == "biology hub.example.edu 0 False\n"


def test_nothing_is_wrong_with_the_record_of_a_failed_run(failed: Run) -> None:
    head = history(failed.folder.parent.parent).head()
    assert head == failed.closed and head and head.sha256 == sha256(failed.folder / "manifest.json")
    assert sound(failed.folder.parent.parent)


# -- going on with it


def test_resume_is_a_new_run_that_begins_at_the_runbook_that_failed(copy: Path, three: list[Path]) -> None:
    (earlier,) = history(copy).runs()
    before = {path.name: path.read_bytes() for path in earlier.folder.iterdir()}
    there = three[0].with_name("there")
    there.touch()
    ear = Ear()
    try:
        again = install(copy, three, again=True, listen=ear.listen)
    finally:
        there.unlink()
    assert again.folder != earlier.folder and [path.name for path in again.books] == ["02_two.ipynb", "03_three.ipynb"]
    assert "01_one" not in ear.started and "Not reached" in ear.started
    assert {path.name: path.read_bytes() for path in earlier.folder.iterdir()} == before
    kept = manifest.read(again.folder).predicate
    assert [(each.name, each.attempt, each.status, each.file) for each in kept.runbooks] == [
        ("02_two", 1, "ok", "02_two.ipynb"), ("03_three", 1, "ok", "03_three.ipynb"),
    ]  # fmt: skip
    assert (kept.attempt, kept.status, kept.reason) == (1, "ok", "")
    assert kept.resumes == kept.previous and kept.resumes and kept.resumes.run == earlier.name
    assert kept.resumes.sha256 == sha256(earlier.folder / "manifest.json")
    assert sound(copy)
    with pytest.raises(BadInput, match=r"ended well \(ok\): there is nothing to resume\. Leave out --resume"):
        install(copy, three, again=True)


def test_what_fails_again_is_resumed_again_and_only_what_was_to_run(copy: Path, three: list[Path]) -> None:
    second = install(copy, three, again=True)
    assert (second.record.status, [book.name for book in second.record.runbooks]) == ("failed", ["02_two", "03_three"])
    third = install(copy, three, again=True)
    assert third.record.resumes and third.record.resumes.run == second.folder.name
    assert [book.name for book in third.record.runbooks] == ["02_two", "03_three"]
    alone = install(copy, three[1:2])
    assert alone.record.status == "failed"
    again = install(copy, three, again=True)
    assert [book.name for book in again.record.runbooks] == ["02_two"]
    renamed = [path.with_name("00_else.ipynb") for path in three[:1]]
    with pytest.raises(BadInput, match="no runbook of the last run is left"):
        install(copy, renamed, again=True)
    assert len(history(copy).runs()) == 5 and sound(copy)


def test_a_run_that_an_earlier_version_resumed_is_gone_on_with(tmp_path: Path, three: list[Path]) -> None:
    run = make_run(tmp_path, "biology", status="failed")
    resume_run(run, status="failed")
    link, left = resume.failed_run(history(tmp_path), [*three, three[0].with_name("02_hub_lti.ipynb")])
    assert (link.run, link.attempt) == (run.name, 2) and [path.stem for path in left] == ["02_hub_lti"]


def test_there_is_nothing_to_resume_before_the_first_run(tmp_path: Path, three: list[Path]) -> None:
    with pytest.raises(BadInput, match=r"no run has been made that could be resumed"):
        install(tmp_path, three, again=True)
    assert history(tmp_path).runs() == []


@pytest.mark.parametrize("moment", ["before the new manifest", "after it"])
def test_a_kill_while_resuming_loses_nothing(
    moment: str, copy: Path, three: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = history(copy).runs()
    before = {path.name: path.read_bytes() for path in kept.folder.iterdir()}

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(
            *((atomic_write, "write", kill) if moment == "before the new manifest" else (Run, "execute", kill))
        )
        with pytest.raises(Killed):
            install(copy, three, again=True)
    with record.opened(SITE, "install", copy, three) as run:
        recovered = run.recovered
        run.finish(books.Bare())  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in kept.folder.iterdir()} == before
    if moment == "before the new manifest":
        assert recovered == [] and len(history(copy).runs()) == 2
    else:
        (each,) = recovered
        closed = each.manifest().predicate
        assert (closed.status, closed.cause) == ("interrupted", "killed")
        assert closed.resumes and closed.resumes.run == kept.name
        assert [(book.name, book.status) for book in closed.runbooks] == [
            ("02_two", "not run"),
            ("03_three", "not run"),
        ]
    assert sound(copy)


# -- a run that ends otherwise


GOES_ON = "import time\nprint('begun', flush=True)\ntime.sleep(30)"


def begun(folder: Path) -> bool:
    """Whether the cell that goes on has said so in a record below `folder`."""
    return any("begun" in printed(cell) for path in folder.glob("*/*/*.ipynb") for cell in code(read(path)))


def when_begun(folder: Path, number: int) -> threading.Thread:
    def send() -> None:
        until(lambda: begun(folder))
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_what_ended_a_run_is_on_disk_before_the_server_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def finish(run: Run, *_: object) -> None:
        (entry,) = manifest.read(run.folder).predicate.runbooks
        seen.append((entry.status, entry.reason))
        closing(run, *_)

    closing = Run.finish
    monkeypatch.setattr(Run, "finish", finish)
    monkeypatch.setattr(kernels.SharedKernel, "take", lambda *_, **__: 1 / 0)
    install(tmp_path / "records", [book(tmp_path, "01_one", ("Never", ["1"]))])
    assert seen == [("failed", "ZeroDivisionError: division by zero")]


def test_a_run_that_is_told_to_end_is_closed_with_what_it_had_done(tmp_path: Path) -> None:
    two = [
        book(tmp_path, "01_goes_on", ("Before", [result("file", "changed")]), ("Goes on", [GOES_ON]), ("Never", ["1"])),
        book(tmp_path, "02_next", ("Next", ["1"])),
    ]
    thread = when_begun(tmp_path / "records", signal.SIGTERM)
    run = install(tmp_path / "records", two)
    thread.join()
    kept = manifest.read(run.folder).predicate
    assert (kept.status, kept.cause) == ("interrupted", "SIGTERM")
    assert kept.reason.startswith("01_goes_on, Goes on: ")
    first, second = kept.runbooks
    assert [(step.title, step.status, step.cause) for step in first.steps[1:]] == [
        ("Before", "changed", ""), ("Goes on", "interrupted", "SIGTERM"), ("Never", "not run", ""),
    ]  # fmt: skip
    assert (first.status, second.status, [step.status for step in second.steps]) == (
        "interrupted", "not run", ["not run", "not run"],
    )  # fmt: skip
    assert printed(code(read(run.folder / "01_goes_on.ipynb"))[1]) == "begun\n"
    assert sound(tmp_path / "records")


def test_a_run_that_is_stopped_while_a_kernel_starts_did_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels.SharedKernel, "take", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    kept = install(tmp_path / "records", [book(tmp_path, "01_a", ("A", ["1"]))]).record
    assert (kept.status, kept.cause, kept.runbooks[0].status) == ("interrupted", "SIGTERM", "interrupted")
    assert [step.status for step in kept.runbooks[0].steps] == ["not run", "not run"]
    assert sound(tmp_path / "records")


def test_a_kernel_that_dies_in_check_mode_is_an_interrupted_runbook(tmp_path: Path) -> None:
    looks = "assert check is True\n" + result("file", "would change")
    path = book(tmp_path, "01_dies", ("Looks", [looks]), ("Dies", ["import os\nos.kill(os.getpid(), 9)"]))
    run = install(tmp_path / "records", [path], mode="check")
    kept = manifest.read(run.folder).predicate
    assert (kept.mode, kept.status, kept.cause) == ("check", "interrupted", "kernel died")
    assert kept.reason.startswith("01_dies, Dies: the kernel died")
    assert [(step.status, step.cause) for step in kept.runbooks[0].steps[1:]] == [
        ("would change", ""), ("interrupted", "kernel died"),
    ]  # fmt: skip


# -- a run that was killed


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of a run whose process got SIGKILL in the second of three steps."""
    folder = tmp_path_factory.mktemp("killed")
    two = [
        book(folder, "01_goes_on", ("Before", [result("file", "changed")]), ("Goes on", [GOES_ON]), ("Never", ["1"])),
        book(folder, "02_next", ("Next", ["1"])),
    ]
    environment = {**os.environ, "TMPDIR": str(folder)}  # what a killed process leaves there
    process = subprocess.Popen([sys.executable, books.__file__, folder / "records", "biology", *two], env=environment)
    try:
        until(lambda: begun(folder / "records"))
    finally:
        process.kill()
        process.wait(10)
    return folder / "records"


def test_a_record_is_readable_as_it_was_when_the_run_was_killed(killed: Path) -> None:
    (kept,) = history(killed).runs()
    assert kept.manifest().predicate.status == "running"
    assert [status for status, _ in marks(read(kept.folder / "01_goes_on.ipynb"))] == ["changed", "running", "not run"]
    assert [finding.what for finding in verify(history(killed)).findings] == [
        "the run was killed, and nobody has closed it"
    ]


def test_the_next_run_closes_a_run_that_was_killed(killed: Path, tmp_path: Path) -> None:
    records = Path(shutil.copytree(killed, tmp_path / "records"))
    (kept,) = history(records).runs()
    left = kept.folder / "01_goes_on.ipynb.new"
    left.write_text("half a noteb")
    with record.opened(SITE, "install", records, []) as run:
        assert [each.folder for each in run.recovered] == [kept.folder]
        run.finish(books.Bare())  # type: ignore[arg-type]
    closed = kept.manifest().predicate
    assert (closed.status, closed.cause) == ("interrupted", "killed")
    first, second = closed.runbooks
    assert [(step.title, step.status, step.cause) for step in first.steps[1:]] == [
        ("Before", "changed", ""), ("Goes on", "interrupted", "killed"), ("Never", "not run", ""),
    ]  # fmt: skip
    assert "the server alone" in first.steps[2].reason and first.steps[2].ended == ""
    assert (first.status, second.status, second.file) == ("interrupted", "not run", "")
    assert first.started < first.steps[2].started < closed.ended
    assert closed.signer.unsigned.startswith("closed at ") and not left.exists()
    nb = read(kept.folder / "01_goes_on.ipynb")
    assert marks(nb) == [("changed", ""), ("interrupted", "killed"), ("not run", "")]
    assert [cell.metadata.papermill.status for cell in code(nb)] == ["completed", "failed", "pending"]
    following = run.folder / "manifest.json"
    assert json.loads(following.read_text())["predicate"]["previous"] == {
        "run": kept.name, "attempt": 1, "sha256": sha256(kept.folder / "manifest.json"),
    }  # fmt: skip
    assert json.loads((records / "biology" / HEAD).read_text())["sha256"] == sha256(following)
    assert sound(records)


def test_a_run_that_was_killed_before_its_first_step_did_nothing(tmp_path: Path) -> None:
    path = book(tmp_path, "01_a", ("A", ["1"]))
    with record.opened(SITE, "install", tmp_path / "records", [path]) as run:
        run.record.runbooks[0].status = "running"
        run._write()
    with record.opened(SITE, "install", tmp_path / "records", []) as following:
        following.finish(books.Bare())  # type: ignore[arg-type]
    closed = manifest.read(run.folder).predicate
    assert (closed.status, closed.runbooks[0].status, closed.runbooks[0].cause) == ("interrupted",) * 2 + ("killed",)
    assert [step.status for step in closed.runbooks[0].steps] == ["not run", "not run"]
    assert sound(tmp_path / "records")


def test_a_run_that_was_killed_before_its_first_manifest_was_none(copy: Path) -> None:
    folder = copy / "biology/29991231T235959Z-abcdef"
    folder.mkdir()
    (folder / "manifest.json.new").write_text("{")
    install(copy, [])
    assert not folder.exists() and len(history(copy).runs()) == 2
    assert sound(copy)


def test_a_run_that_was_killed_between_its_manifest_and_the_head_is_in_the_chain(copy: Path) -> None:
    with record.opened(SITE, "install", copy, []) as run:
        before = (copy / "biology" / HEAD).read_bytes()
        run.finish(books.Bare())  # type: ignore[arg-type]
    (copy / "biology" / HEAD).write_bytes(before)
    with record.opened(SITE, "install", copy, []) as following:
        following.finish(books.Bare())  # type: ignore[arg-type]
    previous = following.record.previous
    assert previous and previous.run == run.folder.name
    assert sound(copy)


# -- more than one run


def stamps(folder: Path) -> dict[Path, int]:
    """When each file below a folder was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != LOCK}


def test_two_runs_of_one_site_at_once_are_refused_and_two_sites_are_not(copy: Path, three: list[Path]) -> None:
    with record.opened(SITE, "install", copy, three):
        before = stamps(copy)
        with (
            pytest.raises(BadInput, match=r"another run for site biology goes on\. Wait for its end, or stop it"),
            record.opened(SITE, "install", copy, three),
        ):
            pass
        assert stamps(copy) == before
        with record.opened(SITE.model_copy(update={"site": "physics"}), "install", copy, three) as other:
            assert other.folder.parent == copy / "physics"


def test_each_run_has_a_folder_of_its_own_and_names_the_one_before(copy: Path) -> None:
    runs = [install(copy, []) for _ in range(2)]
    first, second, third = history(copy).runs()
    assert {second.folder, third.folder} == {run.folder for run in runs}
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", runs[0].folder.name)
    assert [run.record.previous and run.record.previous.run for run in runs][0] == first.name
    assert sound(copy)


# -- what cannot be written


def test_a_record_that_cannot_be_written_is_bad_input_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"the record cannot be written: Not a directory\. .*--records"):
        install(tmp_path / "file", [])
    for number, says in ((errno.EROFS, "Read-only file system"), (errno.EACCES, "Permission denied")):

        def refuse(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            with pytest.raises(BadInput, match=rf"the record cannot be written: {says}\. .*--records"):
                install(tmp_path / "records", [])
        assert history(tmp_path / "records").runs() == []


def test_a_disk_without_room_is_bad_input_before_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "ROOM", 1 << 60)
    with pytest.raises(BadInput, match=r"the record cannot be written: No space left on device\. .*--records"):
        install(tmp_path, [])
    assert history(tmp_path).runs() == []


def test_a_disk_that_gets_full_does_not_stop_the_install_and_the_record_is_rescued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [book(tmp_path, name, ("Works", [result("file", "changed")])) for name in ("01_a", "02_b")]
    really, done = atomic_write.write, []

    def write(path: Path, content: bytes, *mode: int) -> None:
        if tmp_path / "records" in path.parents:
            done.append(path)
            if len(done) > 7:  # in the middle of the first runbook
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(path, content, *mode)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(atomic_write, "write", write)
    run = install(tmp_path / "records", two)
    assert marks(read(run.folder / "01_a.ipynb")) != [("changed", "")] and not (run.folder / "02_b.ipynb").exists()
    assert run.rescued and run.rescued.parent == tmp_path / "tmp"
    kept = manifest.read(run.rescued)
    assert [(each.name, each.status) for each in kept.predicate.runbooks] == [("01_a", "changed"), ("02_b", "changed")]
    assert kept.predicate.status == "changed"
    assert "could not be written: No space left on device" in kept.predicate.signer.unsigned
    for each in kept.predicate.runbooks:
        assert marks(read(run.rescued / each.file)) == [("changed", "")]
        assert each.sha256 == sha256(run.rescued / each.file)
    Progress(SITE).end(run, Path("site.yaml"))
    said = capsys.readouterr().err
    assert f"the record could not be written to {run.folder}; it is in {run.rescued}" in said


def test_a_record_for_which_there_is_room_nowhere_does_not_hide_how_the_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with record.opened(SITE, "install", tmp_path, []) as run, monkeypatch.context() as patch:
        patch.setattr(atomic_write, "write", full)
        patch.setattr("tempfile.mkdtemp", full)
        run.finish(books.Bare())  # type: ignore[arg-type]
    Progress(SITE).end(run, Path("site.yaml"))
    said = capsys.readouterr().err
    assert f"the record could not be written to the end, here or in a temporary folder: {run.folder}" in said
    assert "biology: nothing to do" in said
    assert (run.closed, run.rescued) == (None, None)


# -- secrets


def test_no_secret_is_in_a_record_nor_in_what_is_said_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    forget(monkeypatch)
    planted = environment, secret, served = "vK7-uQz'4pLm9", "Tr8&dW<2>xNc", random_hex("lti")
    monkeypatch.setenv("PLANTED_TOKEN", environment)
    path = book(
        tmp_path, f"01_{environment}",
        (f"Heading with {environment}", [
            "from hubrun.runbook import site_from\nsite_from(globals())\nfrom hubrun.redaction.secret import Secret\nfrom hubrun.redaction.redact import HERE\nimport base64, hashlib, os, sys, time",
            f"_a = Secret({secret[:6]!r} + {secret[6:]!r}, 'sudo_password').reveal()\n_b = {served[:30]!r} + {served[30:]!r}\nHERE.learn_digest('LTI_CLIENT_SECRET', 'salt', hashlib.sha256(('salt' + _b).encode()).hexdigest())\n_all = [os.environ['PLANTED_TOKEN'], _a, _b]",
            "for _each in _all: print(_each, base64.b64encode(_each.encode()).decode())\nprint(*_all, file=sys.stderr)",
            shown(results=[{"resource": f"file {environment}", "status": "changed", "diff": f"+{environment}", environment: 1}]),
            "display({'text/plain': f'goes on with {_all}'}, raw=True)",
            "display({'application/scrapbook.scrap.json+json': {'name': 'fact', 'data': _all}}, raw=True)",
            "raise ValueError(' and '.join(_all))",
        ]),
    )  # fmt: skip
    site = SITE.model_copy(update={"canvas_tool_name": environment})
    show = Progress(site)

    found: list[str] = []

    def look(*_: object) -> None:
        found.extend(place for value in planted for place in places(tmp_path / "records", value))

    def listen(entry: RunbookRecord) -> Listener:
        look()  # not even before the first runbook
        return show.listen(entry)

    save = NotebookSaver.save

    def saved(saver: NotebookSaver, **_: object) -> None:
        save(saver)
        look()

    monkeypatch.setattr(NotebookSaver, "save", saved)
    run = install(tmp_path / "records", [path], site=site, listen=listen)
    show.end(run, Path("site.yaml"))
    out, err = capfd.readouterr()
    look()
    assert found == []
    for value in planted:
        assert [form for form in books.forms(value) if form in (out + err).encode()] == []
    kept = manifest.read(run.folder).predicate
    assert kept.reason.endswith("ValueError: <PLANTED_TOKEN> and <sudo_password> and <LTI_CLIENT_SECRET>")
    assert kept.runbooks[0].facts == {"fact": ["<PLANTED_TOKEN>", "<sudo_password>", "<LTI_CLIENT_SECRET>"]}
    assert kept.redactions.keys() >= {"PLANTED_TOKEN", "sudo_password", "LTI_CLIENT_SECRET"}
    assert kept.redactions["sudo_password"] >= 4
    assert sound(tmp_path / "records")


# -- which runbooks, which steps


def test_runbooks_are_run_in_order_from_the_one_that_is_named() -> None:
    every = [path.stem[:2] for path in runbooks()]
    assert every == ["01", "02", "03", "04", "05", "06"]
    assert [path.stem[:2] for path in runbooks(first="03")] == ["03", "04", "05", "06"]
    assert [path.stem for path in runbooks(only="04_docker")] == ["04_docker_spawner"]
    assert [path.stem for path in runbooks(only="4")] == ["04_docker_spawner"]
    with pytest.raises(BadInput, match="--from: there is no runbook 07. There are 01_server, 02_hub_lti"):
        runbooks(first="07")
    with pytest.raises(BadInput, match="--only: there is no runbook hub"):
        runbooks(only="hub")


@pytest.fixture
def with_operations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runbooks").mkdir()
    for name in ("01_server", "02_hub_lti", "10_backup", "12_image"):
        (tmp_path / "runbooks" / f"{name}.ipynb").touch()
    monkeypatch.setattr(record, "PROJECT", tmp_path)


@pytest.mark.usefixtures("with_operations")
def test_a_runbook_of_operation_is_run_by_its_number_or_name_and_never_by_an_install() -> None:
    assert [path.stem for path in runbooks()] == ["01_server", "02_hub_lti"]
    for name in ("10", "backup", "10_backup"):
        assert [path.stem for path in record.operation(name)] == ["10_backup"]
    with pytest.raises(BadInput, match=r"there is no runbook of operation back\. There are 10_backup, 12_image"):
        record.operation("back")
    for name in ("02", "hub_lti", "02_hub_lti"):
        with pytest.raises(BadInput, match="It is part of an install"):
            record.operation(name)
    with pytest.raises(BadInput, match=r"--only: 12 is not part of an install\. Use \./hubrun run 12"):
        runbooks(only="12")


def test_resume_passes_over_runs_of_operation(tmp_path: Path) -> None:
    earlier = make_run(tmp_path, status="failed")
    make_run(tmp_path, day=2, status="ok", books=("10_backup",))
    link, _ = resume.failed_run(
        History(tmp_path, "practice"), [Path(f"{earlier.manifest().predicate.runbooks[1].name}.ipynb")]
    )
    assert link.run == earlier.name


def test_a_cell_belongs_to_the_heading_above_it() -> None:
    cells = [
        new_code_cell(""),
        new_markdown_cell("# One\ntext"),
        new_code_cell(""),
        new_markdown_cell("no heading"),
        new_markdown_cell("### Three "),
    ]
    assert titles(new_notebook(cells=cells)) == ["", "One", "One", "One", "Three"]


@pytest.mark.parametrize(
    ("kept", "failure", "cause"),
    [
        ("", Stopped("SIGTERM"), "SIGTERM"),  # it came while the cell began
        ("Ctrl-C", Stopped("SIGTERM"), "Ctrl-C"),  # the cell was stopped by another one before
        ("kernel died", ValueError("papermill says so"), "kernel died"),
    ],
)
def test_an_interrupted_runbook_always_says_by_what(
    tmp_path: Path, kept: manifest.Cause, failure: BaseException, cause: str
) -> None:
    cell = new_code_cell("1")
    mark(cell, "interrupted", kept)
    entry = RunbookRecord(name="01_server", status="running", file="01_server.ipynb")
    predicate = Record(run="x", site="biology", mode="install", started="", software=Software(version="0"), runbooks=[])
    run = Run(SITE, History(tmp_path, "x"), tmp_path, Manifest(predicate=predicate), [])
    saver = NotebookSaver(new_notebook())
    saver.kept = new_notebook(cells=[new_markdown_cell("## Parameters"), cell])
    run._conclude(entry, saver, failure)
    assert (entry.status, entry.cause) == ("interrupted", cause)


# -- a plan goes on behind what does not hold

FAILED = {"check": "nginx answers", "ok": False, "expected": "200", "came": "502", "do": "start it"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("plan")
    books_ = [
        book(folder, "01_one", ("Preflight", [shown(checks=[FAILED])]), ("Packages", [result("packages", "would change")])),
        book(folder, "02_two", ("Fine", ["1"]), ("Breaks", ["raise ValueError('no such file')"]), ("Then", ["2"])),
        book(folder, "03_three", ("Pending", ["import os\nprint(os.environ['HUBRUN_PENDING'])", result("nginx", "would change")])),
        book(folder, "04_four", ("Last", [shown(checks=[{**FAILED, "ok": True}])])),
    ]  # fmt: skip
    return install(tmp_path_factory.mktemp("records"), books_, mode="check")


def test_a_plan_names_what_differs_behind_a_check_that_does_not_hold_and_behind_an_error(planned: Run) -> None:
    kept = manifest.read(planned.folder).predicate
    assert [(each.name, each.status) for each in kept.runbooks] == [
        ("01_one", "failed"), ("02_two", "failed"), ("03_three", "would change"), ("04_four", "ok"),
    ]  # fmt: skip
    one, two, three, _ = kept.runbooks
    assert [(step.title, step.status) for step in one.steps[1:]] == [
        ("Preflight", "failed"),
        ("Packages", "would change"),
    ]
    assert [(step.title, step.status) for step in two.steps[2:]] == [("Breaks", "failed"), ("Then", "not run")]
    assert [change.resource for change in summary.changes(kept)] == ["packages", "nginx"]
    assert printed(code(read(planned.folder / "03_three.ipynb"))[0]) == "01_one\n", "which would change something"


def test_a_plan_with_a_check_that_does_not_hold_has_failed_and_says_each_reason_with_what_to_do(planned: Run) -> None:
    kept = manifest.read(planned.folder).predicate
    assert (kept.status, kept.cause) == ("failed", "error")
    assert kept.reason == (
        "01_one, Preflight: nginx answers: expected 200, came 502; start it; 02_two, Breaks: ValueError: no such file"
    )
    assert [failure.step for failure in summary.failures(kept)] == ["Preflight", "Breaks"]
    assert sound(planned.history.folder.parent)
